"""Worker processes on the machines of a Ray cluster: `RayExecutor` and its actors.

    RayExecutor(address, cpus, gpus)
        └─ RayWorkers    as `WorkerProcesses`: pack, run, stop; so all that runs in worker
             │           processes runs on a cluster unchanged
             └─ actors   `ray_actor.RayActor`, each with its share of processors and GPUs

Large arrays go to Ray's object store once, and each machine reads them from there. An actor takes
the next call that comes; one whose machine is lost is replaced by a new one wherever there is room,
so that machines that join are used as soon as an actor waits for them. Ray is imported when the
first executor is used.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from afina.errors import (
    ArgumentError,
    LostWorkerError,
    RemoteError,
    check_number,
    check_whole,
    wrong,
)
from afina.run.arrays import is_shared
from afina.run.base import Signal
from afina.run.parcels import (
    Frame,
    Kind,
    StandIns,
    pack_call,
    unpack,
    unpack_error,
)
from afina.run.processes import (
    QUIET,
    THREAD_LIMITS,
    Serve,
    WorkerPool,
    pool_of_jobs,
    say,
    served,
)
from afina.run.ray_actor import RayActor, end_process
from afina.run.threads import Threads

Job = TypeVar("Job")

_GLANCE = 0.5  # seconds between two looks whether the search is to stop
_IMPATIENT = 60.0  # seconds without any actor until that is said
_STARTS = 3  # actors in a row that do not start

_WORDS_OF_MEMORY = ("OutOfMemory", "out of memory", "memory monitor", "OOM")


@dataclass(frozen=True)
class RayExecutor:
    """Runs the jobs of a search on a Ray cluster.

    A job itself runs in a thread here; what it passes to `call`, and each trial of a tuner, runs in
    a Ray actor. Needs the extra `ray`.

    Args:
        address: Of the cluster: "auto", "host:port" or "ray://host:port". None is the cluster that
            this process is connected to, else that of RAY_ADDRESS, else a new one on this machine.
        cpus: Processors for each trial; also how many threads its libraries use.
        gpus: GPUs for each trial; a part of one, such as 0.5, is allowed.
        workers: How many trials run at a time. "auto" is as many as there is room for on the
            cluster when the search begins; a number above that waits for machines that join.
        checkpoint_dir: Where trials keep their models: a folder that all machines share, or a URL
            that all can read and write, such as "s3://bucket/models". fsspec opens the URL, with
            the credentials that the package of its protocol finds on each machine. None is the
            project's folder, which all must share then.

    Raises:
        ArgumentError: A number is out of range, or fsspec cannot open such a URL.

    Example:
        >>> RayExecutor(cpus=2, gpus=0.5).workers
        'auto'
    """

    address: str | None = None
    cpus: float = 1
    gpus: float = 0
    workers: int | Literal["auto"] = "auto"
    checkpoint_dir: str | Path | None = field(default=None, repr=False)  # may hold a password

    def __post_init__(self) -> None:
        check_number("cpus", self.cpus, above=0)
        check_number("gpus", self.gpus, least=0)
        if self.workers != "auto":
            check_whole("workers", self.workers, rule='must be "auto" or a whole number from 1 up')
        if is_url(self.checkpoint_dir):
            _check_protocol(str(self.checkpoint_dir))
        elif isinstance(self.checkpoint_dir, Path) and re.match(
            r"\w\w+:", str(self.checkpoint_dir)
        ):
            rule, advice = "must be a text where it is a URL", "Pass it without Path."
            raise ArgumentError(wrong("checkpoint_dir", rule, str(self.checkpoint_dir), advice))

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None]) -> None:
        """Returns when `next_job` answers `Signal.STOP` and every job has ended."""
        with self.open_pool() as pool, pool_of_jobs(pool):
            Threads(pool.count, stop=pool.stop).run(next_job, work)

    @contextlib.contextmanager
    def open_pool(self, environment: Mapping[str, str] | None = None) -> Iterator[RayWorkers]:
        """Connects to the cluster and starts the actors.

        Args:
            environment: Variables of the actors.

        Raises:
            ArgumentError: Ray is not installed, or there is no such cluster.
        """
        ray = _import_ray()
        was_connected = ray.is_initialized()
        if not was_connected:
            _connect(ray, self.address)
        try:
            with RayWorkers(ray, self, environment) as pool:
                yield pool
        finally:
            if not was_connected:
                ray.shutdown()


def is_url(place: object) -> bool:
    """Whether `checkpoint_dir` is a URL rather than a folder."""
    return isinstance(place, str) and "://" in place


def _check_protocol(url: str) -> None:
    """Raises ArgumentError unless fsspec, and the package of the URL's protocol, are there."""
    protocol = re.split("::|://", url)[0]
    try:
        importlib.import_module("fsspec").get_filesystem_class(protocol)
    except ModuleNotFoundError as error:
        raise ArgumentError(
            "checkpoint_dir: a URL needs fsspec, which is not installed. Install it: "
            "pip install 'afina[ray]'."
        ) from error
    except ImportError as error:
        rule = "must be a URL whose protocol is installed"
        raise ArgumentError(wrong("checkpoint_dir", rule, f"{protocol}://", f"{error}.")) from error
    except ValueError as error:
        rule = "must be a folder, or a URL of a protocol that fsspec knows"
        advice = 'Such as "s3://bucket/models" or "gs://bucket/models".'
        raise ArgumentError(wrong("checkpoint_dir", rule, f"{protocol}://", advice)) from error


