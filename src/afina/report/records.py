"""All trials of a project as JSON or CSV, for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afina.report.facts import read_facts
from afina.trials import Trial

LEADING = ("number", "status", "score", "best_step", "epochs", "seconds", "failure")
"""The first columns of a table; those of the values and metrics follow."""


def read_records(folder: str | Path) -> list[dict[str, Any]]:
    """All trials of the search in a project folder, by number, as JSON values.

    Args:
        folder: A tuner's `directory/project_name`. The search may still be running.

    Raises:
        StoreError: There is no search in the folder, or it cannot be read.
    """
    return [_record(trial) for trial in read_facts(folder).trials]


def _record(trial: Trial) -> dict[str, Any]:
    schedule = trial.schedule
    return {
        "number": trial.number,
        "status": trial.status.value,
        "score": _number(trial.score),
        "best_step": trial.best_step,
        "epochs": len(trial.curve),
        "seconds": round(trial.seconds, 3),
        "values": {name: _number(value) for name, value in trial.values.items()},
        "metrics": {name: _number(value) for name, value in trial.metrics.items()},
        "parent": trial.parent,
        "start_epoch": trial.start_epoch,
        "end_epoch": trial.end_epoch,
        "bracket": None if schedule is None else schedule.bracket,
        "rung": None if schedule is None else schedule.rung,
        "failure": None if trial.failure is None else trial.failure.message,
        "failure_kind": None if trial.failure is None else trial.failure.kind.value,
        "notes": dict(trial.notes),
    }


def _number(value: Any) -> Any:
    """Replaces NaN and infinities by None: JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as a JSON list."""
    return json.dumps(list(records), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as CSV: one column for each value ("values.units") and each metric.

    Example:
        >>> record = dict.fromkeys(LEADING) | {"number": 0, "values": {"units": 8}, "metrics": {}}
        >>> print(as_csv([record]))
        number,status,score,best_step,epochs,seconds,failure,values.units
        0,,,,,,,8
        <BLANKLINE>
    """
    parts = ("values", "metrics")
    names = {(part, name): None for part in parts for record in records for name in record[part]}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*LEADING, *(f"{part}.{name}" for part, name in names)])
    for record in records:
        cells = [record[name] for name in LEADING]
        table.writerow([*cells, *(record[part].get(name) for part, name in names)])
    return text.getvalue()
