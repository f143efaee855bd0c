"""What a process that is asked to end writes before it does.

SIGTERM and SIGHUP (a scheduler, a shutdown, a closed terminal) end a Python program without running
any more of it. A search that is ended so has not died of a trial, and the next start must be able
to tell. Python's own handlers wait until compiled code returns, which may take minutes; those of
`faulthandler` write at once and then let the signal do what it would have done.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal

_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(faulthandler, "register")
]
_files: list[int] = []  # open in this process, the latest last
_registered: set[int] = set()


def begin(file: int) -> None:
    """From now on, a signal that ends this process is written into the open file."""
    _files.append(file)
    _register()


def end(file: int) -> None:
    """The file is about to be closed; also in a fork, whose signals are no concern of the file."""
    if file in _files:
        _files.remove(file)
        _register()


def _register() -> None:
    for number in _SIGNALS:
        # Threads other than the main one may ask and register, but some systems refuse.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if not _files:
                if number in _registered:
                    faulthandler.unregister(number)
                    _registered.discard(number)
            elif signal.getsignal(number) is signal.SIG_DFL:  # else somebody ends it in peace
                faulthandler.register(number, file=_files[-1], all_threads=False, chain=True)
                _registered.add(number)
