"""Makes the trials of a search comparable: one row for each configuration.

Trials of a multi-fidelity search stop after different numbers of epochs, and some are parts of one
training. Here each configuration counts once, with its longest training. A loss after fewer epochs
is shifted by the median gain of the configurations that were trained on to the longest rung. So
bad configurations that were dropped early still count. The survivors alone would suggest that the
learning rate does not matter, because no bad rate survived.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.space import HyperParameter, Space, Value
from afina.trials import Status, Trial
from afina.trials.trial import BOOSTED

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials there were, and what became of them."""

    trials: int
    """All trials, including running ones."""

    completed: int
    """Configurations with a loss; the parts of one training count once."""

    failed: int
    """Configurations without a loss: the training failed, or its loss is not finite."""

    outside: int
    """Configurations whose values are no longer in the space; they are left out."""

    shorter: int
    """Completed configurations that were trained for fewer epochs than the longest."""

    epochs: int | None
    """Epochs of the longest trainings; None if the search leaves that to the user."""

    reasons: tuple[tuple[str, int], ...] = ()
    """Why configurations failed, and how many, the most frequent reason first; as far as known."""


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration and its result."""

    number: int
    """Number of the trial that trained it longest."""

    values: Mapping[str, Value]
    """The values of the active entries of the space."""

    loss: float | None
    """Lower is better; None if the training failed."""

    epochs: int | None
    """Epochs that it was trained; None without a schedule."""

    @property
    def failed(self) -> bool:
        """Whether there is no loss."""
        return self.loss is None


@dataclass(frozen=True)
class Evidence:
    """The configurations that were tried, once each, with comparable losses."""

    space: Space

    rows: tuple[Row, ...]
    """One row for each configuration, in the order of their trials' numbers."""

    counts: Counts

    top: Row | None = None
    """The best result that was measured, after any number of epochs: the search's own best. Its
    loss is as measured."""

    @property
    def losses(self) -> list[float | None]:
        """The loss of each row."""
        return [row.loss for row in self.rows]

    @property
    def constant(self) -> bool:
        """Whether all losses are equal, so that there is nothing to learn."""
        known = {row.loss for row in self.rows if row.loss is not None}
        return len(known) < 2

    @property
    def best(self) -> Row | None:
        """The row with the lowest loss among the longest trainings."""
        done = [row for row in self.rows if row.loss is not None]
        longest = [row for row in done if row.epochs == self.counts.epochs] or done
        return min(longest, key=lambda row: row.loss or 0.0, default=None)


def gather(trials: Iterable[Trial], space: Space) -> Evidence:
    """Gathers the evidence in the finished trials.

    Args:
        trials: All trials of a search, in any order. Unfinished ones are only counted.
        space: The search space. If a trial has no value for an entry, its default counts: the
            trial may be older than the entry.
    """
    known = sorted(trials, key=lambda trial: trial.number)
    planned = [trial for trial in known if BOOSTED not in trial.notes]
    chains = _chains(planned)
    rows, outside = [], 0
    reasons: Counter[str] = Counter()
    top: Row | None = None
    shifts = _shifts(chains)
    longest = max((end for chain in chains for end in _ends(chain)), default=None)
    for chain in chains:
        last = _last(chain)
        values = settled(last.values, space)
        if values is None:
            outside += 1
            continue
        loss = loss_of(last)
        if loss is not None and last.end_epoch is not None:
            loss += shifts[last.end_epoch]
        if loss is None and last.failure is not None:
            reasons[last.failure.kind.value] += 1
        rows.append(Row(last.number, values, loss, last.end_epoch))
        top = _better(top, _top(chain, values))
    # Somebody's choice to train one trial for longer says nothing about the hyperparameters.
    for trial in known if len(planned) < len(known) else ():
        values = settled(trial.values, space)
        top = top if values is None else _better(top, _top([trial], values))
    counts = Counts(
        trials=len(known),
        completed=sum(not row.failed for row in rows),
        failed=sum(row.failed for row in rows),
        outside=outside,
        shorter=sum(not row.failed and row.epochs != longest for row in rows),
        epochs=longest,
        reasons=tuple(reasons.most_common()),
    )
    return Evidence(space, tuple(rows), counts, top)


def loss_of(trial: Trial) -> float | None:
    """The loss of a completed trial, if it is finite; otherwise None."""
    loss = trial.loss
    if trial.status is not Status.COMPLETED or loss is None or not math.isfinite(loss):
        return None
    return float(loss)


def settled(values: Mapping[str, Value], space: Space) -> dict[str, Value] | None:
    """The configuration of the space with these values; None if they lie outside of the space.

    Example:
        >>> from afina.space import Int, Space
        >>> space = Space((Int("layers", 1, 3), Int("units", 8, 64)))
        >>> settled({"layers": 2}, space), settled({"layers": 9}, space)
        ({'layers': 2, 'units': 8}, None)
    """

    def choose(entry: HyperParameter) -> Value:
        return entry.default

    complete = space.complete(values, choose)
    for entry in space.active(complete):
        if entry.name in values and not entry.contains(values[entry.name]):
            return None
    return complete


def _chains(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Finished trials in order; the parts of one training form a chain."""
    chains: dict[int, list[Trial]] = {}
    home: dict[int, int] = {}
    for trial in trials:
        if not trial.status.finished:
            continue
        parent = trial.parent
        root = home.get(parent, trial.number) if parent is not None else trial.number
        home[trial.number] = root
        chains.setdefault(root, []).append(trial)
    return list(chains.values())


def _last(chain: Sequence[Trial]) -> Trial:
    """The part that represents the chain: the longest with a loss, otherwise the first."""
    done = [trial for trial in chain if loss_of(trial) is not None]
    return max(done, key=lambda trial: trial.end_epoch or 0) if done else chain[0]


def _top(chain: Sequence[Trial], values: Mapping[str, Value]) -> Row | None:
    """The best result among the parts of a training."""
    done = [(loss, trial) for trial in chain if (loss := loss_of(trial)) is not None]
    if not done:
        return None
    loss, trial = min(done, key=lambda each: (each[0], each[1].number))
    return Row(trial.number, values, loss, trial.end_epoch)


def _better(best: Row | None, other: Row | None) -> Row | None:
    if best is None or other is None:
        return best or other
    return min(best, other, key=lambda row: (row.loss or 0.0, row.number))


def _ends(chain: Sequence[Trial]) -> list[int]:
    return [t.end_epoch for t in chain if t.end_epoch is not None and loss_of(t) is not None]


def _shifts(chains: Sequence[Sequence[Trial]]) -> dict[int, float]:
    """What to add to a loss after some epochs to compare it with losses after the most epochs.

    From one rung to the next, it is the median change of the configurations that have both.
    """
    seen: list[dict[int, float]] = []
    for chain in chains:
        found = {t.end_epoch: loss_of(t) for t in chain if t.end_epoch is not None}
        seen.append({end: loss for end, loss in found.items() if loss is not None})
    rungs = sorted({end for losses in seen for end in losses}, reverse=True)
    shifts: dict[int, float] = {}
    for place, rung in enumerate(rungs):
        shifts[rung] = 0.0
        for above in reversed(rungs[:place]):
            gains = [
                losses[above] - losses[rung] for losses in seen if {above, rung} <= set(losses)
            ]
            if gains:
                shifts[rung] = float(np.median(gains)) + shifts[above]
                break
    return shifts
