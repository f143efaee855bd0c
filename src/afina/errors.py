"""Every error that Afina raises on purpose.

    AfinaError
    ├── SpaceError (ValueError)             a search space, or a value given for it, is wrong
    │   └── SpaceTypeError (TypeError)      ... because it is of the wrong kind
    ├── ObjectiveError (ValueError)         an objective is wrong, or no metric bears its name
    │   └── ObjectiveTypeError (TypeError)  ... because it is of the wrong kind
    ├── ArgumentError (ValueError)          an argument of a tuner, study or algorithm is wrong
    │   └── NoTrialError (IndexError)       no trial has completed, so that there is no best one
    ├── DataError (ValueError)              the data given to a search cannot be used
    ├── StoreError (RuntimeError)           trials cannot be kept or read
    │   ├── CheckpointError                 the model of one trial cannot be saved or loaded
    │   ├── ProjectMismatchError            the project was made by another search
    │   ├── ProjectVersionError             the project was written in another format
    │   ├── LostLeaseError                  another worker has taken the trial over
    │   └── ProjectLockedError              another process keeps this project for itself
    ├── SearchFailedError (RuntimeError)    too many trials failed in a row
    ├── LostWorkerError (RuntimeError)      the process that ran a trial died
    ├── TrialTimeoutError (TimeoutError) *  a trial ran for longer than it may
    ├── TrialPausedError (RuntimeError)     somebody has paused the trial
    ├── RemoteError (RuntimeError)          what a worker process raised cannot travel; its text can
    ├── FailedTrialError          *         raise it in a trial: the trial failed
    │   ├── ConstraintError       *         the configuration breaks a constraint of the space
    │   ├── OversizedModelError   *         the model has more parameters than allowed
    │   ├── TrialPruned           *         ends a trial of a Study early: its best epoch counts
    │   └── DivergedError                   the loss or the objective is no number any more
    └── FatalError                *         raise it in a trial: the whole search must stop
        ├── FatalValueError (ValueError)
        │   └── NoBuildError (NotImplementedError)  a HyperModel does not define `build`
        ├── FatalTypeError (TypeError)
        │   └── NoObjectiveError            no objective was named, and a trial returned no number
        ├── SuggestionError (ArgumentError) a trial's `suggest_...` makes no sense
        └── FatalRuntimeError (RuntimeError)

A trial that raises an error with a star (`retried` is False) is not run again. One that raises any
other error, of Afina or not, is run again as long as it has retries left.
A failed trial is no exception of the search: it is a result with a reason.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import ClassVar


class AfinaError(Exception):
    """Catch this to catch everything that Afina raises on purpose."""

    retried: ClassVar[bool] = True
    """Whether a trial that raises it is run again, as long as it has retries left."""


class SpaceError(AfinaError, ValueError):
    """A search space, or a value given for it, is wrong."""


class SpaceTypeError(SpaceError, TypeError):
    """A search space, or a value given for it, is of the wrong kind."""


class ObjectiveError(AfinaError, ValueError):
    """An objective is wrong, or no logged metric bears its name."""


class ObjectiveTypeError(ObjectiveError, TypeError):
    """An objective is of the wrong kind: neither a metric's name nor an `Objective`."""


class ArgumentError(AfinaError, ValueError):
    """An argument of a tuner, a study or an algorithm is wrong."""


class NoTrialError(ArgumentError, IndexError):
    """No trial has completed, or not so many: there is no such best one."""


class DataError(AfinaError, ValueError):
    """The data given to a search cannot be used."""


class StoreError(AfinaError, RuntimeError):
    """Trials cannot be kept or read; finished trials are untouched."""


class CheckpointError(StoreError):
    """The model of one trial cannot be saved or loaded. The search, and the trial's score, do not
    depend on it."""


class ProjectMismatchError(StoreError):
    """The project on disk was made by another algorithm, objective or space."""


class ProjectVersionError(StoreError):
    """The project on disk was written in a format that this version does not read."""


class LostLeaseError(StoreError):
    """Another worker has taken the trial over: the lease of this one had ended."""


class ProjectLockedError(StoreError):
    """Another process keeps this project for itself."""


class SearchFailedError(AfinaError, RuntimeError):
    """Too many trials failed in a row; their reasons are in the message."""


class LostWorkerError(AfinaError, RuntimeError):
    """The process that ran a trial died: killed, out of memory, or crashed in compiled code."""

    out_of_memory = False
    """Whether the system says that it killed a process because memory ran out."""


class TrialPausedError(AfinaError, RuntimeError):
    """Somebody has paused the trial, and its training is saved. It waits to be resumed."""


