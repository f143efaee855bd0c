"""Any number of workers on virtual time: how busy an algorithm keeps them, and what it tries then.

    state.next ──▶ a free worker ──▶ its end is put on the calendar ──▶ the clock jumps to the
        ▲                                                                next end
        └──────────────────── state.complete ◀───────────────────────────┘

Nothing waits and nothing runs at the same time, so a search of a thousand workers takes seconds,
and it is the same to the last bit each time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from afina.study.state import SearchState
from afina.trials import Trial
from afina.trials.trial import RAN


@dataclass(frozen=True)
class Simulation:
    """What became of a simulated search."""

    trials: tuple[Trial, ...]
    """By number; their seconds are virtual ones."""

    ended: tuple[int, ...]
    """Numbers in the order in which the trials ended."""

    seconds: float
    """Virtual seconds until the last trial ended."""

    busy: float
    """Share of the workers' time that was spent on trials, until the last trial began."""


def simulate(
    state: SearchState,
    evaluate: Callable[[Trial], float],
    *,
    workers: int,
    seconds: Callable[[Trial], float] | None = None,
) -> Simulation:
    """Runs a search to its end.

    Args:
        state: The search, with an objective of one number.
        evaluate: The score of a trial.
        workers: How many trials may run at a time.
        seconds: How long a trial takes; None for a second an epoch, times a random factor that
            follows from the trial's number, half as long or twice as long being common.

    Example:
        >>> from afina.search import Random
        >>> from afina.space import HyperParameters
        >>> from afina.store import MemoryStore
        >>> from afina.trials import Objective
        >>> hp = HyperParameters()
        >>> _ = hp.Float("x", 0.0, 1.0)
        >>> state = SearchState(
        ...     algorithm=Random(seed=0), objective=Objective("loss", "min"), hp=hp,
        ...     store=MemoryStore(), seed=0, max_trials=40,
        ... )
        >>> done = simulate(state, lambda trial: trial.values["x"], workers=10)
        >>> len(done.trials), done.busy
        (40, 1.0)
    """
    length = seconds or _epochs
    now = 0.0
    calendar: list[tuple[float, int]] = []  # end and number
    spans: dict[int, tuple[float, float]] = {}
    while True:
        while len(calendar) < workers and isinstance(answer := state.next(), Trial):
            spans[answer.number] = now, now + length(answer)
            heapq.heappush(calendar, (spans[answer.number][1], answer.number))
        if not calendar:
            break
        now, number = heapq.heappop(calendar)
        trial = state.trials[number]
        state.complete(trial, {state.objective.name: evaluate(trial)})
    return Simulation(
        trials=tuple(
            _on_virtual_time(state.trials[number], end - begin)
            for number, (begin, end) in sorted(spans.items())
        ),
        ended=state.ended,
        seconds=now,
        busy=_busy(list(spans.values()), workers),
    )


def _on_virtual_time(trial: Trial, seconds: float) -> Trial:
    """A trial without what the machine's own clock said of it."""
    notes = {key: text for key, text in trial.notes.items() if key != RAN}
    return replace(trial, seconds=seconds, notes=notes)


def _busy(spans: Sequence[tuple[float, float]], workers: int) -> float:
    """The share of the time until the last trial began that was spent on trials."""
    last = max((begin for begin, _ in spans), default=0.0)
    if last == 0.0:
        return 1.0
    spent = math.fsum(min(end, last) - begin for begin, end in spans)
    return spent / (workers * last)


def _epochs(trial: Trial) -> float:
    schedule = trial.schedule
    epochs = 1.0
    if schedule is not None and schedule.end_epoch is not None:
        epochs = float(schedule.end_epoch - trial.start_epoch)
    draw = np.random.default_rng([20, trial.number]).normal()
    return epochs * float(2.0**draw)
