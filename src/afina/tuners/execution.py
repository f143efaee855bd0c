"""How the trials of a search are run.

    executor=, workers=, group_trials=
        └─ an executor ─┬─ Serial      one trial after the other, in the caller's thread
                        ├─ Groups      several trained in one program, by one worker
                        ├─ Threads     side by side, taking turns at Python; so is one of the user's
                        ├─ Processes   side by side, each trial in a process of its own
                        └─ RayExecutor the same, on the machines of a Ray cluster

`choose_executor` reads the settings, and `prepared` puts around the executor what Keras needs to
train in its threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from afina import training
from afina.errors import ArgumentError, wrong
from afina.run import (
    Executor,
    JobExecutor,
    Processes,
    RayExecutor,
    Serial,
    Signal,
    Threads,
    check_executor_like,
    create_executor,
    current_limit,
    is_ray_name,
)
from afina.run.processes import WorkerPool
from afina.run.threads import no_surroundings
from afina.tuners.groups import Groups
from afina.tuners.remote import RemoteTrials, backend_variables
from afina.tuners.trial import Trial
from afina.tuners.workers import (
    count_workers,
    settings_here,
    streams_and_session_kept,
    surroundings,
)

TrialExecutor: TypeAlias = JobExecutor[Trial]


@dataclass(frozen=True)
class Way:
    """How trials are run: by whom, and where."""

    executor: TrialExecutor

    attempt: Callable[[Trial], None] | None = None
    """Runs a trial in another process; None where the tuner runs it in this one."""


def check_executor_option(executor: Any, workers: Any = "auto", group_trials: Any = "auto") -> None:
    """Checks `executor=` by itself and beside the options that say the same.

    Raises:
        ArgumentError: It is neither None nor an executor nor the name of one, or another option
            contradicts it.
    """
    if executor is None:
        return
    check_executor_like(executor)
    if group_trials not in ("auto", 1):
        rule = "must be None where group_trials is above 1"
        raise ArgumentError(wrong("executor", rule, executor, "One worker trains all groups."))
    counted = executor in ("threads", "processes") or is_ray_name(executor)
    counted = counted or (executor == "serial" and workers == 1)
    if workers != "auto" and not counted:
        rule = 'must be "auto" unless executor is None, "threads", "processes" or "ray"'
        raise ArgumentError(wrong("workers", rule, workers, "The executor decides how many."))


def _unless_asked() -> str:
    return "no executor was asked for"


def choose_executor(
    asked: Any,
    workers: Any = "auto",
    *,
    why_one: Callable[[], str | None] = _unless_asked,
    why_not_threads: Callable[[], str | None] = _unless_asked,
) -> Executor:
    """The executor that the settings of a tuner mean.

    Args:
        asked: `executor=`; None leaves the choice to the other arguments.
        workers: `workers=`.
        why_one: Says why "auto" means one worker; None if there is no reason.
        why_not_threads: Says why several workers need processes; None if threads do.
    """
    if is_ray_name(asked):
        return create_executor(asked, None if workers == "auto" else int(workers))
    if asked is not None:
        return create_executor(asked, count_workers(workers, why_one=lambda: None))
    count = count_workers(workers, why_one=why_one)
    if count == 1:
        return Serial()
    return Threads(count) if why_not_threads() is None else Processes(count)


def runs_side_by_side(executor: TrialExecutor) -> bool:
    """Whether several trials may be running at the same time."""
    return not isinstance(executor, Serial | Groups) and getattr(executor, "workers", 2) != 1


@contextmanager
def prepared(
    executor: TrialExecutor, send: Callable[[int, WorkerPool | None], RemoteTrials]
) -> Iterator[Way]:
    """The executor with what Keras needs around it, for one search.

    Args:
        executor: Who runs the trials.
        send: Makes so many processes that run trials, or takes those of a pool.
    """
    if isinstance(executor, Serial | Groups):
        yield Way(executor)
    elif isinstance(executor, Processes):
        with send(executor.workers, None) as remote:
            threads = Threads(executor.workers, around=surroundings(), stop=remote.stop)
            yield Way(InTurns(threads), remote.run)
    elif isinstance(executor, RayExecutor):
        with executor.open_pool(backend_variables()) as pool, send(pool.count, pool) as remote:
            yield Way(InTurns(Threads(pool.count, stop=remote.stop)), remote.run)
    else:
        if isinstance(executor, Threads) and executor.around is no_surroundings:
            executor = replace(executor, around=surroundings())
        yield Way(InTurns(executor))


@dataclass(frozen=True)
class InTurns:
    """Runs trials by an executor whose threads take turns: one at a time runs Python of Keras or of
    the user, and leaves the turn to others while its compiled program runs."""

    executor: TrialExecutor

    def run(self, next_trial: Callable[[], Trial | Signal], work: Callable[[Trial], None]) -> None:
        """Returns when there are no more trials and all have ended."""
        take_settings = settings_here()
        training.python_turn.undisturbed = lambda: current_limit().shielded()

        def next_in_turn() -> Trial | Signal:
            with training.python_turn.held():
                return next_trial()

        def work_in_turn(trial: Trial) -> None:
            with training.python_turn.held():
                take_settings()
                work(trial)

        with streams_and_session_kept():
            self.executor.run(next_in_turn, work_in_turn)
