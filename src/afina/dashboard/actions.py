"""What people may do to a search from the page. Each action is a request that the search reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from afina.dashboard.watch import REMARKS, Watch
from afina.errors import ArgumentError, wrong
from afina.space import HyperParameter, HyperParameters, Value
from afina.space.parameters import Numerical
from afina.store import SharedStore
from afina.study.requests import Requests
from afina.trials import Status

LONGEST_REMARK = 2000
"""Characters of a remark on a trial."""

_NO_NEWS = 2**62


def act(watch: Watch, body: Mapping[str, Any]) -> str:
    """Does what somebody asks for on the page.

    Args:
        watch: Of the search.
        body: The name of the action under "do", and what it needs.

    Returns:
        What happens now, as a sentence for people.

    Raises:
        ArgumentError: It cannot be done.
        StoreError: The store cannot be written.
    """
    name = body.get("do")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        raise ArgumentError(wrong("do", f"must be one of {', '.join(ACTIONS)}", name))
    with watch.lock:
        try:
            said = action(watch, body)
        finally:
            watch.leave()
        watch.refresh(at_once=True)
    return said


def _stop(watch: Watch, body: Mapping[str, Any]) -> str:
    del body
    Requests(watch.store).ask_stop()
    return "No new trial begins. Running trials train to their end."


def _end(watch: Watch, body: Mapping[str, Any]) -> str:
    number = _number(watch, body)
    if watch.trials[number].status is not Status.RUNNING:
        state = watch.trials[number].status.value
        raise ArgumentError(wrong(f"trial {number}", "must be running", state))
    Requests(watch.store).ask_end(number)
    return f"Trial {number} ends after its epoch and keeps its best score."


def _try(watch: Watch, body: Mapping[str, Any]) -> str:
    given = body.get("values")
    if not isinstance(given, Mapping) or watch.header is None:
        raise ArgumentError(wrong("values", "must be a mapping of names to values", given))
    if watch.header.algorithm == "grid":
        rule = "must go with a search that draws its configurations"
        raise ArgumentError(wrong("try", rule, "a grid search, which tries all of them"))
    space = HyperParameters.from_config(dict(watch.store.space() or {})).to_space()
    known: dict[str, list[HyperParameter]] = {}
    for entry in space:
        known.setdefault(entry.name, []).append(entry)
    values = {}
    for name, value in given.items():
        if name not in known:
            raise ArgumentError(wrong("values", "must name hyperparameters", name))
        values[name] = _value(known[name], value)
    Requests(watch.store).ask_try(values)
    return "The next new trial tries these values."


def _value(entries: list[HyperParameter], value: Any) -> Value:
    """The value with the type that the hyperparameter has; texts come from the page's fields."""
    for entry in entries:
        if isinstance(entry, Numerical):
            number = _real(value)
            if number is not None:
                whole = isinstance(entry.min_value, int) and number.is_integer()
                return int(number) if whole else number
        else:
            for own in entry.values:
                if own == value and isinstance(own, bool) == isinstance(value, bool):
                    return own  # type: ignore[no-any-return]
                if str(own) == value:
                    return own  # type: ignore[no-any-return]
    name, first = entries[0].name, entries[0]
    rule = "must be a number" if isinstance(first, Numerical) else "must be one of its choices"
    raise ArgumentError(wrong(name, rule, value))


def _real(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _remark(watch: Watch, body: Mapping[str, Any]) -> str:
    number, text = _number(watch, body), body.get("text")
    if not isinstance(text, str) or len(text) > LONGEST_REMARK:
        rule = f"must be a text of at most {LONGEST_REMARK} characters"
        raise ArgumentError(wrong("text", rule, type(text).__name__))
    store = watch.store

    def write() -> None:
        note = dict(store.note(REMARKS) or {})
        note.pop(str(number), None)
        if text.strip():
            note[str(number)] = text.strip()
        store.set_note(REMARKS, note)

    if isinstance(store, SharedStore):
        store.turn(lambda changes: write(), _NO_NEWS)
    else:
        write()
    return f"The note on trial {number} is kept."


def _number(watch: Watch, body: Mapping[str, Any]) -> int:
    number = body.get("trial")
    if isinstance(number, bool) or not isinstance(number, int) or number not in watch.trials:
        raise ArgumentError(wrong("trial", "must be the number of a trial", number))
    return number


ACTIONS: Mapping[str, Callable[[Watch, Mapping[str, Any]], str]] = {
    "stop": _stop,
    "end": _end,
    "try": _try,
    "remark": _remark,
}
"""By name."""
