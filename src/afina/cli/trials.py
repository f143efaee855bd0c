"""`afina best`, `afina trials` and `afina recover`: the trials in a project folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from afina.cli.exits import NOTHING_COMPLETED
from afina.cli.places import PLACE
from afina.cli.rows import best_rows, completed_rows, measured
from afina.errors import ArgumentError, StoreError, wrong
from afina.store.places import hide_password
from afina.store.project import no_search
from afina.trials import Failure, FailureKind, Status, why_none_completed
from afina.trials.text import json_text, printable


@click.command()
@click.argument("folder", type=PLACE)
@click.option(
    "--count",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="Show at most this many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def best(folder: Path | str, count: int, as_json: bool) -> None:
    """Show the best configurations of the search in FOLDER, best first.

    Trials that train the same model further count as one configuration. With several objectives
    you see the Pareto front, sorted by the first objective. FOLDER is a tuner's
    `directory/project_name`, or the URL of a database with its "?project=name". The search may
    still be running. The command exits with 3 if no trial has been completed.
    """
    known, objective, faults = _read(folder)
    found = best_rows(known, objective)
    if not found and not as_json:
        click.echo(printable(_why_none(known), lines=True))
    else:
        _print(found[:count], as_json)
    _complain(faults)
    if not found:
        raise click.exceptions.Exit(NOTHING_COMPLETED)


@click.command()
@click.argument("folder", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def trials(folder: Path | str, as_json: bool) -> None:
    """List all trials of the search in FOLDER, in the order in which they started.

    FOLDER is a tuner's `directory/project_name`, or the URL of a database with its
    "?project=name". The search may still be running.
    """
    known, _, faults = _read(folder)
    _print(known, as_json)
    _complain(faults)


@click.command()
@click.argument("folder", type=PLACE)
def recover(folder: Path | str) -> None:
    """Let the search in FOLDER continue without its missing trials.

    FOLDER is a tuner's `directory/project_name` in which trials are missing, as an error says. If
    you have the lost files, restore them instead.
    """
    from afina.store import recover_project

    if isinstance(folder, str):
        rule = "must be a folder: a database server looks after its files itself"
        raise ArgumentError(wrong("FOLDER", rule, hide_password(folder)))
    count = recover_project(folder)
    click.echo(f"The search can continue with {count} finished trial{'s' * (count != 1)}.")


def _read(folder: Path | str) -> tuple[list[dict[str, Any]], Any, list[str]]:
    """The trials of a project as rows, its objective, and sentences on what cannot be read.

    Raises:
        StoreError: There is no search in `folder`, or nothing in it can be read.
    """
    from afina.store.salvage import read_project

    found = read_project(folder, count_reports=True)
    if found.header is None and not found.trials:
        raise StoreError(no_search(folder))
    epochs = found.epochs()
    rows: list[dict[str, Any]] = [
        {
            "number": trial.number,
            "status": trial.status.value,
            "score": trial.score,
            "loss": trial.loss,
            "epochs": epochs[trial.number],
            "seconds": round(trial.seconds, 3),
            "values": dict(trial.values),
            "failure": trial.failure.message if trial.failure else None,
        }
        for trial in found.trials
    ]
    objective = found.header.objective if found.header is not None else {}
    return completed_rows(rows, found.trials, objective), objective, found.faults


def _complain(faults: Sequence[str]) -> None:
    """Ends the command with an error if something could not be shown."""
    if faults:
        raise StoreError("Some trials cannot be shown. " + " ".join(faults))


def _why_none(trials: Sequence[Mapping[str, Any]]) -> str:
    failed = [trial["failure"] for trial in trials if trial["status"] == Status.FAILED.value]
    failures = [Failure(FailureKind.ERROR, message or "") for message in failed]
    return why_none_completed(failures, unfinished=len(trials) - len(failed))


def _print(trials: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json_text(trials))
    elif not trials:
        click.echo("No trials yet.")
    else:
        scores = measured(trials[0])
        spent = "wall seconds" if "seconds" in scores else "seconds"
        rows = [("trial", "status", *scores, "epochs", spent, "values")]
        for line in _aligned([*rows, *map(_row, trials)]):
            click.echo(line)


def _row(trial: Mapping[str, Any]) -> tuple[str, ...]:
    scores = ["-" if each is None else f"{each:.6g}" for each in measured(trial).values()]
    values = ", ".join(
        f"{printable(name)}={_short(value)}" for name, value in trial["values"].items()
    )
    message = trial["failure"]
    reason = Failure(FailureKind.ERROR, message).headline if message else ""
    return (
        str(trial["number"]),
        trial["status"],
        *scores,
        str(trial["epochs"]),
        f"{trial['seconds']:.1f}",
        f"{values}  ({printable(reason)})" if reason else values,
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines with each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