class TrialTimeoutError(AfinaError, TimeoutError):
    """A trial ran for longer than `trial_timeout` allows. It does not count among the failures in a
    row that end a search."""

    retried = False


class RemoteError(AfinaError, RuntimeError):
    """A worker process raised something that cannot travel, or could not be started."""


class FailedTrialError(AfinaError):
    """Raise it inside a trial to skip its configuration: the trial failed, and a retry would not
    help. It does not count among the failures in a row that end a search."""

    retried = False


class ConstraintError(FailedTrialError):
    """The values of a trial break a rule of `hp.constraint`."""


class TrialPruned(FailedTrialError):  # noqa: N818 - Optuna's name
    """Raise it in the function of `Study.optimize` after `should_prune`: the best reported epoch is
    the score of the trial, as if the function had returned None."""


class OversizedModelError(FailedTrialError):
    """The model has more trainable parameters than `max_model_size` allows."""


class DivergedError(FailedTrialError):
    """The loss or the objective became NaN or infinite: training on would be for nothing. Many in
    a row do end a search, for then the data or the model is wrong."""

    retried = True  # other random draws may do better


class FatalError(AfinaError):
    """Raise it inside a trial to stop the whole search."""

    retried = False


class FatalValueError(FatalError, ValueError):
    """A `FatalError` that is also a ValueError."""


class SuggestionError(FatalError, ArgumentError):
    """What a trial's `suggest_...` was given makes no sense: that is a mistake of the script."""


class NoBuildError(FatalValueError, NotImplementedError):
    """A `HyperModel` does not define `build`."""


class FatalTypeError(FatalError, TypeError):
    """A `FatalError` that is also a TypeError."""


class NoObjectiveError(FatalTypeError, FatalValueError):
    """No objective was named, and a trial returned something else than one number."""


class FatalRuntimeError(FatalError, RuntimeError):
    """A `FatalError` that is also a RuntimeError."""


def check_whole(
    what: str, value: object, *, least: int = 1, rule: str = "", advice: str = ""
) -> int:
    """The value as an int, where it is a whole number, of Python or NumPy.

    Args:
        what: Its name, for the message.
        value: Anything.
        least: The smallest that is allowed.
        rule: What the message says in place of "must be a whole number from ... up".
        advice: What it says to do.

    Raises:
        ArgumentError: It is no whole number, or below `least`; True and False are none.

    Example:
        >>> check_whole("workers", 2)
        2
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        rule = rule or f"must be a whole number from {least} up"
        raise ArgumentError(wrong(what, rule, value, advice))
    return int(value)


def check_count(what: str, value: object, *, least: int = 1) -> int | None:
    """`check_whole` for an argument that may also be None.

    Raises:
        ArgumentError: It is neither None nor a whole number from `least` up.

    Example:
        >>> check_count("max_trials", None) is None
        True
    """
    if value is None:
        return None
    return check_whole(
        what, value, least=least, rule=f"must be a whole number from {least} up, or None"
    )


def check_number(
    what: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    advice: str = "",
) -> float:
    """The value as a float, where it is a finite number, of Python or NumPy.

    Args:
        what: Its name, for the message.
        value: Anything.
        least: The smallest that is allowed.
        above: It must be larger than this.
        advice: What the message says to do.

    Raises:
        ArgumentError: It is no finite number, or out of range; True and False are no numbers.

    Example:
        >>> check_number("alpha", 1e-4, above=0)
        0.0001
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < least or value <= above:  # type: ignore
        bounds = [f"from {least:g} up"] * math.isfinite(least)
        bounds += [f"above {above:g}"] * math.isfinite(above)
        raise ArgumentError(
            wrong(what, " ".join(["must be a finite number", *bounds]), value, advice)
        )
    return float(value)  # type: ignore[arg-type]


def check_flag(what: str, value: object) -> bool:
    """The value as a bool, where it is True or False, of Python or NumPy, or 0 or 1.

    A text such as "no" would count as True.

    Args:
        what: Its name, for the message.
        value: Anything.

    Raises:
        ArgumentError: It is something else.

    Example:
        >>> check_flag("overwrite", 0)
        False
    """
    kind = type(value).__name__
    if kind in ("bool", "bool_") or (isinstance(value, Integral) and value in (0, 1)):
        return bool(value)
    raise ArgumentError(wrong(what, "must be True or False", value))


def wrong(what: str, rule: str, got: object, advice: str = "") -> str:
    """The one shape of Afina's messages: what, the rule, what came instead, what to do.

    Example:
        >>> wrong("units", "min_value must be below max_value", (64, 32), "Swap them.")
        'units: min_value must be below max_value, but got (64, 32). Swap them.'
    """
    return f"{what}: {rule}, but got {got!r}. {advice}".rstrip()
