"""The stage: of several threads that train, one at a time runs Python of Keras or of the user.

Keras builds and traces with streams of random numbers that belong to the whole process, and the
user's code may do anything. So a thread of a search is on the stage whenever it runs such code, and
leaves it only while a compiled program is made or runs. Each thread takes its random streams along
when it leaves and finds them as they were when it is back: a trial draws the same numbers whoever
trains beside it. So it does with Keras' session, which a `keras.utils.clear_session()` anywhere
takes away from all threads.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from afina.training.session import read_session, write_session


class Stage:
    """A lock that carries streams and session of who holds it. See the module's text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here = threading.local()

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread is on the stage."""
        return bool(getattr(self._here, "held", False))

    @contextmanager
    def held(self) -> Iterator[None]:
        """The thread is on the stage inside; waits until nobody else is. May be nested."""
        if self.is_mine:
            yield
            return
        with self._lock:
            self._here.held = True
            try:
                yield
            finally:
                self._here.held = False

    @contextmanager
    def left(self) -> Iterator[None]:
        """The thread is off the stage inside; does nothing for a thread that is not on it."""
        if not self.is_mine:
            yield
            return
        streams, session = (random.getstate(), np.random.get_state()), read_session()
        self._here.held = False
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()
            self._here.held = True
            random.setstate(streams[0])
            np.random.set_state(streams[1])
            write_session(session)


stage = Stage()
"""The process' own: the random streams are the process' too."""
