"""Trials, reports and headers as rows of plain columns and JSON texts, and back.

JSON has no NaN and no infinity, and the JSON functions of SQL databases refuse the `NaN` that
Python writes. So metrics, which are always floats, use the texts "nan", "inf" and "-inf".
Elsewhere a text may mean itself, so such a float is `{"$float": "nan"}`. A user's own
`{"$float": x}` becomes `{"$float": [x]}`.
"""

from __future__ import annotations

import json
import math
import operator
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from afina.errors import StoreError, wrong
from afina.store.base import Header
from afina.trials import Failure, FailureKind, Report, Schedule, Status, Trial

UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""Errors that decoding raises if the stored value is not what was written."""

Row = Mapping[Any, Any]
"""Column name to value. SQLAlchemy's rows match too, whose keys need not be texts."""

_FLOAT = "$float"
_NOTHING: dict[type, str] = {dict: "{}", tuple: "[]", list: "[]"}
_AS_IT_IS = frozenset({str, bool, int, type(None)})
_DECODER: Any = json.JSONDecoder()
_SCAN = _DECODER.scan_once  # the part of it that is written in C
_EMPTY: dict[str, Any] = {"{}": dict, "[]": list}
_SCHEDULE = ("bracket", "rung", "start_epoch", "end_epoch", "parent", "iteration")


def why_unreadable(error: BaseException) -> str:
    """Says in one line why a row cannot be decoded."""
    text = str(error) if isinstance(error, TypeError | ValueError) else ""
    return text or f"{type(error).__name__}: {error}"


def to_json(value: Any, what: str = "value") -> str:
    """The JSON text of a value made of mappings, lists, texts, numbers (NumPy's too) and None.

    Raises:
        StoreError: It contains something else; the message names the value by `what`.

    Example:
        >>> to_json({"rate": float("inf"), "units": (8, 16)})
        '{"rate": {"$float": "inf"}, "units": [8, 16]}'
    """
    if type(value) in _NOTHING and not value:
        return _NOTHING[type(value)]
    try:
        # ASCII only: SQLite refuses a text with a lone surrogate (a file name, say) as UTF-8.
        return json.dumps(_plain(value))
    except TypeError as error:
        raise StoreError(
            wrong(what, "must be made of JSON values", value, f"{error}.".capitalize())
        ) from error


def from_json(text: str) -> Any:
    """The value that `to_json` wrote."""
    if text in _EMPTY:
        return _EMPTY[text]()
    # The hook is slow: it is called for every object. Use it only if there is something to do.
    return json.loads(text, object_hook=_unwrap) if _FLOAT in text else _loads(text)


def _loads(text: str) -> Any:
    """What `json.loads` returns, in a third of the time for what Afina has written."""
    try:
        value, end = _SCAN(text, 0)
    except (ValueError, StopIteration):
        end = -1
    return value if end == len(text) else json.loads(text)


def _plain(value: Any) -> Any:
    if type(value) in _AS_IT_IS or (type(value) is float and math.isfinite(value)):
        return value
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
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _unwrap(found: dict[str, Any]) -> Any:
    if found.keys() != {_FLOAT}:
        return found
    inner = found[_FLOAT]
    return {_FLOAT: inner[0]} if isinstance(inner, list) else float(inner)


