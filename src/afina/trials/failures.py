"""Why a trial failed: the kind of failure, and a short text that people can use.

    any exception, or anything else ──> failure_of ──> Failure(kind, message)
                                            │
                        classify_failure ───┴─── failure_message

Describing a failure never fails. An exception may raise in its own `__str__`, be its own cause,
carry 50 MB of text, or contain only unprintable characters. It still becomes a `Failure`, and every
store, file and terminal accepts its message of at most `LONGEST` characters.
"""

from __future__ import annotations

import enum
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import FrameType
from typing import TypeVar

from afina.errors import (
    AfinaError,
    CheckpointError,
    DivergedError,
    FailedTrialError,
    FatalError,
    LostWorkerError,
    OversizedModelError,
    StoreError,
    TrialPausedError,
    TrialTimeoutError,
)
from afina.trials.out_of_memory import ADVICE, place_out_of_memory

T = TypeVar("T")


class FailureKind(enum.Enum):
    """Why a trial failed. The values are what a store keeps."""

    ERROR = "error"
    """The user's code raised."""

    NOT_A_NUMBER = "not-a-number"
    """The loss or the objective became NaN or infinite."""

    OUT_OF_MEMORY = "out-of-memory"
    """The machine ran out of memory."""

    DEVICE_OUT_OF_MEMORY = "device-out-of-memory"
    """The GPU or TPU ran out of memory."""

    TIMEOUT = "timeout"
    """It ran for longer than `trial_timeout` allows, and was ended."""

    OVERSIZED = "oversized"
    """The model has more parameters than `max_model_size`."""

    REFUSED = "refused"
    """The user's code raised `FailedTrialError`: it rejects this configuration."""

    LOST_WORKER = "lost-worker"
    """The process that trained it died."""

    PAUSED = "paused"
    """Somebody has paused it. No failure, but the way in which the training ends; it is not kept
    with the trial."""


REFUSALS = frozenset({FailureKind.OVERSIZED, FailureKind.REFUSED, FailureKind.TIMEOUT})
"""Expected failures: the user's settings or code reject such configurations."""

KINDS: tuple[tuple[type[AfinaError], FailureKind], ...] = (
    (DivergedError, FailureKind.NOT_A_NUMBER),
    (OversizedModelError, FailureKind.OVERSIZED),
    (FailedTrialError, FailureKind.REFUSED),
    (LostWorkerError, FailureKind.LOST_WORKER),
    (TrialTimeoutError, FailureKind.TIMEOUT),
    (TrialPausedError, FailureKind.PAUSED),
)
"""The kinds of Afina's own errors. `AfinaError.retried` says whether the trial is retried."""

MEMORY_KINDS = frozenset({FailureKind.OUT_OF_MEMORY, FailureKind.DEVICE_OUT_OF_MEMORY})
"""Kinds that a smaller batch may cure."""

FRAMEWORKS = frozenset(
    {
        "afina",
        "keras",
        "tf_keras",
        "jax",
        "jaxlib",
        "tensorflow",
        "torch",
        "numpy",
        "optree",
        "h5py",
    }
)
"""Top-level packages whose frames do not help users to find a mistake in their own code."""

JAX_NOTE = "JAX has removed its internal frames"
"""Part of a note that JAX adds to every exception; it says nothing about the error."""

LONGEST = 4000
"""Most characters of a message; XLA may print whole programs."""

CAUSED = "which was the direct cause of:"
"""The line between the description of a cause and that of its effect."""

_MOST_CAUSES = 5  # described errors of one chain: the last four, and the first
_MOST_MEMBERS = 5  # described errors of one group
_MOST_NOTES = 10
_MOST_FRAMES = 1000  # at either end of a traceback
_FARTHEST = 10_000  # errors examined in one chain, or in one group
_MARKER = 60  # characters for the text that says how many were left out

_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a trial has no score."""

    kind: FailureKind

    message: str
    """The traceback, or a sentence. It has at most `LONGEST` characters; control characters and
    lone surrogates are escaped."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _readable(_text_of(self.message), LONGEST))

    @property
    def is_refusal(self) -> bool:
        """Whether it was expected: the configuration was rejected, and nothing is broken."""
        return self.kind in REFUSALS

    @property
    def headline(self) -> str:
        """The most informative line: in a traceback, the first line of the error itself.

        Example:
            >>> text = "Traceback ...\\n  File 'a.py', line 1\\nValueError: no\\nfor many reasons"
            >>> Failure(FailureKind.ERROR, text).headline
            'ValueError: no'
        """
        lines = [line.rstrip() for line in self.message.splitlines() if line.strip()]
        begins = [at for at, x in enumerate(lines) if x.startswith("Traceback") or x == CAUSED]
        for line in lines[begins[-1] + 1 :] if begins else ():
            if not line.startswith((" ", "... (")):  # neither a frame nor what was left out
                return line
        return lines[-1 if begins else 0].strip() if lines else self.kind.value


