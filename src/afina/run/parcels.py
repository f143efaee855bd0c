"""What goes from one process to another: frames of bytes, and the objects packed in them."""

from __future__ import annotations

import enum
import functools
import inspect
import io
import pickle
import struct
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import cloudpickle

from afina import errors
from afina.errors import ArgumentError, RemoteError
from afina.run.arrays import mapped
from afina.trials import add_note, failure_of

Frame = tuple["Kind", bytes]
StandIns = Sequence[tuple[object, object]]
"""Pairs: wherever the first is met, by identity, the second travels in its place."""

_HEAD = struct.Struct(">cQ")  # the kind, and how many bytes follow
LARGEST_ERROR = 2**20
"""Bytes; of a larger exception only the text travels."""

TRAIN_HERE = "Make it inside of the build, or pass workers=1, which trains in this process."
"""What to do about something that cannot travel."""

_OURS = [
    (kind, name)
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.AfinaError)
]
_DEEPEST = 50  # steps into a value to find what cannot travel


class Kind(enum.Enum):
    """What a frame says. Each CALL is answered by one RESULT or ERROR; so is each ASK."""

    READY = b"r"
    """To the parent: the process has started."""

    CALL = b"c"
    """To the child: run this function with these arguments."""

    ASK = b"a"
    """To the parent, during a call: serve this name with these arguments."""

    RESULT = b"o"
    """What a CALL or an ASK returned."""

    ERROR = b"e"
    """What a CALL or an ASK raised."""

    SAY = b"s"
    """To the parent: print this text to the stream of this name."""


def write_frame(stream: BinaryIO, kind: Kind, body: bytes) -> None:
    """Sends a frame. Only one thread at a time may do so."""
    stream.write(_HEAD.pack(kind.value, len(body)))
    stream.write(body)
    stream.flush()


def read_frame(stream: BinaryIO) -> Frame | None:
    """Reads the next frame; None when the other side is gone."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, size = _HEAD.unpack(head)
    body = stream.read(size)
    return None if len(body) < size else (Kind(kind), body)


class Places(Protocol):
    """Where large arrays are put, so that a call only names them."""

    def path_of(self, value: object) -> str | None:
        """The name of an array; None for all that travels inside the call."""
        ...


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: BinaryIO, arrays: Places, stand_ins: StandIns) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._arrays = arrays
        self._stand_ins = {id(original): double for original, double in stand_ins}

    def persistent_id(self, obj: Any) -> tuple[str, object] | None:
        if id(obj) in self._stand_ins:
            return "stand-in", self._stand_ins[id(obj)]
        path = self._arrays.path_of(obj)
        return None if path is None else ("array", path)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.arrays: list[Any] = []

    def persistent_load(self, pid: tuple[str, Any]) -> Any:
        kind, what = pid
        if kind != "array":
            return what
        self.arrays.append(mapped(what))
        return self.arrays[-1]


def pack_call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    arrays: Places,
    stand_ins: StandIns = (),
    *,
    advice: str = TRAIN_HERE,
) -> bytes:
    """Packs a function and its arguments; large arrays travel as the names of their files.

    Raises:
        ArgumentError: Something in it cannot travel; the message names it.
    """

    def packed(value: Any) -> bytes:
        file = io.BytesIO()
        _Pickler(file, arrays, stand_ins).dump(value)
        return file.getvalue()

    try:
        return packed((function, args, dict(kwargs)))
    except Exception as error:
        for name, value in {"function": function, "args": args, **kwargs}.items():
            found = _culprit(value, name, packed)
            if found is not None:
                raise ArgumentError(_cannot_travel(*found, advice)) from error
        raise


def unpack_call(body: bytes) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The inverse of `pack_call`."""
    unpickler = _Unpickler(io.BytesIO(body))
    function, args, kwargs = unpickler.load()
    # The next call most likely brings the same arrays: caches that know them by identity hit again.
    _latest[:] = unpickler.arrays
    return function, args, kwargs


_latest: list[Any] = []
"""The arrays of the last call."""


def pack(value: Any) -> bytes:
    """Packs a value, large arrays included."""
    return bytes(cloudpickle.dumps(value))


def unpack(body: bytes) -> Any:
    """The inverse of `pack`."""
    return pickle.loads(body)


def pack_error(error: BaseException) -> bytes:
    """Packs an exception with its traceback as text; only its text if it cannot travel.

    It never raises, whatever the exception is.
    """
    failure = failure_of(error)
    names = [name for each in type(error).__mro__ for kind, name in _OURS if each is kind]
    nearest = names[0] if names else RemoteError.__name__
    return pack((_travelling(error), nearest, failure.headline, failure.message.rstrip()))


def unpack_error(body: bytes) -> BaseException:
    """The exception that `pack_error` packed, the traceback of its own process as a note.

    An exception that cannot travel becomes the nearest of Afina's errors among its base classes, so
    that a `FatalError` still ends the search; else it becomes a `RemoteError`.
    """
    whole, nearest, line, text = unpack(body)
    error = _arrived(whole)
    if error is None:
        ours: BaseException = getattr(errors, nearest)(f"{line}\n\n{text}")
        return ours
    add_note(error, f"\nIn the worker process:\n{text}")
    return error


def _travelling(error: BaseException) -> bytes | None:
    """The exception as bytes; None if they are too many, or cannot be unpacked."""
    try:
        whole = pack(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # whatever its `__reduce__` raises
        return None
    # Many exceptions can be packed and not unpacked.
    return whole if len(whole) <= LARGEST_ERROR and _arrived(whole) is not None else None


def _arrived(whole: bytes | None) -> BaseException | None:
    if whole is None:
        return None
    try:
        error = unpack(whole)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None
    return error if isinstance(error, BaseException) else None


# -- what cannot travel ---------------------------------------------------------------------------


def _cannot_travel(path: str, value: Any, reason: str, advice: str) -> str:
    return (
        f"{path}: must be able to travel to a worker process, but got a "
        f"{type(value).__module__}.{type(value).__qualname__} ({reason}). {advice}"
    )


def _culprit(value: Any, path: str, packed: Callable[[Any], bytes]) -> tuple[str, Any, str] | None:
    """Where the innermost part that cannot be packed lies, the part, and why it cannot."""
    reason = _why_not(value, packed)
    if reason is None:
        return None
    for _ in range(_DEEPEST):
        for step, part in _parts(value):
            inner = _why_not(part, packed)
            if inner is not None:
                value, path, reason = part, path + step, inner
                break
        else:
            break
    return path, value, reason


def _why_not(value: Any, packed: Callable[[Any], bytes]) -> str | None:
    try:
        packed(value)
    except Exception as error:
        return failure_of(error).headline
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value is made of, and how each part is reached from it."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif isinstance(value, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        used = inspect.getclosurevars(value)
        for name, part in {**used.globals, **used.nonlocals}.items():
            yield f" > {name}", part
    for name, part in getattr(value, "__dict__", {}).items():
        yield f".{name}", part
