"""In which language `--help` speaks: English, or Spanish if AFINA_LANG or the locale says so.

Commands are written in English. `translated` makes a copy of a command with the texts of
`spanish.py`; what has no translation stays English. Only help is translated: results and errors
are English, so that they can be searched for.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping

import click

from afina.cli.spanish import FRAME, HELP

VARIABLE = "AFINA_LANG"
LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")


def speaks_spanish(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the first of AFINA_LANG and the variables of the locale that is set names Spanish."""
    named = next((environment[key] for key in (VARIABLE, *LOCALE) if environment.get(key)), "")
    return named.lower().replace("-", "_").split("_")[0].split(".")[0] == "es"


def translated(command: click.Command, path: tuple[str, ...] = ()) -> click.Command:
    """A copy of a command, and of its subcommands, whose help is Spanish.

    Args:
        command: The command; it stays as it is.
        path: The names that lead to it from `afina`, as ("import", "optuna").
    """
    texts = HELP.get(" ".join(path), {})
    made = copy.copy(command)
    made.context_class = _SpanishContext
    made.help = texts.get("help", command.help)
    made.params = [_translated_option(each, texts) for each in command.params]
    if isinstance(made, click.Group):
        made.commands = {
            name: translated(each, (*path, name)) for name, each in made.commands.items()
        }
    return made


def _translated_option(parameter: click.Parameter, texts: Mapping[str, str]) -> click.Parameter:
    if not isinstance(parameter, click.Option):
        return parameter
    made = copy.copy(parameter)
    made.help = texts.get(parameter.opts[0], parameter.help)
    return made


class _SpanishFormatter(click.HelpFormatter):
    """Writes what click itself says around the help, in Spanish."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, FRAME["Usage: "] if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        super().write_heading(FRAME.get(heading, heading))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        super().write_dl([(name, _framed(text)) for name, text in rows], col_max, col_spacing)


class _SpanishContext(click.Context):
    formatter_class = _SpanishFormatter


def _framed(text: str) -> str:
    """The help of an option, with click's own words translated."""
    text = FRAME.get(text, text)
    for english in ("[default: ", "[required]"):
        text = text.replace(english, FRAME[english])
    return text
