"""What Ctrl-C and SIGTERM do to a running search.

    first signal    the search stops after the running epoch, which is saved; where no epochs are
                    reported, it stops at once
    second signal   it stops at once
    afterwards      KeyboardInterrupt after Ctrl-C, SystemExit(143) after SIGTERM

Clusters send SIGTERM some time before they kill a job. The handlers are those of Python, so they
can only be set in the main thread; they are there during a search alone. A handler of the user's is
called too. One that ignores a signal, as `nohup` sets it, is left alone. `store.termination`
records SIGTERM at once, even while compiled code keeps Python from handling it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from afina.run.stop_request import stop_request
from afina.store import termination

_NAMES: dict[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_IGNORED = (signal.SIG_IGN, None)  # None: a handler that is not Python's

RESUME = "To resume, run the same script again."


@contextlib.contextmanager
def stop_signals(finishes_epochs: Callable[[], bool], *, resumes: bool = True) -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM stop the search gently.

    Args:
        finishes_epochs: Says whether the running trials will see `stopping()` after their epoch.
        resumes: Whether the search can be resumed by another process.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        SystemExit: SIGTERM came.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or _handlers:  # another search around this one handles the signals
        yield
        return
    try:
        for number in _NAMES:
            before = signal.getsignal(number)
            if before not in _IGNORED:
                _handlers[number] = before
                handle = _handler(number, before, finishes_epochs, resumes)
                termination.change_handler(number, handle, ends_cleanly=True)
        yield
    except KeyboardInterrupt:
        if not stop_request.is_by_scheduler:
            raise
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        for number, before in _handlers.items():
            termination.change_handler(number, before, ends_cleanly=False)
        _handlers.clear()
        stop_request.clear()


_handlers: dict[int, Any] = {}
"""Those that were there before the search; empty while none is running."""


def _handler(
    number: int, before: Any, finishes_epochs: Callable[[], bool], resumes: bool
) -> Callable[[int, Any], None]:
    theirs = before not in (signal.SIG_DFL, signal.default_int_handler)

    def handle(signal_number: int, frame: Any) -> None:
        stop_request.add(signal_number)
        gently = stop_request.times == 1 and finishes_epochs()
        resume = f" {RESUME}" if resumes else ""
        if gently:
            _say(f"{_NAMES[number]}: stopping after this epoch.{resume} Ctrl-C again stops now.")
        elif stop_request.times == 1:
            _say(f"{_NAMES[number]}: stopping.{resume}")
        if theirs:
            before(signal_number, frame)
        if not gently:
            raise KeyboardInterrupt

    return handle


def _say(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except Exception:  # the signal came while something else was being printed
        with contextlib.suppress(OSError):
            os.write(2, f"{text}\n".encode())