def is_ray_name(executor: object) -> bool:
    """Whether a text given as `executor=` means Ray: "ray", or the address of a cluster."""
    return isinstance(executor, str) and (
        executor in ("ray", "auto") or executor.startswith("ray://")
    )


def ray_executor(name: str, workers: int | None) -> RayExecutor:
    """The executor that such a text means."""
    count: int | Literal["auto"] = "auto" if workers is None else workers
    return RayExecutor(None if name == "ray" else name, workers=count)


class RayWorkers(WorkerPool):
    """Actors that run packed functions, as `WorkerProcesses` does in child processes.

    Args:
        ray: The package.
        plan: Says how many, and with what.
        environment: Variables of the actors.
    """

    def __init__(
        self, ray: Any, plan: RayExecutor, environment: Mapping[str, str] | None = None
    ) -> None:
        self._ray = ray
        self._plan = plan
        self._placed = _PlacedArrays(ray)
        limits = dict.fromkeys(THREAD_LIMITS, str(max(1, round(plan.cpus))))
        self._environment = dict(environment or {}), {**QUIET, **limits}
        self._change = threading.Condition()  # guards what follows
        self._free: list[_Actor] = []
        self._starting: list[_Actor] = []
        self._busy: set[_Actor] = set()
        self._failed = 0
        self._stopped = False
        self.count = self._count()
        """How many actors there are, or will be."""

        for _ in range(self.count):
            self._starting.append(self._make())

    def _count(self) -> int:
        if self._plan.workers != "auto":
            return self._plan.workers
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) / self._plan.cpus)
        if self._plan.gpus:
            room = min(room, int(there.get("GPU", 0) / self._plan.gpus))
        if room < 1:
            has = {name: there.get(name, 0) for name in ("CPU", "GPU")}
            rule = f"needs a cluster with room for cpus={self._plan.cpus}, gpus={self._plan.gpus}"
            advice = "Ask for less, or pass workers=1 to wait for a machine that joins."
            raise ArgumentError(wrong("RayExecutor", rule, has, advice))
        return room

    def _make(self) -> _Actor:
        return _Actor(self._ray, self._plan, self._environment)

    # -- as WorkerProcesses -----------------------------------------------------------------------

    def pack(
        self,
        function: Callable[..., Any],
        *args: Any,
        stand_ins: StandIns = (),
        **kwargs: Any,
    ) -> bytes:
        """See `WorkerProcesses.pack`; large arrays go to Ray's object store."""
        return pack_call(function, args, kwargs, self._placed, stand_ins)

    def run(
        self,
        index: int,
        packed: bytes,
        *,
        serve: Serve | None = None,
        guard: Callable[[], AbstractContextManager[Any]] = nullcontext,
        check: Callable[[], None] | None = None,
    ) -> Any:
        """See `WorkerProcesses.run`; any actor that is free takes the call."""
        del index
        actor = self._take()
        try:
            actor.send(Kind.CALL, packed, self._placed.references)
            while True:
                kind, answer = actor.receive(self._glance(check))
                if kind is not Kind.ASK:
                    break
                actor.send(*served(answer, serve, guard))
                if check is not None:
                    check()
            result = unpack(answer) if kind is Kind.RESULT else None
        except BaseException as error:
            # Nobody knows what the actor is doing now.
            self._give_up(actor)
            if self._stopped and isinstance(error, LostWorkerError):
                raise KeyboardInterrupt("the Ray actors were stopped") from None
            raise
        self._give_back(actor)
        if kind is Kind.RESULT:
            return result
        raise unpack_error(answer)

    def _glance(self, check: Callable[[], None] | None) -> Callable[[], None]:
        def glance() -> None:
            if self._stopped:
                raise KeyboardInterrupt("the Ray actors were stopped")
            if check is not None:
                check()

        return glance

    def stop(self) -> None:
        """Ends all actors, from any thread: their calls raise KeyboardInterrupt."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def close(self) -> None:
        """Ends all actors."""
        self.stop()
        with self._change:
            idle, busy = [*self._free, *self._starting], list(self._busy)
            self._free, self._starting = [], []
        for actor in idle:
            actor.end()
        for actor in busy:
            actor.end(is_busy=True)
        self._placed.clear()

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- actors -----------------------------------------------------------------------------------

    def _take(self) -> _Actor:
        """Waits for an actor that is free."""
        began, said = time.monotonic(), False
        with self._change:
            while True:
                if self._stopped:
                    raise KeyboardInterrupt("the Ray actors were stopped")
                self._collect()
                if self._free:
                    actor = self._free.pop()
                    self._busy.add(actor)
                    return actor
                if not self._busy and not said and time.monotonic() - began > _IMPATIENT:
                    said = True
                    warnings.warn(
                        f"Ray has had no room for a worker with cpus={self._plan.cpus}, "
                        f"gpus={self._plan.gpus} for a minute. The search waits. The cluster has "
                        f"{self._ray.cluster_resources()}.",
                        stacklevel=2,
                    )
                self._change.wait(0.1)

    def _collect(self) -> None:
        """Moves the actors that have started to the free ones."""
        for actor in list(self._starting):
            try:
                if not actor.has_started():
                    continue
            except LostWorkerError as error:
                self._starting.remove(actor)
                actor.end()
                self._failed += 1
                if self._failed >= _STARTS:
                    raise RemoteError(
                        f"Ray could not start a worker, {_STARTS} times: {error} Afina, Keras and "
                        "its backend must be installed on every machine of the cluster."
                    ) from error
                self._starting.append(self._make())
                continue
            self._failed = 0
            self._starting.remove(actor)
            self._free.append(actor)

    def _give_back(self, actor: _Actor) -> None:
        with self._change:
            self._busy.discard(actor)
            self._free.append(actor)
            self._change.notify_all()

    def _give_up(self, actor: _Actor) -> None:
        actor.end(is_busy=True)
        with self._change:
            self._busy.discard(actor)
            if not self._stopped:
                self._starting.append(self._make())
            self._change.notify_all()


class _Actor:
    """The searching process' end of one actor."""

    def __init__(self, ray: Any, plan: RayExecutor, environment: Sequence[Any]) -> None:
        self._ray = ray
        kind = ray.remote(
            num_cpus=plan.cpus, num_gpus=plan.gpus, max_restarts=0, max_concurrency=2
        )(RayActor)
        paths = [path for path in sys.path if isinstance(path, str)]
        self._handle = kind.remote(*environment, paths, list(sys.argv))
        self._next = self._handle.receive.remote()
        self._where = self._handle.where.remote()
        self._sent: set[str] = set()
        self._sending: Any = None  # the last frame, until it is known to have arrived

    def has_started(self) -> bool:
        """Whether it is there; raises LostWorkerError if it will never be."""
        ready, _ = self._ray.wait([self._next], timeout=0)
        return bool(ready) and self._frame()[0] is Kind.READY

    def send(self, kind: Kind, body: bytes, placed: Mapping[str, Any] | None = None) -> None:
        """Sends one frame, and the arrays that the actor has not got yet."""
        new = {name: ref for name, ref in (placed or {}).items() if name not in self._sent}
        self._sent |= set(new)
        # Not waited for: the actor may be in compiled code before it can say that it got this.
        self._sending = self._handle.send.remote(kind.value.decode(), body, new)

    def receive(self, glance: Callable[[], None]) -> Frame:
        """Waits for the next frame; `glance` is called now and then, and may raise."""
        while True:
            waited = [self._next] if self._sending is None else [self._next, self._sending]
            ready, _ = self._ray.wait(waited, timeout=_GLANCE)
            if not ready:
                glance()
                continue
            if self._sending in ready:
                self._got(self._sending)
                self._sending = None
                continue
            kind, body = self._frame()
            if kind is not Kind.SAY:
                return kind, body
            say(body)

    def _frame(self) -> Frame:
        frame = self._got(self._next)
        if frame is None:
            raise LostWorkerError("The Ray actor that ran the trial has closed its pipe.")
        self._next = self._handle.receive.remote()
        return Kind(frame[0].encode()), frame[1]

    def _got(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            text = str(error).strip()
            lost = LostWorkerError(
                f"The Ray actor that ran the trial was lost: {type(error).__name__}: {text}"
            )
            lost.out_of_memory = isinstance(error, self._ray.exceptions.OutOfMemoryError) or any(
                words in text for words in _WORDS_OF_MEMORY
            )
            raise lost from None

    def end(self, *, is_busy: bool = False) -> None:
        """Ends its process.

        Args:
            is_busy: Whether it may be in compiled code.
        """
        with contextlib.suppress(Exception):  # it, or the cluster, is gone already
            ready, _ = self._ray.wait([self._where], timeout=0)
            where = self._ray.get(self._where) if ready else None
            self._ray.kill(self._handle, no_restart=True)
            if is_busy and where is not None:
                node, number = where
                there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
                options = {"num_cpus": 0, "max_retries": 0}
                options["scheduling_strategy"] = there(node, soft=False)
                self._ray.remote(end_process).options(**options).remote(number)


class _PlacedArrays:
    """Arrays in Ray's object store, each known by its identity and put there once."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._known: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._count = 0
        self._lock = threading.Lock()
        self.references: dict[str, Any] = {}
        """By the names under which calls mention them."""

    def path_of(self, value: object) -> str | None:
        """The name of a large array; None if the value is not one."""
        if not is_shared(value):
            return None
        with self._lock:
            known = self._known.get(id(value))
            if known is not None:
                return known[1]
            name = f"ray:{os.getpid()}:{self._count}"
            self._count += 1
            self.references = {**self.references, name: self._ray.put(value)}
            key, places = id(value), self._known
            self._known[key] = (weakref.ref(value, lambda _: places.pop(key, None)), name)
            return name

    def clear(self) -> None:
        """Lets Ray remove the arrays."""
        self._known.clear()
        self.references = {}


def _import_ray() -> Any:
    # What Ray says of itself at each start, and the usage statistics that it would send.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        importlib.import_module("ray.util.scheduling_strategies")
        return importlib.import_module("ray")
    except ImportError as error:
        raise ArgumentError(
            "executor: needs Ray, which is not installed. Install it: pip install 'afina[ray]'."
        ) from error


def _connect(ray: Any, address: str | None) -> None:
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None and "RAY_ADDRESS" not in os.environ:
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError) as error:
        rule = "must be the address of a running Ray cluster"
        advice = f"Ray says: {str(error).strip().splitlines()[0]}"
        raise ArgumentError(wrong("address", rule, address, advice)) from error
