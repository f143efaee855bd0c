"""Which trials of one search can teach another search that has a different space."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from afina.advice.evidence import loss_of
from afina.space import HyperParameter, Space, Value
from afina.space.conditions import same_value
from afina.trials import Status, Trial


def carry_over(
    trials: Iterable[Trial], old_space: Space, new_space: Space, free: Collection[str] = ()
) -> list[Trial]:
    """The old trials that are also trials of the new space, with their values there.

    A trial is carried over if all of its values are in the new space. A hyperparameter that is new
    gets its default. A hyperparameter that only the old space had is dropped, but only if the
    trial's value was the old default: then the new build does the same as the old one.

    Args:
        trials: The trials of the old search; unfinished ones are left out.
        old_space: The space of the old search.
        new_space: The space of the new search.
        free: Hyperparameters without an effect: they never prevent a trial from being carried over,
            and get a value of the new space.

    Returns:
        The trials with their new values, failed trials included. Losses are those that were
        measured, or None. A promoted trial comes with the trials that it continues.

    Example:
        >>> from afina.space import Int
        >>> old, new = Space((Int("units", 8, 64),)), Space((Int("units", 32, 64),))
        >>> done = [
        ...     Trial(number=n, values={"units": u}, status=Status.COMPLETED, score=1.0, loss=1.0)
        ...     for n, u in enumerate([8, 48])
        ... ]
        >>> [trial.values for trial in carry_over(done, old, new)]
        [{'units': 48}]
    """
    found = []
    for trial in trials:
        finished = trial.status is Status.FAILED or loss_of(trial) is not None
        if not finished:
            continue
        values = _carried(trial, old_space, new_space, free)
        if values is not None:
            found.append(replace(trial, values=values))
    return found


def _carried(
    trial: Trial, old_space: Space, new_space: Space, free: Collection[str]
) -> dict[str, Value] | None:
    """The trial's values in the new space; None if it is not a trial of that space."""
    strange = False
    old_names = {entry.name for entry in old_space}
    was_active = {entry.name for entry in old_space.active(trial.values)}

    def choose(index: int, entry: HyperParameter) -> Value:
        nonlocal strange
        del index
        if entry.name not in trial.values:
            # The trial is older than the entry, or the entry was inactive in it.
            strange = strange or (entry.name in old_names and entry.name not in was_active)
            return entry.default
        value = trial.values[entry.name]
        if entry.contains(value):
            return entry.clip(value)  # type: ignore[no-any-return]
        strange = strange or entry.name not in free
        return entry.default

    values = new_space.walk(choose)
    names = {entry.name for entry in new_space}
    for entry in old_space.active(trial.values):
        if entry.name in names or entry.name in free:
            continue
        if not same_value(trial.values.get(entry.name, entry.default), entry.default):
            return None
    return None if strange else values