def failure_of(reason: object) -> Failure:
    """Turns an exception, or any other reason, into a failure. It never raises.

    Args:
        reason: An exception becomes its kind and a short traceback, see `failure_message`.
            Anything else becomes its text, with the kind `FailureKind.ERROR`.

    Example:
        >>> found = failure_of(MemoryError("no room"))
        >>> found.kind, found.headline
        (<FailureKind.OUT_OF_MEMORY: 'out-of-memory'>, 'MemoryError: no room')
        >>> failure_of("I stopped it").message
        'I stopped it'
    """
    if not isinstance(reason, BaseException):
        return Failure(FailureKind.ERROR, _text_of(reason) or attempt(lambda: repr(reason), ""))
    kind, message = classify_failure(reason), failure_message(reason)
    if kind in MEMORY_KINDS:
        advice = ADVICE["host" if kind is FailureKind.OUT_OF_MEMORY else "device"]
        message = f"{_clipped(message, LONGEST - len(advice) - 2).rstrip()}\n\n{advice}\n"
    return Failure(kind, message)


def is_retried(error: BaseException) -> bool:
    """Whether a trial that raised this error is run again, as long as it has retries left.

    Example:
        >>> from afina.errors import FailedTrialError
        >>> is_retried(ValueError("flaky")), is_retried(FailedTrialError("hopeless"))
        (True, False)
    """
    kind = type(error)
    return not issubclass(kind, AfinaError) or kind.retried


def ends_the_search(error: BaseException) -> bool:
    """Whether what a trial raised is more than this trial's trouble."""
    kind = type(error)  # `isinstance` would ask the error for its `__class__`, which may raise
    return issubclass(kind, FatalError | StoreError) and not issubclass(kind, CheckpointError)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its class if the text is empty. It never raises.

    Example:
        >>> first_line(ValueError("shapes differ:\\n(2,)\\n(3,)"))
        'shapes differ:'
    """
    text = _readable(_text_of(error), LONGEST).strip() or _name_of(error)
    return text.splitlines()[0]


def add_note(error: BaseException, text: str) -> None:
    """Adds a note to an exception, even if its `__notes__` is not a list.

    Args:
        error: Any exception.
        text: Shown below the error's own text.
    """
    try:
        error.add_note(text)
    except KeyboardInterrupt:
        raise
    except BaseException:  # `__notes__` is not a list, or is a property
        attempt(lambda: setattr(error, "__notes__", [text]), None)


# -- the kind -------------------------------------------------------------------------------------


def classify_failure(error: BaseException) -> FailureKind:
    """The kind of failure that an exception means. It never raises.

    The exception's causes (`raise ... from ...`) and the members of groups are examined too: the
    first one with a specific kind decides.

    Example:
        >>> classify_failure(MemoryError())
        <FailureKind.OUT_OF_MEMORY: 'out-of-memory'>
    """
    for cause in _chain(error):
        for each in (cause, *_members(cause)):
            kind = attempt(lambda one=each: _kind_of(one), None)  # type: ignore[misc]
            if kind is not None:
                return kind
    return FailureKind.ERROR


def _kind_of(error: BaseException) -> FailureKind | None:
    # By type: `isinstance` would call the error's own `__class__`, which may raise.
    for errors, kind in KINDS:
        if issubclass(type(error), errors):
            return kind
    place = place_out_of_memory(error, _text_of(error))
    if place is None:
        return None
    return FailureKind.OUT_OF_MEMORY if place == "host" else FailureKind.DEVICE_OUT_OF_MEMORY


# -- the message ----------------------------------------------------------------------------------


def failure_message(error: BaseException) -> str:
    """The traceback of the user's own frames, and the error itself. It never raises.

    Frames of Afina and of the frameworks are left out. If there are no others, the last frame is
    shown. Causes (`raise ... from ...`) come first, as Python prints them: the first and the last
    ones of a long chain. The first members of a group follow it.

    Args:
        error: Any exception.

    Returns:
        A text of at most `LONGEST` characters.
    """
    return attempt(lambda: _message(error), f"{_name_of(error)}: <it cannot be described>\n")


def _message(error: BaseException) -> str:
    chain = list(_chain(error))
    shown = chain if len(chain) <= _MOST_CAUSES else [*chain[: _MOST_CAUSES - 1], chain[-1]]
    between = f"\n{CAUSED}\n\n"
    elided = f"\n... ({len(chain) - len(shown)} causes left out) ...\n" if shown != chain else ""
    limit = (LONGEST - len(between) * len(shown) - len(elided)) // len(shown)
    blocks = [_block(each, limit) for each in reversed(shown)]
    if elided:
        blocks[0] += elided
    return _readable(between.join(blocks), LONGEST)


def _block(error: BaseException, limit: int) -> str:
    """One error; for a group, its first members too."""
    members = _members(error)
    if not members:
        return _single(error, limit)
    shown = members[:_MOST_MEMBERS]
    share = limit // (len(shown) + 1)
    parts = [_single(error, share)]
    # Indented, so that the headline stays the group's own line.
    parts += [textwrap.indent(_single(member, share), "  | ") for member in shown]
    if len(members) > len(shown):
        parts.append(f"  | ... and {len(members) - len(shown)} more\n")
    return _clipped("".join(parts), limit)


def _single(error: BaseException, limit: int) -> str:
    """The user's frames, the error's own line and its notes."""
    frames = attempt(lambda: _frames(error), "")
    notes = _notes(error)
    room = limit * 2 // 3 if frames else limit
    line = _clipped(_line(error), room // 2 if notes else room)
    text = _clipped("\n".join([line, *notes]), room - 1) + "\n"
    return _clipped_lines(frames, limit - len(text)) + text


def _line(error: BaseException) -> str:
    """The error's name and text; Python's own text if that says more, as for a SyntaxError."""
    kind = type(error)
    if issubclass(kind, SyntaxError | NameError | AttributeError | ImportError):
        line = attempt(lambda: _pythons_words(error), "")
        if line:
            return line
    text = _text_of(error)
    return f"{_name_of(error)}: {text}" if text else _name_of(error)


def _pythons_words(error: BaseException) -> str:
    described = traceback.TracebackException(type(error), error, None, compact=True)
    described.__notes__ = []
    return "".join(described.format_exception_only()).rstrip("\n")


def _notes(error: BaseException) -> list[str]:
    notes = attempt(lambda: getattr(error, "__notes__", None), None)
    if notes is None:
        return []
    if not isinstance(notes, list | tuple):
        notes = [notes]
    texts = [_clipped(_text_of(note), LONGEST // 4) for note in islice(notes, _MOST_NOTES)]
    if len(notes) > _MOST_NOTES:
        texts.append(f"... ({len(notes) - _MOST_NOTES} notes left out) ...")
    return [text for text in texts if JAX_NOTE not in text]


def _frames(error: BaseException) -> str:
    walked = list(traceback.walk_tb(error.__traceback__))
    shown = [
        (frame, line)
        for index, (frame, line) in enumerate(walked)
        if _is_users(frame) or index == len(walked) - 1
    ]
    if not shown:
        return ""
    if len(shown) > 2 * _MOST_FRAMES:
        shown = shown[:_MOST_FRAMES] + shown[-_MOST_FRAMES:]
    summary = traceback.StackSummary.extract(iter(shown))
    return "".join(["Traceback (frames of libraries left out):\n", *summary.format()])


def _is_users(frame: FrameType) -> bool:
    top = _text_of(frame.f_globals.get("__name__", "")).partition(".")[0]
    return top == "__main__" or (top not in FRAMEWORKS and top not in sys.stdlib_module_names)


# -- anything may be broken -----------------------------------------------------------------------


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause and so on, each once."""
    seen: set[int] = set()
    each: BaseException | None = error
    while isinstance(each, BaseException) and id(each) not in seen and len(seen) < _FARTHEST:
        yield each
        seen.add(id(each))
        each = attempt(lambda one=each: one.__cause__, None)  # type: ignore[misc]


