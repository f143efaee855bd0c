"""Who runs the trials. Serial for now; the seam for threads, processes and Ray."""

from afina.run.base import Executor, Signal
from afina.run.serial import Serial

__all__ = ["Executor", "Serial", "Signal"]
