"""A limit on how long a job may run in a thread of this process.

    with TimeLimit(60, "trial 3").running() as limit:
        ...                       limit.check() raises at a moment that suits the job
        ...                       a second later, a watch raises wherever the thread is

The watch raises `TrialTimeoutError` in the job's own thread: in the main thread by a signal, which
ends a `time.sleep` or the wait for a file too; in other threads between two steps of Python. It
tries again each second, for code of the user's may have caught the first one. It never does so
within `shielded`. Compiled code that does not return can be ended only with its process: that is
what worker processes are for.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

from afina.errors import TrialTimeoutError, check_number

GRACE = 1.0
"""Seconds from the limit until the watch raises by itself, and then between two tries."""

_TRIES = 10
"""Tries after which a job is said to be stuck in compiled code."""

# By default ignored by the system, and hardly anybody's: Go interrupts its own threads by it, too.
_SIGNAL = getattr(signal, "SIGURG", None) if hasattr(signal, "pthread_kill") else None


def check_trial_timeout(seconds: Any) -> float | None:
    """The limit as a number of seconds; None where there is none.

    Raises:
        ArgumentError: It is neither None nor a finite number above 0.
    """
    return None if seconds is None else check_number("trial_timeout", seconds, above=0)


def timed_out(what: str, ran: float, limit: float, how: str = "") -> TrialTimeoutError:
    """The error of a job that ran for too long.

    Args:
        what: The job, as a sentence's beginning.
        ran: Seconds that it has run.
        limit: Seconds that it may.
        how: A sentence on how it was ended.
    """
    return TrialTimeoutError(
        f"{what} ran for {ran:.3g} seconds, longer than trial_timeout={limit:g} allows. {how}"
        f"{' ' * bool(how)}Raise trial_timeout, or leave such configurations out of the space."
    )


class TimeLimit:
    """How long one job may run in the thread that calls `running`.

    Args:
        seconds: From the beginning of `running`; None is no limit.
        what: The job, as a sentence's beginning.
    """

    def __init__(self, seconds: float | None, what: str = "The trial") -> None:
        self.seconds = seconds
        self.what = what
        self._began = 0.0
        self._thread = 0
        self._is_main = False
        self._over = threading.Event()
        self._turn = threading.Lock()  # held by the job where nothing may be raised in it
        self._is_shielded = False
        self._ended = False
        self._pending = False  # what was raised has not arrived yet
        self._fired = False

    @contextlib.contextmanager
    def running(self) -> Iterator[TimeLimit]:
        """Limits the block.

        Raises:
            TrialTimeoutError: The block ran for too long.
        """
        if self.seconds is None:
            yield self
            return
        self._began = time.monotonic()
        self._thread = threading.get_ident()
        self._is_main = threading.current_thread() is threading.main_thread()
        before = _limit.set(self)
        watch = threading.Thread(target=self._watch, name="afina-time-limit", daemon=True)
        try:
            with self._signals():
                watch.start()
                try:
                    yield self
                finally:
                    self._end()
        except Exception as error:
            # What was raised from outside may have become an error of the user's code.
            if not self._fired or (isinstance(error, TrialTimeoutError) and error.args):
                raise
            raise self._error("It was interrupted.") from None
        finally:
            _limit.reset(before)

    def check(self) -> None:
        """Raises TrialTimeoutError if the time is over; for moments that suit the job."""
        if self.seconds is not None and time.monotonic() - self._began >= self.seconds:
            raise self._error("It was ended after an epoch.")

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Within the block the watch raises nothing: a file or a database is being written."""
        if threading.get_ident() != self._thread or self._is_shielded:
            yield
            return
        with self._turn:  # a `with`, so that nothing is raised between it and the block
            self._is_shielded = True
            try:
                yield
            finally:
                self._is_shielded = False

    def _error(self, how: str) -> TrialTimeoutError:
        return timed_out(self.what, time.monotonic() - self._began, self.seconds or 0.0, how)

    def _end(self) -> None:
        self._over.set()
        with self._turn:  # the watch is not about to raise
            self._ended = True
            if self._pending and not self._by_signal:
                _raise_in(self._thread, None)

    # -- the watch --------------------------------------------------------------------------------

    @property
    def _by_signal(self) -> bool:
        return self._is_main and _SIGNAL is not None

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """In the main thread: the signal of the watch raises."""
        if not self._by_signal:
            yield
            return
        assert _SIGNAL is not None

        def arrive(number: int, frame: Any) -> None:
            del number, frame
            if self._pending and not self._ended:
                self._pending = False
                raise TrialTimeoutError

        before = signal.signal(_SIGNAL, arrive)
        try:
            yield
        finally:
            signal.signal(_SIGNAL, signal.SIG_DFL if before is None else before)

    def _watch(self) -> None:
        assert self.seconds is not None
        if self._over.wait(self.seconds + GRACE):
            return
        for tries in range(sys.maxsize):
            with self._turn:
                if self._ended or self._over.is_set():
                    return
                self._pending = self._fired = True
                if self._by_signal:
                    assert _SIGNAL is not None
                    signal.pthread_kill(self._thread, _SIGNAL)
                else:
                    _raise_in(self._thread, TrialTimeoutError)
            if tries == _TRIES:
                self._warn()
            if self._over.wait(GRACE):
                return

    def _warn(self) -> None:
        with contextlib.suppress(Warning):
            warnings.warn(
                f"{self.what} has run for {time.monotonic() - self._began:.3g} seconds, longer "
                f"than trial_timeout={self.seconds:g} allows, but is in compiled code that cannot "
                'be interrupted: it ends when that returns. With executor="processes" the '
                "process of such a trial is ended, and the search goes on.",
                stacklevel=2,
            )


_limit: contextvars.ContextVar[TimeLimit | None] = contextvars.ContextVar(
    "afina_time_limit", default=None
)


def current_limit() -> TimeLimit:
    """The limit of the job that the calling thread runs; one without end where there is none."""
    return _limit.get() or _NONE


_NONE = TimeLimit(None)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raises an error in a thread before its next step of Python; None takes it back."""
    value = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), value)
