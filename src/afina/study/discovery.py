"""How a search space is discovered: by building, and by what trials' own builds add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from afina.space import HyperParameters, Space, serialize
from afina.trials import Trial


def discover(
    hp: HyperParameters,
    build: Callable[[HyperParameters], Any],
    learn: Callable[[HyperParameters], Any],
) -> None:
    """Builds until every conditional scope has been active once.

    Args:
        hp: What the builds get; its values move from scope to scope.
        build: The builder; what it returns is thrown away.
        learn: Called after each build with `hp`, which holds what was met.
    """
    seen: set[Any] = set()
    while True:
        _build_allowed(hp, build)
        learn(hp)
        fresh = [scope for scope in hp.inactive_scopes if scope not in seen]
        if not fresh:
            return
        seen.add(fresh[0])
        hp.activate(fresh[0])


def _build_allowed(hp: HyperParameters, build: Callable[[HyperParameters], Any]) -> None:
    """Builds; if the values break a constraint and the build fails, once more with allowed ones."""
    hp.start_build()
    try:
        build(hp)
    except Exception:
        space = hp.to_space()
        allowed = None if space.allows(hp.values) else space.repaired(hp.values)
        if allowed is None:
            raise
        hp.values = dict(allowed)
        hp.start_build()
        build(hp)


def ranges_of(hp: HyperParameters, space: Space, *, may_grow: bool) -> tuple[Any, ...]:
    """The entries of a trial's own build that the space does not hold, or holds otherwise.

    Args:
        hp: What the build was given, with all that it discovered in it.
        space: As known before.
        may_grow: False leaves out entries of other names and conditions than the space's.
    """
    known = set(space.entries)
    places = {(entry.name, entry.conditions) for entry in known}
    return tuple(
        serialize(entry)
        for entry in hp.space
        if entry not in known and (may_grow or (entry.name, entry.conditions) in places)
    )


def found_by(trial: Trial, space: Space, *, may_grow: bool) -> HyperParameters | None:
    """What a finished trial has discovered; None for nothing.

    Args:
        trial: The trial.
        space: As known now.
        may_grow: False leaves out hyperparameters that the space does not name.
    """
    names = {entry.name for entry in space}
    ranges = [each for each in trial.ranges if may_grow or each["config"]["name"] in names]
    if not ranges:
        return None
    found = {"space": ranges, "values": dict(trial.values)}
    return HyperParameters.from_config(found)


def grown_by(
    trial: Trial, hp: HyperParameters, space: Space, *, may_grow: bool
) -> dict[str, Any] | None:
    """The config of the space with what a finished trial has discovered; None for nothing.

    Args:
        trial: The trial.
        hp: The space as known now; it is not changed.
        space: The same.
        may_grow: See `found_by`.
    """
    found = found_by(trial, space, may_grow=may_grow)
    if found is None:
        return None
    preview = hp.copy()
    return preview.get_config() if preview.absorb(found) else None
