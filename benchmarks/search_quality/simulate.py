"""Runs a contestant on a problem without any training, and writes down what it reached when.

Protocol S: each trial is a full training. Protocol M: the budget is counted in epochs; a training
that is resumed pays for its new epochs alone; the incumbent is the lowest loss that any epoch has
shown. One worker, one trial at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from problem import Problem, Values

S_TRIALS = (10, 25, 50, 100)
"""Where protocol S looks."""

M_TRAININGS = (2, 5, 10, 20)
"""Where protocol M looks, in full trainings' worth of epochs."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training, or a part of one, that a contestant asks for."""

    values: Values

    start: int = 0
    """Epochs done before. Under protocol S of no meaning."""

    end: int | None = None
    """Epochs done after; None for a full training."""

    token: Any = None
    """The contestant's own."""


class Contestant(Protocol):
    """A search that can be asked and told; `peers/` wraps each package as one."""

    def ask(self) -> Job | None:
        """What to train next; None if nothing ever again."""

    def stop(self, job: Job, curve: Sequence[float]) -> bool:
        """Asked after each epoch of protocol M but the last: whether to end the training here."""

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        """What came of it.

        Args:
            job: As asked.
            curve: The losses of the epochs trained; under protocol S one loss. Finite ones only.
            failed: Whether it ended in NaN. The curve holds what was before.
        """


@dataclass(kw_only=True)
class Trace:
    """What a run reached when. Losses are true ones, without noise."""

    steps: list[tuple[int, float]] = field(default_factory=list)
    """(trials or epochs spent, loss of the incumbent from then on), at each change."""

    spent: int = 0
    """Trials or epochs in all."""

    trials: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Processor time of the contestant's own work."""

    def at(self, spent: int) -> float:
        """The incumbent's loss when so much was spent; infinite where there was none."""
        reached = [loss for when, loss in self.steps if when <= spent]
        return reached[-1] if reached else math.inf


def spend_trials(contestant: Contestant, problem: Problem, seed: int, budget: int) -> Trace:
    """Protocol S: `budget` full trainings."""
    trace = Trace()
    best = math.inf
    while trace.spent < budget:
        job = _asked(contestant, trace)
        if job is None:
            break
        try:
            loss = problem.loss(job.values, seed, trace.spent)
        except (ArithmeticError, ValueError):
            loss = math.nan
        trace.spent += 1
        failed = not math.isfinite(loss)
        if not failed and loss < best:
            best = loss
            trace.steps.append((trace.spent, problem.truth(job.values, seed)))
        _tell(contestant, job, [] if failed else [loss], failed, trace)
    return trace


def spend_epochs(contestant: Contestant, problem: Problem, seed: int, budget: int) -> Trace:
    """Protocol M: `budget` epochs."""
    trace = Trace()
    best = math.inf
    while trace.spent < budget:
        job = _asked(contestant, trace)
        if job is None:
            break
        whole = problem.curve(job.values, seed)
        end = len(whole) if job.end is None else min(job.end, len(whole))
        curve: list[float] = []
        failed = False
        for epoch in range(job.start, end):
            loss = float(whole[epoch])
            trace.spent += 1
            if not math.isfinite(loss):
                failed = True
                break
            curve.append(loss)
            if loss < best:
                best = loss
                trace.steps.append((trace.spent, loss))
            if trace.spent >= budget:
                return trace
            if epoch + 1 < end and _stopped(contestant, job, curve, trace):
                break
        _tell(contestant, job, curve, failed, trace)
    return trace


def _asked(contestant: Contestant, trace: Trace) -> Job | None:
    begun = time.process_time()
    job = contestant.ask()
    trace.seconds += time.process_time() - begun
    return job


def _stopped(contestant: Contestant, job: Job, curve: list[float], trace: Trace) -> bool:
    begun = time.process_time()
    stop = contestant.stop(job, curve)
    trace.seconds += time.process_time() - begun
    return stop


def _tell(contestant: Contestant, job: Job, curve: list[float], failed: bool, trace: Trace) -> None:
    begun = time.process_time()
    contestant.tell(job, curve, failed)
    trace.seconds += time.process_time() - begun
    trace.trials += 1
    trace.failed += failed


def fingerprint(problem: Problem) -> str:
    """Changes when the problem does, so that no old result is taken for one of the new problem."""
    rng = np.random.default_rng(5)
    points = [problem.space.sample(rng) for _ in range(4)]
    losses = [problem.loss(point, seed=1) for point in points]
    curves = [problem.curve(point)[-3:].tolist() for point in points if problem.epochs > 1]
    # Libraries differ in the last digits.
    numbers = [float(f"{loss:.5g}") for loss in np.ravel([*losses, *np.ravel(curves)])]
    space = problem.space.get_config()
    return f"{_checksum(repr((space, problem.epochs, numbers))):08x}"


def _checksum(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())
