"""A Ray actor that is a worker process: `worker.Link` at the end of two pipes within it.

    the searching process                     the actor
      actor.send(frame)       ──▶  pipe ──▶   Link.listen ─▶ Link.serve runs the call
      actor.receive()  ◀── one frame  ◀── pipe ◀── Link.send

Ray carries the same frames that go through pipes to a child process. This file does not import Ray.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afina.run import arrays, worker
from afina.run.parcels import Frame, Kind, read_frame, write_frame


class RayActor:
    """Made by Ray in a process of its own, on any machine of the cluster.

    Args:
        environment: Variables that libraries read when they are imported.
        defaults: More of them; those that are set on this machine come first.
        paths: `sys.path` of the searching process, as far as this machine has them.
        arguments: Its `sys.argv`.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        defaults: Mapping[str, str],
        paths: Sequence[str],
        arguments: Sequence[str],
    ) -> None:
        os.environ.update(environment)
        for name, value in defaults.items():
            os.environ.setdefault(name, value)
        sys.path += [path for path in paths if path not in sys.path and os.path.exists(path)]
        sys.argv[:] = arguments
        self._arrays: dict[str, Any] = {}
        outer, self._to_link = os.pipe()
        self._from_link, inner = os.pipe()
        self._outgoing = os.fdopen(self._to_link, "wb")
        self._incoming = os.fdopen(self._from_link, "rb")
        self._link = worker.Link(os.fdopen(outer, "rb"), os.fdopen(inner, "wb"), folder=None)
        worker.attach(self._link)
        for name, target in (
            ("afina-parent", self._link.listen),
            ("afina-calls", self._link.serve),
        ):
            threading.Thread(target=target, name=name, daemon=True).start()

    def send(self, kind: str, body: bytes, placed: Mapping[str, Any]) -> None:
        """Takes one frame from the searching process.

        Args:
            kind: Of the frame.
            body: Of the frame.
            placed: References to arrays that have not been sent before, by name.
        """
        if placed:
            import ray

            values = ray.get(list(placed.values()))
            for name, array in zip(placed, values, strict=True):
                # PyTorch warns of arrays that cannot be written to, as those in Ray's store.
                torch = os.environ.get("KERAS_BACKEND") == "torch"
                self._arrays[name] = array.copy() if torch else array
                arrays.place(name, self._arrays[name])
        write_frame(self._outgoing, Kind(kind.encode()), body)

    def where(self) -> tuple[str, int]:
        """The machine's name in the cluster, and the number of this process there."""
        import ray

        return ray.get_runtime_context().get_node_id(), os.getpid()

    def receive(self) -> tuple[str, bytes] | None:
        """Waits for the next frame to the searching process."""
        frame: Frame | None = read_frame(self._incoming)
        return None if frame is None else (frame[0].value.decode(), frame[1])


def end_process(number: int) -> None:
    """On the machine of an actor: ends its process, whatever code it is in.

    Ray itself would wait until compiled code that holds the interpreter's lock returns.
    """
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return
    if RayActor.__name__.encode() in words:  # the number may be another process' by now
        with contextlib.suppress(OSError):
            os.kill(number, signal.SIGKILL)
