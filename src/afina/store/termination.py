"""Records that a signal ended this process, so that the next one does not blame a trial.

SIGTERM and SIGHUP (from a scheduler, a shutdown, a closed terminal) end a Python program at once.
No trial caused that, and the next start must know it. Python's own signal handlers wait until
compiled code returns, which may take minutes. Those of `faulthandler` write at once, and then let
the signal take its normal effect.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from typing import Any

_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(faulthandler, "register")
]
_files: list[int] = []  # open in this process, the latest last
_registered: set[int] = set()
_clean: set[int] = set()  # signals whose handler is Afina's, which ends the process cleanly


def start(file: int) -> None:
    """From now on, `faulthandler` writes into this open file if a signal ends the process."""
    _files.append(file)
    _register()


def stop(file: int) -> None:
    """Stops writing into a file that is about to be closed; forked children call it too."""
    if file in _files:
        _files.remove(file)
        _register()


def change_handler(number: int, handler: Any, *, ends_cleanly: bool) -> None:
    """Sets Python's handler of a signal, below the record of it.

    Args:
        number: The signal.
        handler: As for `signal.signal`.
        ends_cleanly: Whether it is Afina's own. Python calls it only when compiled code returns; a
            scheduler may have lost its patience by then, so the signal is recorded at once.
    """
    if number in _registered:
        faulthandler.unregister(number)
        _registered.discard(number)
    signal.signal(number, handler)
    (_clean.add if ends_cleanly else _clean.discard)(number)
    _register()


def _register() -> None:
    for number in _SIGNALS:
        # Some systems refuse to register from threads other than the main one.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if not _files:
                if number in _registered:
                    faulthandler.unregister(number)
                    _registered.discard(number)
            elif number in _clean or signal.getsignal(number) is signal.SIG_DFL:
                # A handler of the user's ends it cleanly.
                faulthandler.register(number, file=_files[-1], all_threads=False, chain=True)
                _registered.add(number)
