"""One execution: a fresh model, trained once and watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from afina.training.callbacks import BestEpoch, EpochReporter, OnEpoch
from afina.training.guards import DivergenceGuard, ObjectiveGuard
from afina.training.interim import InterimCheckpoint
from afina.training.seeds import seeded
from afina.training.session import fresh_session
from afina.trials import Objective


def watch_execution(
    train: Callable[[list[Any]], Any],
    *,
    objective: Objective,
    callbacks: Sequence[Any] = (),
    best: BestEpoch | None = None,
    interim: InterimCheckpoint | None = None,
    on_epoch: OnEpoch | None = None,
    execution: int = 0,
    seed: int | None = None,
    from_logs: bool = True,
) -> Any:
    """Runs one training that builds its model itself, seeded and watched.

    Args:
        train: Builds a model, trains it with the callbacks that it is given, returns the result.
        objective: The objective of the search.
        callbacks: The user's callbacks, already copied for this execution.
        best: Collects the best state; one object for all executions of a trial.
        interim: Saves the training now and then, and continues one that was saved.
        on_epoch: Called with the numbers of each epoch.
        execution: Which of the trial's repeated trainings this is, from 0.
        seed: The seed of this execution; None leaves the global streams alone.
        from_logs: Whether the score is read from the logs of one `fit`. The objective must then be
            among them, and a NaN loss fails the trial. False where code of the user's trains,
            which may return a score of its own.

    Returns:
        What `train` returned.

    Raises:
        DivergedError: The loss or the objective became NaN.
        FatalValueError: No metric has the objective's name.
    """
    diverged = DivergenceGuard(objective.names, one_fit=from_logs)
    found = ObjectiveGuard(objective.names) if from_logs else None
    reporter = EpochReporter(on_epoch, execution) if on_epoch is not None else None
    if best is not None:
        best.begin(execution)
    # The user's callbacks come first: they may add to the logs that the others read.
    own = [each for each in (found, diverged, best, interim, reporter) if each is not None]
    if found is not None and interim is not None:
        for epoch, logs in interim.seen[-1]:
            found.on_epoch_end(epoch, logs)
    fresh_session()
    with seeded(seed):
        result = _guarded(train, [*callbacks, *own], diverged, from_logs=from_logs)
    if found is not None:
        found.check()
    return result


def _guarded(
    train: Callable[[list[Any]], Any],
    callbacks: list[Any],
    guard: DivergenceGuard,
    *,
    from_logs: bool,
) -> Any:
    """Trains; a divergence is raised rather than what the user's code raises because of it."""
    try:
        result = train(callbacks)
    except Exception as error:
        if guard.error is not None and error is not guard.error:
            raise guard.error from error
        raise
    if from_logs or hasattr(result, "history"):
        guard.check()
    return result
