"""The command `afina`: parse, call one function, print.

What a command needs is imported when it runs, so that `afina --help` answers at once.
"""

from __future__ import annotations

from typing import Any

import click

from afina import __version__
from afina.cli.demo import demo
from afina.cli.export import export
from afina.cli.report import advice, report
from afina.cli.trials import best, recover, trials
from afina.errors import AfinaError
from afina.trials.text import printable

__all__ = ["main"]


class _Afina(click.Group):
    """Turns what Afina raises on purpose into one line and exit code 1; a bug keeps its trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AfinaError as error:
            raise click.ClickException(printable(str(error), lines=True)) from error


@click.group(cls=_Afina, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="afina")
def main() -> None:
    """Afina finds good hyperparameters for Keras models."""


for command in (demo, best, trials, advice, report, export, recover):
    main.add_command(command)
