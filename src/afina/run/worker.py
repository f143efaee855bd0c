"""A worker process: it runs the functions that its parent sends, one after the other.

Started by `afina.run.processes` alone.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO

from afina.run.orphans import end_with_parent
from afina.run.parcels import (
    Kind,
    pack,
    pack_error,
    read_frame,
    unpack,
    unpack_call,
    unpack_error,
    write_frame,
)


class Link:
    """The child's end of the pipes.

    Args:
        incoming: From the parent.
        outgoing: To the parent.
        folder: The parent's files of arrays, to be removed if the parent dies; None for no files.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO, folder: str | None) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._folder = folder
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._busy = False
        self._answers: queue.SimpleQueue[tuple[Kind, bytes]] = queue.SimpleQueue()

    def listen(self) -> None:
        """Receives what the parent sends, and ends this process when the parent is gone.

        It runs in a thread of its own, so that a training that releases the interpreter's lock now
        and then does not outlive its parent.
        """
        while True:
            try:
                frame = read_frame(self._incoming)
            except (OSError, ValueError):
                frame = None
            if frame is None:
                self._leave()
                return
            kind, body = frame
            if kind is Kind.CALL:
                self._calls.put(body)
            else:
                self._answers.put(frame)

    def _leave(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        try:
            if not self._busy:
                farewells.close()
        finally:
            os._exit(0)  # compiled libraries may take long to shut down, or crash

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Sends one frame."""
        with self._sending:
            write_frame(self._outgoing, kind, body)

    def ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Asks the parent to do something and returns the result."""
        question = pack((name, args, kwargs))
        with self._asking:
            self.send(Kind.ASK, question)
            kind, body = self._answers.get()
        if kind is Kind.ERROR:
            raise unpack_error(body)
        return unpack(body)

    def serve(self) -> None:
        """Runs calls for ever."""
        self.send(Kind.READY)
        while True:
            body = self._calls.get()
            self._busy = True
            self.send(*_run(body))
            del body
            self._busy = False


def _run(body: bytes) -> tuple[Kind, bytes]:
    try:
        function, args, kwargs = unpack_call(body)
        answer = Kind.RESULT, pack(function(*args, **kwargs))
    except BaseException as error:
        answer = Kind.ERROR, pack_error(error)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return answer


class Forwarder(io.TextIOBase):
    """Replaces `sys.stdout` or `sys.stderr`: the parent prints what is written here.

    It then appears where the parent's own prints do: in a notebook's cell, or above the display.

    Args:
        link: To the parent.
        name: "stdout" or "stderr".
    """

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name
        self._lock = threading.RLock()
        self._pending = ""
        self._owner = os.getpid()

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Sends whole lines to the parent."""
        if os.getpid() != self._owner:  # a fork has no parent to talk to
            return os.write(2, text.encode(errors="backslashreplace"))
        with self._lock:
            whole, newline, rest = (self._pending + text).rpartition("\n")
            self._pending = rest
            self._say(whole + newline)
        return len(text)

    def flush(self) -> None:
        """Sends the rest of a line."""
        if os.getpid() == self._owner:
            with self._lock:
                rest, self._pending = self._pending, ""
                self._say(rest)

    def _say(self, text: str) -> None:
        if text:
            self._link.send(Kind.SAY, pack((self._name, text)))

    def writable(self) -> bool:
        """Says that it can be written to."""
        return True


farewells = contextlib.ExitStack()
"""In a worker process: closed when the parent ends it between two calls."""

_link: Link | None = None

STOPPING = "stopping"
"""What a worker process asks for to learn whether the search is to stop."""


def is_worker() -> bool:
    """Whether this is a worker process."""
    return _link is not None


def remote(name: str, *args: Any, **kwargs: Any) -> Any:
    """In a worker process: calls the parent's `serve` with these arguments.

    Raises:
        RuntimeError: This process is not a worker.
        Exception: What `serve` raised.
    """
    if _link is None:
        raise RuntimeError(f"remote({name!r}): this process is not a worker of another one.")
    return _link.ask(name, args, kwargs)


def attach(link: Link) -> None:
    """Makes this process a worker at the end of these pipes; the parent prints what it prints."""
    global _link
    _link = link
    sys.stdout, sys.stderr = Forwarder(link, "stdout"), Forwarder(link, "stderr")


def main(folder: str, parent: int, preload: Sequence[str] = ()) -> None:
    """Serves until the parent is gone.

    Args:
        folder: The parent's files of arrays, removed then.
        parent: The number of the parent's process.
        preload: Modules to import first.
    """
    if not end_with_parent(parent):
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)
    # The pipes lie where programs expect their input and output. They are moved out of the way, so
    # that what compiled code prints cannot get in between; it goes where errors go.
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    # The parent decides what happens to this process at Ctrl-C, and when a cluster ends the job.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    link = Link(incoming, outgoing, folder)
    attach(link)
    threading.Thread(target=link.listen, name="afina-parent", daemon=True).start()
    for module in preload:
        importlib.import_module(module)
    link.serve()
