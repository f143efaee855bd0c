"""The python turn: a lock under which one thread at a time runs Python of Keras or of the user.

Keras builds and traces with random streams that belong to the whole process, and the user's code
may do anything. So a thread of a search holds the turn while it runs such code. It releases the
turn only while a compiled program is made or runs. The thread's random streams and Keras session
are kept meanwhile and put back afterwards: a trial draws the same numbers whatever trains beside
it, and a `keras.utils.clear_session()` elsewhere does not reach it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from afina.training.session import read_session, write_session


class PythonTurn:
    """A lock that carries its holder's random streams and Keras session; see the module's text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here = threading.local()
        self.undisturbed: Callable[[], AbstractContextManager[Any]] = nullcontext
        """Entered while a thread takes a lock that others wait for: nothing may be raised in it
        from outside then, or the lock would be held for ever."""

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread holds the turn."""
        return bool(getattr(self._here, "held", False))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits for the turn and holds it within the block; may be nested."""
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
    def released(self) -> Iterator[None]:
        """Lets other threads have the turn within the block; does nothing without it."""
        if not self.is_mine:
            yield
            return
        streams, session = (random.getstate(), np.random.get_state()), read_session()
        self._here.held = False
        self._lock.release()
        try:
            yield
        finally:
            with self.undisturbed():
                self._lock.acquire()
                self._here.held = True
                random.setstate(streams[0])
                np.random.set_state(streams[1])
                write_session(session)


python_turn = PythonTurn()
"""The one turn of this process, as the random streams are the process' too."""
