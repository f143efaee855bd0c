"""Checks of the data before the first trial, so that not every trial fails for the same reason."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from afina.errors import ArgumentError, DataError, check_whole, wrong

COUNTS = ("epochs", "batch_size", "validation_batch_size", "validation_freq")
"""Arguments of `fit` that are whole numbers from 1 up."""

LARGEST_SCAN = 50_000_000
"""Numbers in the largest array that is searched for NaN, which takes about 0.05 s."""


STEPS = {"x": "steps_per_epoch", "validation_data": "validation_steps"}
"""The arguments of `fit` that limit how much it reads, by the data that they limit."""


def check_data(
    args: Sequence[Any], kwargs: Mapping[str, Any], objectives: Sequence[str] = ()
) -> None:
    """Checks plain arrays that were given to `search` for `model.fit`.

    It refuses only what is certainly wrong, and leaves generators, datasets and other data to
    Keras. It is not for hypermodels with a `fit` of their own, which may take any arguments.

    Args:
        args: Positional arguments of `search`.
        kwargs: Keyword arguments of `search`.
        objectives: Names of the metrics that the search optimizes.

    Raises:
        DataError: Arrays are empty or of different lengths, or an objective needs validation
            data and there are none.
        ArgumentError: A number of epochs or samples is not a whole number from 1 up, or one of the
            callbacks is not a Keras callback.
    """
    given = by_name(args, kwargs)
    _check_counts(given)
    _check_callbacks(given.get("callbacks"))
    train = {name: given.get(name) for name in ("x", "y", "sample_weight")}
    samples = _check_arrays("training data", train)
    validation = given.get("validation_data")
    if isinstance(validation, list | tuple) and 2 <= len(validation) <= 3:
        names = ("x of validation_data", "y of validation_data", "weights of validation_data")
        _check_arrays("validation_data", dict(zip(names, validation, strict=False)))
    if samples is None:
        return
    split = given.get("validation_split") or 0.0
    if validation is None and split:
        _check_split(split, samples)
    if validation is None and not split and not _may_log_more(given.get("callbacks")):
        _check_validated(objectives)


def by_name(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments under the names that `keras.Model.fit` gives them."""
    names = list(inspect.signature(keras.Model.fit).parameters)[1:]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _check_counts(given: Mapping[str, Any]) -> None:
    for name in COUNTS:
        value = given.get(name)
        if value is None or (name == "validation_freq" and isinstance(value, list | tuple)):
            continue
        check_whole(name, value)


def _check_callbacks(callbacks: Any) -> None:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return
    for leaf in keras.tree.flatten(callbacks or []):
        if isinstance(leaf, type) or not hasattr(leaf, "set_model"):
            advice = ""
            if isinstance(leaf, type):
                advice = f"Give an instance: {leaf.__name__}(...)."
            raise ArgumentError(wrong("callbacks", "must be Keras callbacks", leaf, advice))


def _check_arrays(what: str, parts: Mapping[str, Any]) -> int | None:
    """The common number of samples; None if something is not a plain array."""
    lengths: dict[str, int] = {}
    for name, part in parts.items():
        if part is None:
            continue
        arrays = _arrays(part)
        if arrays is None:
            return None
        for key, array in arrays.items():
            lengths[f"{name}{key}"] = int(array.shape[0])
            _warn_of_nan(f"{name}{key}", array)
    if not lengths:
        return None
    if 0 in lengths.values():
        raise DataError(wrong(what, "must hold at least one sample", lengths, "Check its loading."))
    if len(set(lengths.values())) > 1:
        advice = "The first axis of each array counts the samples."
        raise DataError(wrong(what, "must have as many samples in each array", lengths, advice))
    return next(iter(lengths.values()))


def _arrays(part: Any) -> dict[str, Any] | None:
    """The arrays of a structure such as a model's inputs, by place; None if a leaf is no array."""
    if isinstance(part, Mapping):
        leaves = {f"[{key!r}]": value for key, value in part.items()}
    elif isinstance(part, list | tuple):
        leaves = {f"[{index}]": value for index, value in enumerate(part)}
    else:
        leaves = {"": part}
    plain = all(_is_array(value) for value in leaves.values())
    return leaves if plain and leaves else None


def are_arrays(part: Any) -> bool:
    """Whether it is an array, or a structure of arrays such as a model's inputs."""
    return part is not None and _arrays(part) is not None


def _is_array(value: Any) -> bool:
    """Whether it is an array of NumPy, JAX, TensorFlow or torch with a length, or of pandas."""
    shape = getattr(value, "shape", None)
    try:
        return shape is not None and len(shape) > 0 and isinstance(shape[0], int)
    except (TypeError, ValueError):  # TensorFlow: a tensor of unknown rank
        return False


def _warn_of_nan(name: str, array: Any) -> None:
    """Warns of an array that holds NaN, which makes every loss NaN."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.size > LARGEST_SCAN:
        return
    if array.size and math.isnan(array.min()):  # min returns NaN if there is one, without a copy
        warnings.warn(f"{name} holds NaN: losses will be NaN, and trials fail.", stacklevel=4)


def _check_split(split: Any, samples: int) -> None:
    if not isinstance(split, float | int) or not 0 < split < 1:
        raise DataError(wrong("validation_split", "must be above 0 and below 1", split, "Try 0.2."))
    if not 0 < math.floor(samples * (1.0 - split)) < samples:
        raise DataError(
            wrong(
                "validation_split",
                f"must leave samples on both sides of {samples}",
                split,
                "Give more data, or validation_data=.",
            )
        )


def _may_log_more(callbacks: Any) -> bool:
    """Whether some callbacks are not Keras' own, so that they may log "val_..." themselves."""
    leaves = keras.tree.flatten(callbacks or [])
    return any(not type(leaf).__module__.startswith("keras.") for leaf in leaves)


def _check_validated(objectives: Sequence[str]) -> None:
    for name in objectives:
        if name.startswith("val_"):
            raise DataError(
                wrong(
                    f"objective {name!r}",
                    "needs validation data",
                    "none",
                    "Give validation_data= or validation_split= to search(), "
                    f"or take {name.removeprefix('val_')!r}.",
                )
            )


# -- data that can be read only once --------------------------------------------------------------


def check_reusable(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuses generators and other iterators that the first epoch of the first trial would use up.

    An endless generator is allowed if the steps of an epoch are given.

    Args:
        args: Positional arguments of `search`, as for `fit`.
        kwargs: Keyword arguments of `search`, as for `fit`.

    Raises:
        DataError: The data are such an iterator.
    """
    given = by_name(args, kwargs)
    for name, steps in STEPS.items():
        if given.get(steps) is None and _is_used_up(given.get(name)):
            raise DataError(
                f"{name}: must be readable again in every trial, but got "
                f"{type(given[name]).__name__!r}, which the first epoch uses up. Give a "
                "keras.utils.PyDataset or arrays, or a function that makes new data: "
                f'HyperModel.fit_arguments(hp) that returns {{"{name}": make_data()}}; or build it '
                f"in HyperModel.fit. For an endless one give {steps}=."
            )


def _is_used_up(data: Any) -> bool:
    if isinstance(data, keras.utils.PyDataset) or hasattr(data, "__getitem__"):
        return False  # Keras' old generators of images have both, and begin again
    return isinstance(data, Iterator)
