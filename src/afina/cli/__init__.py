"""The command `afina`: each command parses its arguments, calls one function and prints.

    tune               tune.py      searches
    demo               demo.py      runs a case study
    status             status.py    where a search stands
    best trials recover  trials.py  reads a project folder, with rows.py for what it shows
    advice report      report.py    advice as sentences, a report as a page
    dashboard          dashboard.py  a live page about a search
    export             export.py    trials as files for other programs
    import             importing.py searches of other packages as projects
    doctor             doctor.py    what is wrong with a project, and a repaired copy
    delete             delete.py    deletes a search
    work               work.py      a script in several processes that share one search
    mcp                mcp.py       lets an assistant read a project
    completion         completion.py what a shell needs to complete commands
    --version          version.py   what is installed
    --help             language.py  in English, or in Spanish by spanish.py

Exit codes: 0 done; 1 an error of Afina, as one message; 2 wrong usage; 3 `tune` or `best` of a
search in which no trial was completed; 130 Ctrl-C; 143 SIGTERM.

A command imports what it needs when it runs, so that `afina --help` answers at once.
"""

from __future__ import annotations

import signal
from typing import Any

import click

from afina.cli.completion import completion
from afina.cli.dashboard import dashboard
from afina.cli.delete import delete
from afina.cli.demo import demo
from afina.cli.doctor import doctor
from afina.cli.export import export
from afina.cli.importing import importing
from afina.cli.language import speaks_spanish, translated
from afina.cli.mcp import mcp
from afina.cli.report import advice, report
from afina.cli.status import status
from afina.cli.trials import best, recover, trials
from afina.cli.tune import tune
from afina.cli.version import version_option
from afina.cli.work import work
from afina.errors import AfinaError
from afina.trials.text import printable

__all__ = ["main"]


class _Afina(click.Group):
    """Prints Afina's own errors as one message with exit code 1; other errors keep their trace.

    Ctrl-C has the exit code that shells have for it. Each call chooses the language of the help.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        spoken = translated(self) if speaks_spanish() else self
        return click.Group.make_context(spoken, info_name, args, parent, **extra)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        spoken = ctx.command if isinstance(ctx.command, _Afina) else self
        return click.Group.get_command(spoken, ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AfinaError as error:
            raise click.ClickException(printable(str(error), lines=True)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(128 + signal.SIGINT) from None


@click.group(cls=_Afina, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Find good hyperparameters for Keras models, and look at finished searches."""


COMMANDS = (
    tune,
    status,
    best,
    trials,
    advice,
    report,
    dashboard,
    export,
    importing,
    doctor,
    recover,
    delete,
    work,
    mcp,
    completion,
)

for command in (demo, *COMMANDS):
    main.add_command(command)
