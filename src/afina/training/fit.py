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
    watch = ExecutionWatch(
        objective=objective,
        callbacks=callbacks,
        best=best,
        interim=interim,
        on_epoch=on_epoch,
        execution=execution,
        from_logs=from_logs,
    )
    fresh_session()
    with seeded(seed):
        try:
            result = train(watch.callbacks)
        except Exception as error:
            if (reason := watch.reason(error)) is not error:
                raise reason from error
            raise
    return watch.checked(result)


class ExecutionWatch:
    """The callbacks that watch one execution, and what they say of its result.

    Args:
        objective: As for `watch_execution`, and so are the others.
        callbacks: The user's, already copied.
        best: Collects the best state.
        interim: Saves the training now and then.
        on_epoch: Called with the numbers of each epoch.
        execution: Which of the trial's repeated trainings this is.
        from_logs: Whether the score is read from the logs of one `fit`.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        callbacks: Sequence[Any] = (),
        best: BestEpoch | None = None,
        interim: InterimCheckpoint | None = None,
        on_epoch: OnEpoch | None = None,
        execution: int = 0,
        from_logs: bool = True,
    ) -> None:
        self._from_logs = from_logs
        self._diverged = DivergenceGuard(objective.names, one_fit=from_logs)
        self._found = ObjectiveGuard(objective.names) if from_logs else None
        reporter = EpochReporter(on_epoch, execution) if on_epoch is not None else None
        if best is not None:
            best.begin(execution)
        # The user's callbacks come first: they may add to the logs that the others read.
        own = (self._found, self._diverged, best, interim, reporter)
        self.callbacks = [*callbacks, *(each for each in own if each is not None)]
        if self._found is not None and interim is not None:
            for epoch, logs in interim.seen[-1]:
                self._found.on_epoch_end(epoch, logs)

    def reason(self, error: Exception) -> Exception:
        """What ended the training: a divergence rather than what the user's code raised after it.

        Args:
            error: What the training raised.
        """
        return self._diverged.error or error

    def checked(self, result: Any) -> Any:
        """The result of a training that came to its end.

        Raises:
            DivergedError: The loss or the objective became NaN.
            FatalValueError: No metric has the objective's name.
        """
        if self._from_logs or hasattr(result, "history"):
            self._diverged.check()
        if self._found is not None:
            self._found.check()
        return result
