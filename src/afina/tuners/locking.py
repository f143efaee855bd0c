"""One thread at a time in an oracle."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def synchronized(method: Method) -> Method:
    """Lets one thread at a time into the decorated methods of one oracle; they may nest.

    An `end_trial(self, trial)` may be called with an id and a status as well, as Keras Tuner's
    first versions did: it gets the trial.
    """
    takes_id = method.__name__ != "end_trial" or "status" in inspect.signature(method).parameters

    @functools.wraps(method)
    def locked(self: Any, *args: Any, **kwargs: Any) -> Any:
        lock = self.__dict__.setdefault("_lock", threading.RLock())
        with lock:
            if not takes_id:
                args, kwargs = _with_trial(self, *args, **kwargs)
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


def _with_trial(
    oracle: Any, trial: Any = None, status: str = "COMPLETED", *, trial_id: str | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if trial is None or isinstance(trial, str):
        trial = oracle.trials[trial_id if trial is None else trial]
        trial.status = status
    return (trial,), {}
