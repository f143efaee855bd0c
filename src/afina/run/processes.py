"""Worker processes: fresh Python processes that are started once and run many functions.

Not `multiprocessing`: its "spawn" runs the user's script again in each child unless that is written
with the `if __name__ == "__main__"` guard, and its "fork" breaks the threads of Keras' backends.
Here a child is `python -c` with pipes: it never sees the script, works the same on every system,
and functions of the script or of a notebook travel by value (cloudpickle).
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from afina.errors import LostWorkerError, RemoteError, check_whole
from afina.run.arrays import SharedArrays
from afina.run.base import Signal
from afina.run.memory_kills import memory_kills
from afina.run.orphans import start_child
from afina.run.parcels import (
    TRAIN_HERE,
    Frame,
    Kind,
    StandIns,
    pack,
    pack_call,
    pack_error,
    read_frame,
    unpack,
    unpack_error,
    write_frame,
)
from afina.run.threads import Threads, stopping, worker_index
from afina.run.worker import STOPPING

Job = TypeVar("Job")

Serve = Callable[..., Any]
"""Called in the parent with the name and the arguments that a child passes to `remote`."""

_GLANCE = 0.5  # seconds between two looks whether a silent process is alive
_GRACE = 2.0  # seconds that a process has to end by itself

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # XLA, as JAX runs it on CPUs
    "PJRT_NPROC",
)
"""Environment variables that say how many threads a library uses."""

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # what TensorFlow says at its start, the parent's has said
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share the GPU's memory
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
"""Defaults of a worker's environment; the user's own values come first."""


@dataclass(frozen=True)
class Processes:
    """Runs up to `workers` jobs side by side, each in a thread that has a worker process.

    A job itself runs in the thread, as with `Threads`; what it passes to `call` runs in the
    process. A process is started at the first call, and ends with the run. Ctrl-C ends them all.

    Args:
        workers: How many jobs run at a time, from 1 up.

    Raises:
        ArgumentError: `workers` is less than one.

    Example:
        >>> import os
        >>> jobs, seen = iter([1, 2]), set()
        >>> work = lambda job: seen.add(call(os.getpid))
        >>> Processes(1).run(lambda: next(jobs, Signal.STOP), work)
        >>> len(seen), os.getpid() in seen
        (1, False)
    """

    workers: int

    def __post_init__(self) -> None:
        check_whole("workers", self.workers)

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None]) -> None:
        """Returns when `next_job` answers `Signal.STOP` and every job has ended."""
        with WorkerProcesses(self.workers) as pool, pool_of_jobs(pool):
            Threads(self.workers, stop=pool.stop).run(next_job, work)


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs a function in the worker process of the calling thread; here if it has none.

    Args:
        function: What to run.
        args: Its arguments, which must be able to travel like the function itself.
        kwargs: Its other arguments.

    Raises:
        ArgumentError: The function or an argument cannot travel.
        LostWorkerError: The process died.
        Exception: The function raised it.
    """
    pool = _pool.get()
    if pool is None:
        return function(*args, **kwargs)
    return pool.call(worker_index(), function, *args, **kwargs)


class WorkerPool(Protocol):
    """Processes that run functions: `WorkerProcesses` says what each method does."""

    def call(
        self,
        index: int,
        function: Callable[..., Any],
        *args: Any,
        serve: Serve | None = None,
        **kwargs: Any,
    ) -> Any:
        """Runs a function in a process and returns its result: `pack` and `run` in one."""
        return self.run(index, self.pack(function, *args, **kwargs), serve=serve)

    def pack(
        self,
        function: Callable[..., Any],
        *args: Any,
        stand_ins: StandIns = (),
        **kwargs: Any,
    ) -> bytes:
        """Packs a function and its arguments."""
        ...

    def run(
        self,
        index: int,
        packed: bytes,
        *,
        serve: Serve | None = None,
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
        check: Callable[[], None] | None = None,
    ) -> Any:
        """Runs a packed function in a process and returns its result."""
        ...

    def stop(self) -> None:
        """Ends all processes at once."""
        ...

    def close(self) -> None:
        """Ends all processes."""
        ...


