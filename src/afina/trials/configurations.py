"""Groups trials into configurations: the trials that train one model in parts are one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from afina.space.conditions import same_value
from afina.trials.trial import Trial


@dataclass(frozen=True)
class Configuration:
    """A set of values, and the trials that trained its model one after the other.

    A multi-fidelity search trains a model for a few epochs, and continues if it is promoted: two
    trials, one configuration. In any other search, a configuration is one trial.
    """

    parts: tuple[Trial, ...]
    """In the order of their epochs; at least one."""

    @property
    def best(self) -> Trial:
        """The part with the best score; the last part if none has a score."""
        scored = [part for part in self.parts if part.loss is not None]
        return min(scored, key=lambda part: (part.loss, part.number), default=self.parts[-1])

    @property
    def epochs(self) -> int | None:
        """Epochs that the model was trained in all; None if they were not counted."""
        return max((n for part in self.parts if (n := epochs_of(part)) is not None), default=None)

    @property
    def seconds(self) -> float:
        """Wall time of all parts together, in seconds."""
        return sum(part.seconds for part in self.parts)


def epochs_of(trial: Trial) -> int | None:
    """Epochs that the model was trained by the end of this trial; None if they were not counted.

    Example:
        >>> epochs_of(Trial(number=0, values={}, curve=(0.5, 0.4)))
        2
    """
    if trial.curve:
        return trial.start_epoch + len(trial.curve)
    return trial.end_epoch


def configurations(trials: Iterable[Trial]) -> list[Configuration]:
    """Trials grouped into configurations, in the order of their first trials.

    A trial belongs to its parent's configuration if both have the same values. Population-based
    training keeps the weights and changes the values: that starts another configuration.

    Args:
        trials: The trials of a search. A trial without its parent starts a configuration.

    Example:
        >>> from afina.trials import Schedule
        >>> on = Schedule(bracket=1, rung=1, start_epoch=2, end_epoch=6, parent=0)
        >>> first = Trial(number=0, values={"units": 8})
        >>> then = Trial(number=2, values={"units": 8}, schedule=on)
        >>> other = Trial(number=1, values={"units": 9})
        >>> [[part.number for part in each.parts] for each in configurations([first, other, then])]
        [[0, 2], [1]]
    """
    groups: dict[int, list[Trial]] = {}
    known: dict[int, Trial] = {}
    home: dict[int, int] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        parent = known.get(-1 if trial.parent is None else trial.parent)
        root = trial.number
        if parent is not None and _same_values(parent, trial):
            root = home[parent.number]
        known[trial.number] = trial
        home[trial.number] = root
        groups.setdefault(root, []).append(trial)
    for parts in groups.values():
        if len(parts) > 1:
            parts.sort(key=lambda part: (part.start_epoch, part.number))
    return [Configuration(tuple(parts)) for parts in groups.values()]


def _same_values(a: Trial, b: Trial) -> bool:
    """Compares the common names: a later part may know hyperparameters that the first did not."""
    return all(same_value(a.values[name], b.values[name]) for name in a.values if name in b.values)