def _metrics_to_json(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return "{}"
    numbers = {str(name): float(number) for name, number in metrics.items()}
    return json.dumps({name: n if math.isfinite(n) else str(n) for name, n in numbers.items()})


def _metrics_from_json(text: str) -> dict[str, float]:
    if text == "{}":
        return {}
    return {name: float(number) for name, number in _mapping(_loads(text)).items()}


def checksum(row: Row, names: Sequence[str]) -> int:
    """The checksum of the values in these columns, to detect changed rows."""
    return _checksum([row[name] for name in names])


def _checksum(values: list[Any]) -> int:
    text = repr(values)
    if "-0.0" in text:  # SQLite stores negative zero as zero
        text = repr([v + 0.0 if isinstance(v, float) else v for v in values])
    return zlib.crc32(text.encode("utf-8", "backslashreplace"))


def check_sum(row: Row, names: Sequence[str]) -> None:
    """Raises ValueError if a row's `crc` is not its checksum; rows without a `crc` pass."""
    if row["crc"] is not None and row["crc"] != checksum(row, names):
        raise _changed()


def _changed() -> ValueError:
    return ValueError("its checksum does not match: it was changed from outside, or is damaged")


def trial_to_row(trial: Trial) -> dict[str, Any]:
    """The columns of the table `trials`.

    Raises:
        StoreError: A value is not a JSON value, or the score or loss is NaN.
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


def read_trial(row: Row) -> Trial:
    """The trial that `trial_to_row` wrote, after a look at its checksum; rows without one pass.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: The row is not what was written.
    """
    cells = _CELLS(row)
    if row["crc"] is not None and row["crc"] != _checksum([*cells]):
        raise _changed()
    return _trial(cells)


def row_to_trial(row: Row) -> Trial:
    """The trial that `trial_to_row` wrote.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: The row is not what was written.
    """
    return _trial(_CELLS(row))


_COLUMNS = (
    *("number", "status", "values", "score", "loss", "best_step", "metrics", "failure_kind"),
    *("failure_message", *_SCHEDULE, "ranges", "known", "attempt", "ended", "seconds", "notes"),
)
"""The columns of the table `trials` in their order, without those that no checksum covers."""

_CELLS = operator.itemgetter(*_COLUMNS)
_STATUS = {each.value: each for each in Status}


def _trial(cells: tuple[Any, ...]) -> Trial:
    kinds = tuple(map(type, cells))
    if kinds not in _SOUND:  # once for each combination: all workers read each trial of a search
        _check_types(dict(zip(_COLUMNS, cells, strict=True)))
        _SOUND.add(kinds)
    number, status, values, score, loss, best_step, metrics, kind, message, *rest = cells
    *schedule, ranges, known, attempt, ended, seconds, notes = rest
    noted = _mapping(from_json(notes))
    for each in noted.values():
        _said(each)
    return Trial(
        number=number,
        values=_mapping(from_json(values)),
        status=_STATUS.get(status) or Status(status),
        schedule=None
        if schedule[0] is None
        else Schedule(**dict(zip(_SCHEDULE, schedule, strict=True))),
        ranges=()
        if ranges == "[]"
        else tuple([_mapping(each) for each in _list(from_json(ranges))]),
        known=known,
        attempt=attempt,
        score=score,
        loss=loss,
        best_step=best_step,
        metrics=_metrics_from_json(metrics),
        failure=None if kind is None else Failure(FailureKind(kind), _said(message)),
        ended=ended,
        seconds=seconds,
        notes=noted,
    )


# SQLite accepts any value in any column, whatever the table says: a text as a score, say.


_WHOLE = ("number", "known", "attempt")
_WHOLE_OR_NONE = ("best_step", "ended")
_REAL_OR_NONE = ("score", "loss")

_SOUND: set[tuple[type, ...]] = set()
"""Types of the columns that `_check_types` has found to be right."""


def _check_types(row: Row) -> None:
    for name in _WHOLE:
        _whole(row, name)
    for name in _WHOLE_OR_NONE:
        _whole(row, name, may_lack=True)
    for name in _REAL_OR_NONE:
        _real(row, name, may_lack=True)
    _real(row, "seconds")
    for name in _SCHEDULE if row["bracket"] is not None else ():
        _whole(row, name, may_lack=name == "parent")


def _whole(row: Row, name: str, *, may_lack: bool = False) -> Any:
    value = row[name]
    if not isinstance(value, int) and not (value is None and may_lack):
        raise TypeError(f"its {name} must be a whole number, but is {value!r:.60}")
    return value


def _real(row: Row, name: str, *, may_lack: bool = False) -> Any:
    value = row[name]
    if not isinstance(value, int | float) and not (value is None and may_lack):
        raise TypeError(f"its {name} must be a number, but is {value!r:.60}")
    return value


def _said(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"it must hold a text, but holds {text!r:.60}")
    return text


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"it must hold a JSON object, but holds {value!r:.60}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"it must hold a JSON list, but holds {value!r:.60}")
    return value


def _number(number: float | None, what: str) -> float | None:
    if number is None:
        return None
    number = float(number)
    if math.isnan(number):  # SQL would store NULL, and NaN cannot be sorted among other scores
        raise StoreError(wrong(what, "must be a number", number, "Let such a trial fail."))
    return number


def _text(text: str) -> str:
    # A traceback may quote anything. Only people read it, so escape what is not Unicode.
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
        trial=_whole(row, "trial"),
        attempt=_whole(row, "attempt"),
        execution=_whole(row, "execution"),
        step=_whole(row, "step"),
        metrics=_metrics_from_json(row["metrics"]),
    )


def header_to_json(header: Header) -> str:
    """The header as one JSON text."""
    return to_json({name: getattr(header, name) for name in Header.__slots__}, "header")


def header_from_json(text: str) -> Header:
    """The header that `header_to_json` wrote."""
    fields = dict(_mapping(from_json(text)))
    fields.pop("extra", None)  # an empty mapping that early versions wrote
    for name in ("settings", "space"):
        _mapping(fields[name])
    return Header(**fields)