class WorkerProcesses(WorkerPool):
    """Up to `count` processes, each started when it is first called; they end with this one.

    Each index is used by one thread at a time. A process that dies is replaced at its next call.
    What a child prints is printed here. Ctrl-C does not reach the children: `stop` ends them.

    Args:
        count: How many; each uses its share of the processors and no more.
        environment: Variables of the children, which come before those of this process.
        preload: Modules that each child imports when it starts, before its first call.

    Raises:
        ArgumentError: `count` is less than one.

    Example:
        >>> with WorkerProcesses(2) as pool:
        ...     pool.call(0, divmod, 7, 2)
        (3, 1)
    """

    def __init__(
        self,
        count: int,
        *,
        environment: Mapping[str, str] | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        count = check_whole("count", count)
        limits = dict.fromkeys(THREAD_LIMITS, str(max(processors() // count, 1)))
        self._environment = {**QUIET, **limits, **os.environ, **(environment or {})}
        self._preload = tuple(preload)
        self._arrays = SharedArrays()
        self._workers: dict[int, _Worker] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def pack(
        self,
        function: Callable[..., Any],
        *args: Any,
        stand_ins: StandIns = (),
        advice: str = TRAIN_HERE,
        **kwargs: Any,
    ) -> bytes:
        """Packs a function and its arguments, for `run`.

        NumPy arrays from 64 KiB on, wherever they are among the arguments, are written to files
        once and mapped by the children. All else is copied each time.

        Args:
            function: What to run.
            args: Its arguments.
            stand_ins: What travels instead of things that belong to this process.
            advice: What to do about an argument that cannot travel.
            kwargs: Its other arguments.

        Raises:
            ArgumentError: An argument cannot travel.
        """
        return pack_call(function, args, kwargs, self._arrays, stand_ins, advice=advice)

    def run(
        self,
        index: int,
        packed: bytes,
        *,
        serve: Serve | None = None,
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
        check: Callable[[], None] | None = None,
    ) -> Any:
        """Runs a packed function in a process and returns its result.

        Args:
            index: Of the process, from 0.
            packed: By `pack`. Keep what it was packed from until the call ends.
            serve: Called in this thread with what the function gives to
                `afina.run.worker.remote`, which gets the result, or the exception.
            guard: Entered while `serve` works and its result is packed.
            check: Called now and then while the function runs; what it raises ends the process.

        Raises:
            LostWorkerError: The process died.
            RemoteError: What the function raised cannot travel, or the process cannot start.
            KeyboardInterrupt: `stop` was called meanwhile.
            Exception: What the function raised.
        """
        worker = self._worker(index)
        try:
            answering = functools.partial(served, serve=serve, guard=guard)
            kind, answer = worker.call(packed, answering, check)
            if kind is Kind.RESULT:
                return unpack(answer)
        except BaseException as error:
            # Nobody knows what the process is doing now.
            self._workers.pop(index, None)
            worker.end(0.0)
            if self._stopped and isinstance(error, LostWorkerError):
                raise KeyboardInterrupt("the worker processes were stopped") from None
            raise
        raise unpack_error(answer)

    def start(self, index: int) -> None:
        """Starts a process and does not wait: it is ready sooner for its first call."""
        self._worker(index)

    def _worker(self, index: int) -> _Worker:
        with self._lock:
            if self._stopped:
                raise KeyboardInterrupt("the worker processes were stopped")
            worker = self._workers.get(index)
            if worker is None:
                worker = _Worker(self._environment, str(self._arrays.folder), self._preload)
                self._workers[index] = worker
            return worker

    def stop(self) -> None:
        """Ends all processes at once, from any thread: their calls raise KeyboardInterrupt."""
        with self._lock:
            self._stopped = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.end(0.0)

    def close(self) -> None:
        """Ends all processes and removes the files of arrays; the pool cannot be used again."""
        with self._lock:
            self._stopped = True
            workers = list(self._workers.values())
            self._workers.clear()
        for worker in workers:
            worker.end(_GRACE)
        self._arrays.close()

    def __enter__(self) -> WorkerProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_pool: contextvars.ContextVar[WorkerPool | None] = contextvars.ContextVar(
    "afina_processes", default=None
)


def current_pool() -> WorkerPool | None:
    """The worker processes of the run that the caller's job belongs to."""
    return _pool.get()


@contextlib.contextmanager
def pool_of_jobs(pool: WorkerPool) -> Iterator[None]:
    """Within the block, jobs call functions in these processes."""
    before = _pool.set(pool)
    try:
        yield
    finally:
        _pool.reset(before)


class _Worker:
    """The parent's end of one process."""

    def __init__(self, environment: Mapping[str, str], folder: str, preload: Sequence[str]) -> None:
        self._kills = memory_kills()
        paths = [path for path in sys.path if isinstance(path, str)]
        code = (
            f"import sys; sys.path[:] = {paths!r}; sys.argv[:] = {sys.argv!r}; "
            f"from afina.run.worker import main; main({folder!r}, {os.getpid()}, {preload!r})"
        )
        options = [f"-W{option}" for option in sys.warnoptions]
        # A group of its own, or the terminal would send Ctrl-C to it too, even while it starts.
        group: dict[str, Any] = {"process_group": 0}
        if sys.platform == "win32":  # pragma: no cover
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = start_child(
            [sys.executable, *options, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            **group,
        )
        self._outgoing = cast("BinaryIO", self._process.stdin)
        self._incoming = cast("BinaryIO", self._process.stdout)
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._ready = False
        self._listener = threading.Thread(target=self._listen, name="afina-child", daemon=True)
        self._listener.start()

    def call(
        self,
        body: bytes,
        answering: Callable[[bytes], Frame],
        check: Callable[[], None] | None = None,
    ) -> Frame:
        """Sends a call, answers what the child asks meanwhile, returns its RESULT or ERROR."""
        if not self._ready:
            self._await_start()
        self._send(Kind.CALL, body)
        while True:
            kind, answer = self._next(check)
            if kind is not Kind.ASK:
                return kind, answer
            if check is not None:
                check()
            self._send(*answering(answer))

    def end(self, grace: float) -> None:
        """Asks the process to end, and kills it after `grace` seconds."""
        if grace > 0:
            self._hang_up()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self._kill()
        self._hang_up()  # after its end: closing would wait for a thread that is sending
        self._listener.join(_GRACE)

    def _kill(self) -> None:
        if self._process.poll() is None and sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started itself
        self._process.kill()
        self._process.wait()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._outgoing.close()

    def _await_start(self) -> None:
        try:
            self._next()
        except LostWorkerError as error:
            raise RemoteError(
                f"A worker process did not start ({_end_of(self._process.returncode)}). Its own "
                "words, if it said any, are above. Pass workers=1 to train in this process."
            ) from error
        self._ready = True

    def _send(self, kind: Kind, body: bytes) -> None:
        try:
            write_frame(self._outgoing, kind, body)
        except (OSError, ValueError):
            raise self._lost() from None

    def _next(self, check: Callable[[], None] | None = None) -> Frame:
        while True:
            try:
                frame = self._frames.get(timeout=_GLANCE)
            except queue.Empty:
                if check is not None:
                    check()
                # Processes that the child has started may hold on to its pipe.
                if self._process.poll() is None or not self._frames.empty():
                    continue
                frame = None
            if frame is None:
                raise self._lost()
            return frame

    def _lost(self) -> LostWorkerError:
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:  # it has closed its pipe, and lives
            self._kill()
            code = self._process.wait()
        error = LostWorkerError(f"The process that ran the trial died: {_end_of(code)}.")
        error.out_of_memory = code == -signal.SIGKILL and memory_kills() != self._kills
        return error

    def _listen(self) -> None:
        while True:
            try:
                frame = read_frame(self._incoming)
            except (OSError, ValueError):
                frame = None
            if frame is not None and frame[0] is Kind.SAY:
                say(frame[1])
                continue
            self._frames.put(frame)
            if frame is None:
                self._incoming.close()
                return


def served(
    question: bytes, serve: Serve | None, guard: Callable[[], AbstractContextManager[Any]]
) -> Frame:
    """The answer to what a worker process asks, or the exception.

    Args:
        question: The body of its frame.
        serve: See `WorkerProcesses.run`.
        guard: See `WorkerProcesses.run`.
    """
    try:
        name, args, kwargs = unpack(question)
        if name == STOPPING:
            return Kind.RESULT, pack(stopping())
        if serve is None:
            raise RuntimeError(f"remote({name!r}): the call has no `serve`.")
        with guard():
            return Kind.RESULT, pack(serve(name, *args, **kwargs))
    except Exception as error:
        return Kind.ERROR, pack_error(error)


def say(body: bytes) -> None:
    """Prints what a worker process has printed."""
    name, text = unpack(body)
    stream = getattr(sys, name)
    with contextlib.suppress(Exception):  # a closed stream is no reason to lose the results
        stream.write(text)
        stream.flush()


def _end_of(code: int) -> str:
    """How a process ended, from its return code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    if name == "SIGKILL":
        return "killed by SIGKILL, as the system does when memory runs out"
    return f"killed by {name}"


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
