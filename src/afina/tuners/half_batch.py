"""A trial for which memory ran out, tried once more with half the batch: `halve_batch_on_oom`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from afina.training.data import by_name
from afina.training.plain import ROWS
from afina.trials import classify_failure
from afina.trials.failures import MEMORY_KINDS
from afina.tuners.trial import Trial

HALVED = "batch_size"
"""The note of a trial that was tried again with half the batch."""

_PLACE = 2  # of batch_size among the positional arguments of `fit`


def may_help(
    trial: Trial,
    error: BaseException,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    only_given: bool = False,
) -> bool:
    """Whether a trial that raised this can be tried again with half the batch.

    Args:
        trial: It may have been tried so before.
        error: What it raised.
        args: Positional arguments of `search`.
        kwargs: Keyword arguments of `search`.
        only_given: See `applied`.
    """
    if classify_failure(error) not in MEMORY_KINDS or HALVED in trial.notes:
        return False
    return can_halve(args, kwargs, only_given=only_given)


def can_halve(args: Sequence[Any], kwargs: Mapping[str, Any], *, only_given: bool = False) -> bool:
    """Whether the batch size is `fit`'s to choose: it is given, or the data are arrays."""
    given = by_name(args, kwargs)
    if given.get("batch_size") is not None:
        return bool(given["batch_size"] > 1)
    if only_given:
        return False
    leaves = keras.tree.flatten(given.get("x"))
    return bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)


def note(trial: Trial) -> None:
    """Has the trial trained with half the batch from now on."""
    trial.notes[HALVED] = "half of what was asked for: memory ran out"


def applied(
    trial: Trial, args: tuple[Any, ...], kwargs: dict[str, Any], *, only_given: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `fit`, with half the batch if the trial is noted for it.

    Args:
        trial: Its note gets the numbers.
        args: Positional arguments of `fit`.
        kwargs: Keyword arguments of `fit`.
        only_given: Leaves the arguments as they are where they name no batch size: code of the
            user's takes them, which need not know the name.
    """
    named = by_name(args, kwargs)
    size = named.get("batch_size")
    if HALVED not in trial.notes or not can_halve(args, kwargs, only_given=only_given):
        return args, kwargs
    whole = int(size or ROWS)
    half = max(1, whole // 2)
    trial.notes[HALVED] = f"{half}, half of {whole}: memory ran out"
    if len(args) > _PLACE:
        return (*args[:_PLACE], half, *args[_PLACE + 1 :]), kwargs
    return args, {**kwargs, "batch_size": half}
