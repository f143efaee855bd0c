"""`afina tune`: a search from the command line."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from afina.cli.exits import NOTHING_COMPLETED
from afina.store.places import STORAGE, hide_password, is_postgres
from afina.trials.text import json_text, printable

KINDS = ("auto", "bayesian", "hyperband", "random", "grid")


@click.command()
@click.argument("target")
@click.option("--data", required=True, help="The data: FILE.npz, or FILE.py:NAME of a function.")
@click.option("--objective", help="A metric such as val_accuracy; several, separated by commas.")
@click.option("--time", "span", help="Wall time, such as 90s, 30m or 1h30m.")
@click.option("--trials", type=click.IntRange(min=1), help="How many trials in all.")
@click.option("--tuner", "kind", type=click.Choice(KINDS), default="auto", show_default=True)
@click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("untitled_project"),
    show_default=True,
    help="The folder of the project; one that is there is continued.",
)
@click.option("--store", help="The URL of a database that keeps the trials.")
@click.option("--epochs", type=click.IntRange(min=1), default=10, show_default=True, help="Most.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows of a batch.")
@click.option("--validation-split", type=click.FloatRange(0, 1, min_open=True, max_open=True))
@click.option("--cv", type=click.IntRange(min=2), help="Cross-validate with so many folds.")
@click.option("--seed", type=click.IntRange(min=0), help="Fixes all random draws.")
@click.option("--workers", type=click.IntRange(min=1), help="Trials side by side.")
@click.option("--executor", type=click.Choice(("serial", "threads", "processes", "ray")))
@click.option("--narrow", help='"auto", or after how many trials the space is narrowed.')
@click.option(
    "--start-from",
    "points",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file with a list of configurations to try first; with --tuner auto.",
)
@click.option("--overwrite", is_flag=True, help="Delete an existing project first.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def tune(target: str, data: str, span: str | None, as_json: bool, **options: Any) -> None:
    """Search for good hyperparameters of the model that TARGET builds.

    TARGET is FILE.py:NAME or MODULE:NAME of a function build(hp) or a HyperModel. A data file holds
    arrays x and y, or x_train and y_train, as numpy.savez writes them; x_val and y_val are used to
    validate, else a fifth of the rows. A function returns (x, y) or ((x, y), (x_val, y_val)).

    The command runs TARGET, so name only code that you trust. It exits with 3 if no trial was
    completed. Run it again to continue.

    \b
    Examples:
      afina tune train.py:build --data data.npz --objective val_accuracy --time 30m
      afina tune train.py:build --data train.py:load --tuner random --trials 20 --cv 5 --json
    """
    from afina.tuners.from_names import seconds_of
    from afina.tuners.from_names import tune as search

    seconds = None if span is None else seconds_of(span)
    with contextlib.ExitStack() as quiet:
        if as_json:  # what the user's own code prints goes elsewhere, too
            quiet.enter_context(contextlib.redirect_stdout(sys.stderr))
            quiet.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        found = search(target, data, seconds=seconds, verbose=int(not as_json), **options)
    if as_json:
        click.echo(json_text(found.as_dict()))
    else:
        click.echo(f"Ended: {printable(found.stop_reason)}.")
        for line in _lines(found, options.get("store") or os.environ.get(STORAGE)):
            click.echo(line)
    if not found.completed:
        raise click.exceptions.Exit(NOTHING_COMPLETED)


def _lines(found: Any, store: str | None) -> list[str]:
    if found.values is None:
        return ["No trial was completed."]
    what = "On the front" if found.score is None else f"Best {found.objective}: {found.score:.6g}"
    values = ", ".join(f"{name}={value}" for name, value in found.values.items())
    place = shlex.quote(_place(found.folder, store))
    return [
        printable(f"{what} with {values}"),
        printable(f"Next: afina advice {place}; afina report {place}"),
    ]


def _place(folder: str, store: str | None) -> str:
    """What other commands take to show this search.

    Example:
        >>> _place("searches/digits", "postgresql://me:secret@host/tuning")
        'postgresql://me:***@host/tuning?project=digits'
        >>> _place("searches/digits", None)
        'searches/digits'
    """
    if not store:
        return folder
    shown = str(hide_password(store))
    if not is_postgres(store) or "project=" in store:
        return shown
    return f"{shown}{'&' if '?' in store else '?'}project={Path(folder).name}"
