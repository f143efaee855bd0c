"""The command `afina`: each command parses its arguments, calls one function and prints.

    demo               demo.py      runs a case study
    best trials recover  trials.py  reads a project folder, with rows.py for what it shows
    advice report      report.py    advice as sentences, a report as a page
    export             export.py    trials as files for other programs
    import             importing.py searches of other packages as projects
    doctor             doctor.py    what is wrong with a project, and a repaired copy
    work               work.py      a script in several processes that share one search
    --version          version.py   what is installed

A command imports what it needs when it runs, so that `afina --help` answers at once.
"""

from __future__ import annotations

from typing import Any

import click

from afina.cli.demo import demo
from afina.cli.doctor import doctor
from afina.cli.export import export
from afina.cli.importing import importing
from afina.cli.report import advice, report
from afina.cli.trials import best, recover, trials
from afina.cli.version import version_option
from afina.cli.work import work
from afina.errors import AfinaError
from afina.trials.text import printable

__all__ = ["main"]


class _Afina(click.Group):
    """Prints Afina's own errors as one message with exit code 1; other errors keep their trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AfinaError as error:
            raise click.ClickException(printable(str(error), lines=True)) from error


@click.group(cls=_Afina, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Find good hyperparameters for Keras models, and look at finished searches."""


COMMANDS = (best, trials, advice, report, export, importing, doctor, recover, work)

for command in (demo, *COMMANDS):
    main.add_command(command)