def _members(error: BaseException) -> list[BaseException]:
    """The errors in a group and in the groups within it; empty for a plain error."""
    found: list[BaseException] = []
    waiting, seen = [error], {id(error)}
    while waiting and len(seen) < _FARTHEST:
        each = waiting.pop()
        if not issubclass(type(each), BaseExceptionGroup):
            if each is not error:
                found.append(each)
            continue
        inner = attempt(lambda one=each: list(one.exceptions), [])  # type: ignore
        for member in reversed(inner):
            if id(member) not in seen:
                seen.add(id(member))
                waiting.append(member)
    return found


def attempt(read: Callable[[], T], otherwise: T) -> T:
    """What `read` returns; `otherwise` where an object's own code raises anything but Ctrl-C."""
    try:
        return read()
    except KeyboardInterrupt:  # the user's Ctrl-C
        raise
    except BaseException:  # a method of the user's own exception class may raise anything
        return otherwise


def _name_of(value: object) -> str:
    kind = type(value)
    name = attempt(lambda: f"{kind.__qualname__}", "an error without a name")
    module = attempt(lambda: f"{kind.__module__}", "builtins")
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def _text_of(value: object) -> str:
    """The text of anything, as a plain `str`."""
    try:
        return str.__str__(str(value))  # a subclass of str may have broken methods
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"<no text: its __str__ raised {_name_of(error)}>"


def _readable(text: str, limit: int) -> str:
    """A text of at most `limit` characters that every file, database and terminal accepts."""
    text = _COLOURS.sub("", _clipped(text, limit)).replace("\r\n", "\n")
    return _clipped(_UNREADABLE.sub(lambda found: repr(found[0])[1:-1], text), limit)


def _clipped(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = (limit - _MARKER) // 2
    if half <= 0:
        return text[: max(limit, 0)]
    left = len(text) - 2 * half
    return f"{text[:half]}\n... ({left} characters left out) ...\n{text[-half:]}"


def _clipped_lines(text: str, limit: int) -> str:
    """The first and the last lines of a text, whole ones only."""
    if len(text) <= limit:
        return text
    half = max((limit - _MARKER) // 2, 0)
    head, tail = text[:half].rpartition("\n")[0], text[len(text) - half :].partition("\n")[2]
    left = len(text) - len(head) - len(tail)
    return f"{head}\n... ({left} characters left out) ...\n{tail}"
