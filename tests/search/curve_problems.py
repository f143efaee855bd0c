"""Made-up trainings with curves, and a loop that counts their epochs."""

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from afina.search import Done, Situation, Wait
from afina.space import Float, Space
from afina.trials import Decision, Failure, FailureKind, Status, Trial

EPOCHS = 27


def space(dim=4):
    return Space(tuple(Float(f"x{i}", 0.0, 1.0, default=0.95) for i in range(dim)))


def end_of(values):
    return sum((i + 1) * (float(v) - 0.35) ** 2 for i, v in enumerate(values.values())) / 2


def honest(values):
    """Who is better in the end is better from the start."""
    epochs = np.arange(1, EPOCHS + 1)
    return end_of(values) + 1 / epochs


def misleading(values):
    """Who is better in the end learns more slowly: after a third of the way it lies behind."""
    epochs = np.arange(1, EPOCHS + 1)
    low = end_of(values)
    return low + (1.2 - low) * np.exp(-epochs / (2 + 8 * math.exp(-6 * low)))


@dataclass
class Trained:
    trials: tuple[Trial, ...]
    best: tuple[float, ...]
    """The lowest loss after each epoch spent."""
    state: object


def train(algorithm, curve, space, trainings, *, workers=1, seed=0, failing=lambda values: False):
    """Runs until so many full trainings' worth of epochs are spent; resumed epochs count once."""
    rng = np.random.default_rng(seed)
    state, running, ended, spent = algorithm.init(), [], [], []
    lowest, number = math.inf, 0
    while len(spent) < trainings * EPOCHS:
        answer = Wait()
        if len(running) < workers:
            situation = Situation(number=number, space=space, running=tuple(running))
            answer = algorithm.ask(state, situation)
            if isinstance(answer, Done):
                break
        if not isinstance(answer, Wait):
            running.append(Trial(number=number, values=answer.values, schedule=answer.schedule))
            number += 1
            continue
        trial = running.pop(int(rng.integers(len(running))))
        start, end = trial.start_epoch, EPOCHS if trial.end_epoch is None else trial.end_epoch
        losses = []
        for loss in curve(trial.values)[start:end].tolist():
            losses.append(loss)
            lowest = min(lowest, loss)
            spent.append(lowest)
            going = start + len(losses) < end
            if going and algorithm.stop_early(state, trial, tuple(losses)) is Decision.STOP:
                break
        trial = replace(trial, ended=len(ended), curve=tuple(losses))
        if failing(trial.values):
            failure = Failure(FailureKind.NOT_A_NUMBER, "it diverged")
            trial = replace(trial, status=Status.FAILED, failure=failure)
        else:
            trial = replace(trial, status=Status.COMPLETED, loss=min(losses), score=min(losses))
        state = algorithm.tell(state, trial, space)
        ended.append(trial)
    return Trained(tuple(ended), tuple(spent), state)


def assert_rungs_hold(trials, ends):
    """What every search on rungs keeps: nobody goes on twice, and no epoch is trained twice."""
    known = {trial.number: trial for trial in trials}
    parents = [trial.parent for trial in trials if trial.parent is not None]
    assert len(parents) == len(set(parents)), "a trial went on twice"
    for trial in trials:
        assert trial.end_epoch in ends
        if trial.parent is None:
            assert trial.start_epoch == 0
            continue
        parent = known[trial.parent]
        assert parent.status is Status.COMPLETED
        assert trial.values == parent.values
        assert trial.start_epoch == parent.end_epoch


def by_rung(trials):
    rungs = defaultdict(list)
    for trial in trials:
        rungs[trial.schedule.rung].append(trial)
    return rungs
