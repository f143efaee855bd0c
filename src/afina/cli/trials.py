"""`afina best` and `afina trials`: what the search in a project folder has come to so far."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from afina.cli.rows import best_rows, completed_rows, measured
from afina.errors import StoreError, wrong
from afina.trials import Failure, FailureKind, Status, why_none_completed

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--count", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def best(folder: Path, count: int, as_json: bool) -> None:
    """Show the best configurations of the search in FOLDER, best first.

    A model that was trained on in several trials is one configuration. With several objectives
    you see the Pareto front, sorted by the first objective. FOLDER is a tuner's
    `directory/project_name`. The search may be running meanwhile.
    """
    known, objective = _read(folder)
    found = best_rows(known, objective)
    if not found and not as_json:
        click.echo(_why_none(known))
    else:
        _print(found[:count], as_json)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def trials(folder: Path, as_json: bool) -> None:
    """List all trials of the search in FOLDER, in the order in which they began.

    FOLDER is a tuner's `directory/project_name`. The search may be running meanwhile.
    """
    _print(_read(folder)[0], as_json)


def _read(folder: Path) -> tuple[list[dict[str, Any]], Any]:
    """The trials of a project as plain facts, and its objective as the store has it.

    Raises:
        StoreError: There is no search in `folder`, or it cannot be read.
    """
    from afina.store import open_store

    store = open_store(folder)
    try:
        header = store.header()
        if header is None:
            raise StoreError(wrong("FOLDER", "must hold a search", str(folder), _advice(folder)))
        stored = store.trials()
        rows = [
            {
                "number": trial.number,
                "status": trial.status.value,
                "score": trial.score,
                "loss": trial.loss,
                "epochs": len(store.history(trial.number)),
                "seconds": round(trial.seconds, 3),
                "values": dict(trial.values),
                "failure": trial.failure.message if trial.failure else None,
            }
            for trial in stored
        ]
        return completed_rows(rows, stored, header.objective), header.objective
    finally:
        store.close()


def _why_none(trials: Sequence[Mapping[str, Any]]) -> str:
    failed = [trial["failure"] for trial in trials if trial["status"] == Status.FAILED.value]
    failures = [Failure(FailureKind.ERROR, told or "") for told in failed]
    return why_none_completed(failures, unfinished=len(trials) - len(failed))


def _advice(folder: Path) -> str:
    """Names a folder below that does hold a search, the likely slip."""
    from afina.store import open_store

    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        if open_store(below).header() is not None:
            return f"Did you mean {str(below)!r}?"
    return "Give the directory/project_name of a tuner."


def _print(trials: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(trials, indent=2, ensure_ascii=False))
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
    values = ", ".join(f"{name}={_short(value)}" for name, value in trial["values"].items())
    told = trial["failure"]
    reason = Failure(FailureKind.ERROR, told).headline if told else ""
    return (
        str(trial["number"]),
        trial["status"],
        *scores,
        str(trial["epochs"]),
        f"{trial['seconds']:.1f}",
        f"{values}  ({reason})" if reason else values,
    )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines with each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
