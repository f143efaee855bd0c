"""Trials as plain records: JSON, CSV, and tables of pandas."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from afina.errors import ArgumentError
from afina.trials.trial import USER_ATTR, Trial

LEADING = ("number", "status", "score", "best_step", "epochs", "seconds", "failure")
"""The first columns of a table; those of the values, metrics and attributes follow."""

_PARTS = ("values", "metrics", "user_attrs")


def record_of(trial: Trial) -> dict[str, Any]:
    """A trial as JSON values, with None for NaN and infinities."""
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
        "notes": {n: text for n, text in trial.notes.items() if not n.startswith(USER_ATTR)},
        "user_attrs": trial.user_attrs,
    }


def _number(value: Any) -> Any:
    """Replaces NaN and infinities by None: JSON has neither."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as a JSON list."""
    return json.dumps(list(records), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as CSV: one column for each value ("values.units"), metric and attribute.

    Example:
        >>> record = dict.fromkeys(LEADING) | {"number": 0, "values": {"units": 8}, "metrics": {}}
        >>> print(as_csv([record]))
        number,status,score,best_step,epochs,seconds,failure,values.units
        0,,,,,,,8
        <BLANKLINE>
    """
    names = columns_of(records)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*LEADING, *names])
    for record in records:
        cells = [record[name] for name in LEADING]
        table.writerow([*cells, *(record.get(part, {}).get(name) for part, name in names.values())])
    return text.getvalue()


def columns_of(records: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """The columns after the leading ones, as "values.units", with the part and the name of each."""
    rows = list(records)
    pairs = [(part, name) for part in _PARTS for record in rows for name in record.get(part, {})]
    return {f"{part}.{name}": (part, name) for part, name in pairs}


def as_frame(trials: Iterable[Trial]) -> Any:
    """The trials as a pandas DataFrame: one row for each trial, by number.

    The columns are those of `as_csv`. A value that a trial does not have is missing (NaN or None).

    Raises:
        ArgumentError: pandas is not installed.

    Example:
        >>> frame = as_frame([Trial(number=0, values={"units": 8})])
        >>> frame[["number", "status", "values.units"]].values.tolist()
        [[0, 'running', 8]]
    """
    try:
        import pandas as pd
    except ImportError:
        raise ArgumentError("Tables need pandas: pip install pandas") from None
    records = [record_of(trial) for trial in trials]
    rows = [
        {name: record[name] for name in LEADING}
        | {f"{part}.{name}": value for part in _PARTS for name, value in record[part].items()}
        for record in records
    ]
    names = dict.fromkeys([*LEADING, *columns_of(records)])
    return pd.DataFrame(rows, columns=list(names))
