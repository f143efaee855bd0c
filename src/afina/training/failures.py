"""Why a training failed: its kind, and a message that people can use."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from afina.errors import DivergedError, FailedTrialError, LostWorkerError, OversizedModelError
from afina.trials import FailureKind

OUT_OF_MEMORY_CLASSES = frozenset({"OutOfMemoryError", "ResourceExhaustedError"})
"""Classes of torch and TensorFlow; told by name, as neither need be installed."""

OUT_OF_MEMORY_WORDS = (
    "RESOURCE_EXHAUSTED",
    "out of memory",
    "can't allocate memory",
    "not enough memory",
)
"""How XLA, CUDA and torch's allocators begin to tell it in a RuntimeError."""

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
"""Top-level packages whose frames are no help in finding a mistake in one's own code."""

JAX_NOTE = "JAX has removed its internal frames"
"""Part of what JAX adds to whatever is raised within it; says nothing about the error."""

LONGEST = 4000
"""Characters of a message; XLA likes to print whole programs."""


def classify_failure(error: BaseException) -> FailureKind:
    """The kind of failure that an exception of a training stands for.

    An exception raised `from` another one counts as that other one, if that tells more.

    Example:
        >>> classify_failure(MemoryError())
        <FailureKind.OUT_OF_MEMORY: 'out-of-memory'>
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DivergedError):
            return FailureKind.NOT_A_NUMBER
        if isinstance(cause, OversizedModelError):
            return FailureKind.OVERSIZED
        if isinstance(cause, FailedTrialError):
            return FailureKind.REFUSED
        if isinstance(cause, LostWorkerError):
            return FailureKind.LOST_WORKER
        if _is_out_of_memory(cause):
            return FailureKind.OUT_OF_MEMORY
        cause = cause.__cause__
    return FailureKind.ERROR


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if OUT_OF_MEMORY_CLASSES & {kind.__name__ for kind in type(error).__mro__}:
        return True
    # Only errors of the runtimes: a ValueError may speak of memory for any reason.
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in OUT_OF_MEMORY_WORDS
    )


def failure_message(error: BaseException) -> str:
    """The traceback of the user's own frames, the place that raised, and the error itself.

    Afina's frames and those of the frameworks are left out; where no other is there, the last
    frame stands alone. Causes (`raise ... from ...`) come first, as Python prints them.
    """
    parts = []
    if error.__cause__ is not None:
        parts = [failure_message(error.__cause__), "\nwhich was the direct cause of:\n\n"]
    text = "".join([*parts, *_frames(error.__traceback__), *_last_lines(error)])
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n... ({len(text) - LONGEST} characters left out) ...\n{text[-half:]}"


def _last_lines(error: BaseException) -> list[str]:
    told = traceback.TracebackException(type(error), error, None)
    notes = getattr(told, "__notes__", None) or ()
    told.__notes__ = [note for note in notes if JAX_NOTE not in str(note)]
    return list(told.format_exception_only())


def _frames(trace: TracebackType | None) -> list[str]:
    """The lines of the frames that are worth showing."""
    walked = list(traceback.walk_tb(trace))
    shown = [
        (frame, line)
        for index, (frame, line) in enumerate(walked)
        if _is_users(str(frame.f_globals.get("__name__", ""))) or index == len(walked) - 1
    ]
    if not shown:
        return []
    summary = traceback.StackSummary.extract(iter(shown))
    return ["Traceback (frames of libraries left out):\n", *summary.format()]


def _is_users(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "__main__" or (top not in FRAMEWORKS and top not in sys.stdlib_module_names)
