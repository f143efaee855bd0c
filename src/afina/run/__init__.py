"""Who runs the trials: one after the other, in threads, or in processes of their own."""

from afina.run.base import Executor, Signal
from afina.run.processes import WorkerProcesses, processors
from afina.run.serial import Serial
from afina.run.threads import Threads, stopping, worker_index

__all__ = [
    "Executor",
    "Serial",
    "Signal",
    "Threads",
    "WorkerProcesses",
    "processors",
    "stopping",
    "worker_index",
]
