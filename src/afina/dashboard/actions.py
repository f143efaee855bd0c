"""What people may do to a search from the page. Each action is a request that the search reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from afina.errors import ArgumentError, wrong
from afina.page.watch import REMARKS, Watch
from afina.search.wrappers import check_points
from afina.space import HyperParameter, HyperParameters, Space, Value
from afina.space.parameters import Numerical
from afina.store import SharedStore
from afina.study.by_hand import why_not, why_not_longer
from afina.study.requests import Requests, plan_of
from afina.trials import Status

LONGEST_REMARK = 2000
"""Characters of a remark on a trial."""

MOST_EPOCHS = 100_000
"""Epochs by which a trial may be trained for longer at once."""

UNKNOWN = "a search that has not begun since this version was installed"
"""Why nothing can be asked of a search that has not said what it can do."""

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


def _check_running(watch: Watch, number: int) -> None:
    if (status := watch.trials[number].status) is not Status.RUNNING:
        raise ArgumentError(wrong(f"trial {number}", "must be running", status.value))


def _end(watch: Watch, body: Mapping[str, Any]) -> str:
    number = _number(watch, body)
    _check_running(watch, number)
    Requests(watch.store).ask_end(number)
    return f"Trial {number} ends after its epoch and keeps its best score."


def _pause(watch: Watch, body: Mapping[str, Any]) -> str:
    number = _number(watch, body)
    _check_able(watch, "pause", f"trial {number}", "must be one that can be paused")
    _check_running(watch, number)
    Requests(watch.store).ask_pause(number)
    return f"Trial {number} is saved after its epoch, and waits until you resume it."


def _resume(watch: Watch, body: Mapping[str, Any]) -> str:
    number = _number(watch, body)
    requests = Requests(watch.store)
    if number not in requests.paused:
        raise ArgumentError(wrong(f"trial {number}", "must be paused", "one that is not"))
    requests.ask_resume(number)
    return f"Trial {number} goes on as soon as a worker is free. {_when(watch)}".strip()


def _boost(watch: Watch, body: Mapping[str, Any]) -> str:
    number, epochs = _number(watch, body), _real(body.get("epochs"))
    if epochs is None or not epochs.is_integer() or not 1 <= epochs <= MOST_EPOCHS:
        rule = f"must be a whole number from 1 to {MOST_EPOCHS}"
        raise ArgumentError(wrong("epochs", rule, body.get("epochs")))
    _check_able(watch, "boost", f"trial {number}", "must be one that can train for longer")
    trial = watch.trials[number]
    reason = why_not_longer(trial)
    if reason is not None and not (trial.status is Status.COMPLETED and watch.epochs.get(number)):
        raise ArgumentError(wrong(f"trial {number}", "must be able to train for longer", reason))
    Requests(watch.store).ask_boost(number, int(epochs))
    more = f"{int(epochs)} more epoch{'s' * (epochs != 1)}"
    return f"A new trial continues trial {number} for {more}. {_when(watch)}".strip()


def _range(watch: Watch, body: Mapping[str, Any]) -> str:
    name = body.get("name")
    space = _space(watch)
    entries = [entry for entry in space if entry.name == name]
    if not isinstance(name, str) or not entries:
        raise ArgumentError(wrong("name", "must be that of a hyperparameter", name))
    _check_able(watch, "ranges", name, "must be a hyperparameter whose range can be changed")
    wanted = _wanted(entries, body)
    reason = None if wanted is None else why_not(space, {name: wanted})
    if reason is not None:
        raise ArgumentError(wrong(name, "must keep some of its values", reason))
    Requests(watch.store).ask_range(name, wanted)
    whole = "its whole range" if wanted is None else "this range"
    return f"New trials draw {name} from {whole}. {_when(watch)}".strip()


def _wanted(entries: list[HyperParameter], body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of a range that somebody asks for; None for all of it."""
    name, values = entries[0].name, body.get("values")
    if isinstance(entries[0], Numerical):
        ends = {end: _real(body[end]) for end in ("low", "high") if body.get(end) not in (None, "")}
        for end, number in ends.items():
            if number is None:
                raise ArgumentError(wrong(f"{name}: {end}", "must be a number", body[end]))
            outside = not any(e.min_value <= number <= e.max_value for e in _numbers(entries))
            if outside:
                rule = f"must lie in the range of the script, {_words(entries)}"
                raise ArgumentError(wrong(f"{name}: {end}", rule, number, "Change the script."))
        if len(ends) == 2 and (ends["low"] or 0.0) > (ends["high"] or 0.0):
            rule = "must not be above the highest"
            raise ArgumentError(wrong(f"{name}: the lowest value", rule, ends["low"]))
        return ends or None
    if values is None:
        return None
    if not isinstance(values, list) or not values:
        raise ArgumentError(wrong(name, "must keep at least one of its values", values))
    return {"values": [_value(entries, value) for value in values]}


def _numbers(entries: list[HyperParameter]) -> list[Numerical]:
    return [entry for entry in entries if isinstance(entry, Numerical)]


def _words(entries: list[HyperParameter]) -> str:
    parts = _numbers(entries)
    return f"{min(e.min_value for e in parts)} to {max(e.max_value for e in parts)}"


def _dismiss(watch: Watch, body: Mapping[str, Any]) -> str:
    del body
    Requests(watch.store).dismiss()
    return "The answers of the search are gone."


def _check_able(watch: Watch, request: str, what: str, rule: str) -> None:
    """Raises ArgumentError with the search's own reason if it cannot follow a request."""
    plan = plan_of(watch.store)
    reason = plan.get("cannot", {"pause": UNKNOWN, "boost": UNKNOWN, "ranges": UNKNOWN})
    if request in reason:
        raise ArgumentError(wrong(what, rule, reason[request]))


def _when(watch: Watch) -> str:
    ended = plan_of(watch.store).get("reason")
    return f"The search has ended ({ended}): run its script again." if ended else ""


def _space(watch: Watch) -> Space:
    return HyperParameters.from_config(dict(watch.store.space() or {})).to_space()


def _try(watch: Watch, body: Mapping[str, Any]) -> str:
    given = body.get("values")
    if not isinstance(given, Mapping) or watch.header is None:
        raise ArgumentError(wrong("values", "must be a mapping of names to values", given))
    space = _space(watch)
    known: dict[str, list[HyperParameter]] = {}
    for entry in space:
        known.setdefault(entry.name, []).append(entry)
    values = {}
    for name, value in given.items():
        if name not in known:
            raise ArgumentError(wrong("values", "must name hyperparameters", name))
        values[name] = _value(known[name], value)
    check_points([values], space, what="values")
    Requests(watch.store).ask_try(values)
    return f"The next trial that begins from scratch tries these values. {_when(watch)}".strip()


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
    "pause": _pause,
    "resume": _resume,
    "boost": _boost,
    "range": _range,
    "dismiss": _dismiss,
    "try": _try,
    "remark": _remark,
}
"""By name."""
