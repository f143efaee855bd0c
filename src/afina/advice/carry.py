"""What the trials of one search teach another, whose space is not the same."""

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
    """The old trials that are trials of the new space too, with the values that they have there.

    A trial is carried over where each of its values is one of the new space's. A hyperparameter
    that only the new space has is at its default in it; one that only the old space had is dropped
    from it, which is right only where the new build does the same as the old one at that value, so
    such trials count only if their value was the old default, or if the name is in `free`.

    Args:
        trials: Of the old search; those that are not finished are left out.
        old_space: Its space.
        new_space: The space of the search to come.
        free: Hyperparameters that were found to have no effect: a trial is carried over whatever
            its value, and gets the new space's.

    Returns:
        Trials as they were, but for their values; failed ones too. Their losses are those that were
        measured, or None. A part of a training comes along with the parts that it went on from.

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
    """The trial's values in the new space; None where it has none."""
    strange = False
    old_names = {entry.name for entry in old_space}
    was_active = {entry.name for entry in old_space.active(trial.values)}

    def choose(index: int, entry: HyperParameter) -> Value:
        nonlocal strange
        del index
        if entry.name not in trial.values:
            # Older than the entry, or never had it, as its conditions did not hold then.
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
