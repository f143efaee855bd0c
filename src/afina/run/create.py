"""From what a user gives as `executor=` to an executor."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from afina.errors import ArgumentError, wrong
from afina.run.base import Executor
from afina.run.processes import Processes, processors
from afina.run.ray_pool import is_ray_name, ray_executor
from afina.run.serial import Serial
from afina.run.threads import Threads

ExecutorLike: TypeAlias = Executor | Literal["serial", "threads", "processes", "ray"] | str
"""What users give as `executor=`; a text may also be the address of a Ray cluster."""

NAMES = ("serial", "threads", "processes")


def check_executor_like(executor: Any) -> None:
    """Raises ArgumentError unless this is an executor or the name of one."""
    known = executor in NAMES or is_ray_name(executor)
    if known if isinstance(executor, str) else isinstance(executor, Executor):
        if not isinstance(executor, type):
            return
        advice = f"Pass an instance: {executor.__name__}(...)."
    else:
        advice = "See afina.run.Executor for what an object must have."
        if isinstance(executor, str) and ":" in executor:
            advice = f"For a Ray cluster, pass RayExecutor({executor!r}), or a ray:// address."
    rule = 'must be "serial", "threads", "processes", "ray" or an object with a run(next_job, work)'
    raise ArgumentError(wrong("executor", rule, executor, advice))


def create_executor(executor: ExecutorLike, workers: int | None = None) -> Executor:
    """The executor that a user means.

    Args:
        executor: An executor, which is returned as it is, or the name of one.
        workers: How many threads or processes a named one has; None takes one for each processor,
            or as many as a Ray cluster has room for.

    Raises:
        ArgumentError: It is neither an executor nor the name of one.

    Example:
        >>> create_executor("threads", 2).workers
        2
    """
    check_executor_like(executor)
    if not isinstance(executor, str):
        return executor
    if is_ray_name(executor):
        return ray_executor(executor, workers)
    if executor == "serial":
        return Serial()
    count = processors() if workers is None else workers
    return Threads(count) if executor == "threads" else Processes(count)
