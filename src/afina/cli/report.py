"""`afina report` and `afina advice`: what a search taught, as a page and as sentences."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path

import click

from afina.cli.places import PLACE
from afina.trials.text import json_text, printable


@click.command()
@click.argument("folder", type=PLACE)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
def report(folder: Path | str, output: Path) -> None:
    """Write a report of the search in FOLDER: one HTML file that works offline.

    FOLDER is a tuner's `directory/project_name`, or the URL of a database with its
    "?project=name". The search may still be running.
    """
    from afina.report import write_report

    click.echo(f"Written: {write_report(folder, output)}")
    _tell_rules(folder)


@click.command()
@click.argument("folder", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON.")
@click.option("--code", "as_code", is_flag=True, help="Print the next search space as Python code.")
def advice(folder: Path | str, as_json: bool, as_code: bool) -> None:
    """Print which hyperparameters matter in the search in FOLDER, and what to search next.

    FOLDER is a tuner's `directory/project_name`, or the URL of a database with its
    "?project=name". The search may still be running.
    """
    from afina.advice import advice as advise
    from afina.report import read_facts
    from afina.study.rules import rules_in

    facts = read_facts(folder)
    seed = facts.header.seed
    found = advise(facts.finished, facts.space, objective=facts.objective, seed=seed)
    if as_json:
        rules = rules_in(folder)
        told = {"constraints_not_applied": rules} if rules else {}
        click.echo(json_text({**found.to_dict(), **told}))
    elif as_code:
        click.echo(found.as_code(), nl=False)
    else:
        text = str(found)
        on_terminal = sys.stdout.isatty()  # a file or another program gets whole lines
        click.echo(fitted(text, shutil.get_terminal_size().columns) if on_terminal else text)
    if not as_json:
        _tell_rules(folder)


def fitted(text: str, width: int) -> str:
    """The text with its long lines broken between words.

    Args:
        text: Lines; what goes on below one is indented further than it.
        width: Characters of a line of the terminal.
    """
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        below = indent + "    " if indent else ""
        lines += textwrap.wrap(
            line,
            max(width, 20),
            subsequent_indent=below,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def _tell_rules(folder: Path | str) -> None:
    """Says on standard error which constraints the search has that a folder cannot tell."""
    from afina.study.rules import rules_in

    for text in rules_in(folder):
        click.echo(printable(f"Not applied, as only the script has the function: {text}"), err=True)
