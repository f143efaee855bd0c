"""Cheap search problems, and a loop that runs an algorithm on them without any training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from afina.search import Algorithm, Done, Situation, Suggestion, Wait
from afina.space import Boolean, Choice, Float, HyperParameter, Int, Parent, Space, Value, serialize
from afina.trials import Failure, FailureKind, Status, Trial, failure_of

Loss = Callable[[Mapping[str, Value]], float]
"""Values to a number, lower is better. NaN, infinity or an exception fail the trial."""

Discover = Callable[[Mapping[str, Value]], Sequence[HyperParameter]]
"""The entries that a build with these values meets, known before or not."""

Watch = Callable[[Any, Situation, "Suggestion | Wait | Done"], None]
"""Called after each ask with the state, the situation and the answer."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The result of `run`."""

    trials: tuple[Trial, ...]
    """The finished trials in the order in which they ended."""

    spaces: tuple[Space, ...]
    """The space as known after each of them."""

    state: Any
    """The algorithm's state after all of them."""

    done: Done | None
    """Why the algorithm ended the search; None if the number of trials did."""

    @property
    def best(self) -> float:
        """The lowest loss; infinite if every trial failed."""
        return min((t.loss for t in self.trials if t.loss is not None), default=math.inf)


def run(
    algorithm: Algorithm[Any],
    loss: Loss,
    space: Space,
    trials: int,
    workers: int = 1,
    *,
    seed: int = 0,
    discover: Discover | None = None,
    watch: Watch | None = None,
) -> Run:
    """Runs a search without a store, threads or training; it is the same on every machine.

    Args:
        algorithm: What to run.
        loss: What to minimize.
        space: The space as known at the start.
        trials: How many trials to start at most.
        workers: How many trials are open at a time; which of them ends next is drawn.
        seed: Fixes that draw.
        discover: Says which entries a build meets, so that the space grows.
        watch: Sees every question and answer.

    Raises:
        AssertionError: The algorithm waits although nothing runs.

    Example:
        >>> from afina.search import Random
        >>> len(run(Random(seed=1), sphere, sphere_space(2), 5).trials)
        5
    """
    rng = np.random.default_rng(seed)
    state = algorithm.init()
    running: list[Trial] = []
    ended: list[Trial] = []
    spaces: list[Space] = []
    started, done = 0, None
    while True:
        answer: Suggestion | Wait | Done = Wait()
        if len(running) < workers and started < trials and done is None:
            situation = Situation(number=started, space=space, running=tuple(running))
            answer = algorithm.ask(state, situation)
            if watch is not None:
                watch(state, situation, answer)
        if isinstance(answer, Suggestion):
            running.append(_open(answer, number=started, known=len(ended)))
            started += 1
            continue
        if isinstance(answer, Done):
            done = answer
        if not running:
            assert done is not None or started >= trials, "Wait was answered while nothing runs"
            break
        trial = running.pop(int(rng.integers(len(running))))
        met = discover(trial.values) if discover is not None else ()
        trial, space = _build(trial, space, met)
        trial = _train(replace(trial, ended=len(ended)), loss)
        state = algorithm.tell(state, trial, space)
        ended.append(trial)
        spaces.append(space)
    return Run(trials=tuple(ended), spaces=tuple(spaces), state=state, done=done)


def _open(answer: Suggestion, *, number: int, known: int) -> Trial:
    values = dict(answer.values)
    return Trial(number=number, values=values, schedule=answer.schedule, known=known)


def _build(trial: Trial, space: Space, met: Sequence[HyperParameter]) -> tuple[Trial, Space]:
    """The trial with what its build met, and the space that knows all of it."""
    new = [entry for entry in met if entry not in space.entries]
    if not new:
        return trial, space
    space = Space((*space.entries, *new))
    values = dict(trial.values)
    for entry in new:
        if space.is_active(entry, values):
            values.setdefault(entry.name, entry.default)
    return replace(trial, values=values, ranges=tuple(serialize(entry) for entry in new)), space


def _train(trial: Trial, loss: Loss) -> Trial:
    try:
        score = float(loss(trial.values))
    except Exception as error:
        return replace(trial, status=Status.FAILED, failure=failure_of(error))
    if not math.isfinite(score):
        failure = Failure(FailureKind.NOT_A_NUMBER, f"the loss is {score}")
        return replace(trial, status=Status.FAILED, failure=failure)
    return replace(trial, status=Status.COMPLETED, score=score, loss=score)


# -- problems ------------------------------------------------------------------------------------


def sphere_space(dim: int = 4) -> Space:
    """`dim` real numbers from -1 to 1, named x0, x1 ..."""
    return Space(tuple(Float(f"x{i}", -1.0, 1.0, default=-1.0) for i in range(dim)))


def sphere(values: Mapping[str, Value]) -> float:
    """The squared distance from a point off the centre; smooth, without other minima."""
    return sum((float(value or 0.0) - 0.3) ** 2 for value in values.values())


def finite_space() -> Space:
    """18 combinations: units from three, depth from 1 to 3, bias or not."""
    return Space((Choice("units", [16, 32, 64]), Int("depth", 1, 3), Boolean("bias")))


def finite_loss(values: Mapping[str, Value]) -> float:
    """Best at units 32, depth 3, bias True; no two combinations of `finite_space` are equal."""
    units, depth, bias = values["units"], values["depth"], values["bias"]
    assert isinstance(units, int)
    assert isinstance(depth, int)
    return abs(units - 32) + 7.0 * (3 - depth) + (0.0 if bias else 3.0)


def conditional_space() -> Space:
    """An optimizer; a momentum below one of its values; a switch below that, and a free number."""
    sgd = (Parent("optimizer", ["sgd"]),)
    return Space(
        (
            Choice("optimizer", ["adam", "sgd", "rmsprop"]),
            Float("momentum", 0.0, 0.9, step=0.3, conditions=sgd),
            Boolean("nesterov", conditions=(*sgd, Parent("momentum", [0.3, 0.6, 0.9]))),
            Int("layers", 1, 2),
        )
    )


def conditional_loss(values: Mapping[str, Value]) -> float:
    """Best with sgd, momentum 0.6, nesterov and 2 layers."""
    loss = {"adam": 1.0, "sgd": 0.8, "rmsprop": 1.5}[str(values["optimizer"])]
    if "momentum" in values:
        loss += abs(float(values["momentum"] or 0.0) - 0.6)
    if values.get("nesterov"):
        loss -= 0.1
    return loss - 0.05 * float(values["layers"] or 0)


def meet_layers(values: Mapping[str, Value]) -> list[HyperParameter]:
    """A build that asks for the count of layers, then for the units of each of them.

    The units of a layer are met only by builds that have this layer. 2 + 4 + 8 combinations.
    """
    count = values.get("layers", 1)
    assert isinstance(count, int)
    units = [
        Choice(
            f"units_{i}",
            [8, 16],
            conditions=(Parent("layers", list(range(i + 1, 4))),),
        )
        for i in range(count)
    ]
    return [Int("layers", 1, 3), *units]
