"""Trials, reports and headers as rows of plain columns and JSON texts, and back.

JSON knows neither NaN nor infinity, and the `NaN` that Python writes for them is refused by every
SQL database's JSON functions. So metrics, which are always floats, hold the texts "nan", "inf" and
"-inf"; elsewhere, where a text may mean itself, such a float is `{"$float": "nan"}` (and somebody's
own `{"$float": x}` is `{"$float": [x]}`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from afina.errors import StoreError, wrong
from afina.store.base import Header
from afina.trials import Failure, FailureKind, Report, Schedule, Status, Trial

Row = Mapping[Any, Any]
"""Column name to value; also what SQLAlchemy gives, whose keys are wider than texts."""

_FLOAT = "$float"
_SCHEDULE = ("bracket", "rung", "start_epoch", "end_epoch", "parent", "iteration")


def to_json(value: Any, what: str = "value") -> str:
    """The JSON text of a value made of mappings, lists, texts, numbers (NumPy's too) and None.

    Raises:
        StoreError: Something in it is none of these; `what` says whose value it is.

    Example:
        >>> to_json({"rate": float("inf"), "units": (8, 16)})
        '{"rate": {"$float": "inf"}, "units": [8, 16]}'
    """
    try:
        # ASCII only: a text with a lone surrogate (a file name, say) is no UTF-8 for SQLite.
        return json.dumps(_plain(value))
    except TypeError as error:
        raise StoreError(
            wrong(what, "must be made of JSON values", value, f"{error}.".capitalize())
        ) from error


def from_json(text: str) -> Any:
    """The value that `to_json` wrote."""
    # The hook is called for every object, so only where it has something to do.
    return json.loads(text, object_hook=_unwrap if _FLOAT in text else None)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, Mapping):
        plain = {str(key): _plain(part) for key, part in value.items()}
        return {_FLOAT: [plain[_FLOAT]]} if plain.keys() == {_FLOAT} else plain
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):  # scalars and arrays of NumPy and its relatives
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _unwrap(found: dict[str, Any]) -> Any:
    if found.keys() != {_FLOAT}:
        return found
    inner = found[_FLOAT]
    return {_FLOAT: inner[0]} if isinstance(inner, list) else float(inner)


def _metrics_to_json(metrics: Mapping[str, Any]) -> str:
    numbers = {str(name): float(number) for name, number in metrics.items()}
    return json.dumps({name: n if math.isfinite(n) else str(n) for name, n in numbers.items()})


def _metrics_from_json(text: str) -> dict[str, float]:
    return {name: float(number) for name, number in json.loads(text).items()}


def trial_to_row(trial: Trial) -> dict[str, Any]:
    """The columns of the table `trials`.

    Raises:
        StoreError: A value is no JSON value, or the score or loss is not a number.
    """
    what = f"trial {trial.number}"
    schedule = trial.schedule
    failure = trial.failure
    return {
        "number": int(trial.number),
        "status": trial.status.value,
        "values": to_json(trial.values, f"{what}, values"),
        "score": _number(trial.score, f"{what}, score"),
        "loss": _number(trial.loss, f"{what}, loss"),
        "best_step": None if trial.best_step is None else int(trial.best_step),
        "metrics": _metrics_to_json(trial.metrics),
        "failure_kind": failure.kind.value if failure else None,
        "failure_message": _text(failure.message) if failure else None,
        **{name: getattr(schedule, name) if schedule else None for name in _SCHEDULE},
        "ranges": to_json(trial.ranges, f"{what}, ranges"),
        "known": int(trial.known),
        "attempt": int(trial.attempt),
        "ended": None if trial.ended is None else int(trial.ended),
        "seconds": float(trial.seconds),
        "notes": to_json(trial.notes, f"{what}, notes"),
    }


def row_to_trial(row: Row) -> Trial:
    """The trial that `trial_to_row` wrote."""
    failed, scheduled = row["failure_kind"] is not None, row["bracket"] is not None
    return Trial(
        number=row["number"],
        values=from_json(row["values"]),
        status=Status(row["status"]),
        schedule=Schedule(**{name: row[name] for name in _SCHEDULE}) if scheduled else None,
        ranges=tuple(from_json(row["ranges"])),
        known=row["known"],
        attempt=row["attempt"],
        score=row["score"],
        loss=row["loss"],
        best_step=row["best_step"],
        metrics=_metrics_from_json(row["metrics"]),
        failure=Failure(FailureKind(row["failure_kind"]), row["failure_message"])
        if failed
        else None,
        ended=row["ended"],
        seconds=row["seconds"],
        notes=from_json(row["notes"]),
    )


def _number(number: float | None, what: str) -> float | None:
    if number is None:
        return None
    number = float(number)
    if math.isnan(number):  # SQL would make it NULL, and no order of trials could hold it
        raise StoreError(wrong(what, "must be a number", number, "Such a trial has failed."))
    return number


def _text(text: str) -> str:
    # A traceback may quote anything; what is no Unicode is for people to read only.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def report_to_row(report: Report) -> dict[str, Any]:
    """The columns of the table `reports`."""
    return {
        "trial": int(report.trial),
        "attempt": int(report.attempt),
        "execution": int(report.execution),
        "step": int(report.step),
        "metrics": _metrics_to_json(report.metrics),
    }


def row_to_report(row: Row) -> Report:
    """The report that `report_to_row` wrote."""
    return Report(
        trial=row["trial"],
        attempt=row["attempt"],
        execution=row["execution"],
        step=row["step"],
        metrics=_metrics_from_json(row["metrics"]),
    )


def header_to_json(header: Header) -> str:
    """The header as one JSON text."""
    return to_json({name: getattr(header, name) for name in Header.__slots__}, "header")


def header_from_json(text: str) -> Header:
    """The header that `header_to_json` wrote."""
    kept = from_json(text)
    kept.pop("extra", None)  # an empty mapping that early versions wrote
    return Header(**kept)
