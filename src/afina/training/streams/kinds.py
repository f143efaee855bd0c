"""Kinds of streams, and what their makers say of them."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import keras

GENERATOR = "generator"
PY_DATASET = "PyDataset"
TF_DATA = "tf.data"
DATA_LOADER = "DataLoader"


def kind_of(data: Any) -> str | None:
    """The kind of a stream; None for what is not one."""
    if isinstance(data, keras.utils.PyDataset):
        return PY_DATASET
    if isinstance(data, types.GeneratorType):
        return GENERATOR
    for base in type(data).__mro__:
        home = base.__module__
        if base.__name__ == "DatasetV2" and home.startswith("tensorflow.python."):
            return TF_DATA
        if base.__name__ == "DataLoader" and home.startswith("torch.utils.data"):
            return DATA_LOADER
    return None


def is_stream(data: Any) -> bool:
    """Whether data come batch by batch.

    Example:
        >>> is_stream(batch for batch in [])
        True
        >>> is_stream([1, 2])
        False
    """
    return kind_of(data) is not None


def why_not_finite(data: Any) -> str | None:
    """Why a stream may have no end; None if it has one."""
    kind = kind_of(data)
    if kind == GENERATOR:
        return "a generator can be read only once"
    if kind == PY_DATASET and data.num_batches is None:
        return "it has no end"
    if kind == TF_DATA and int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        return "it has no end"
    return None


def why_it_changes(data: Any) -> str | None:
    """Why the passes over a stream may differ by code of the user's at the end of an epoch."""
    if kind_of(data) != PY_DATASET:
        return None
    for name in ("on_epoch_begin", "on_epoch_end"):
        if getattr(type(data), name) is not getattr(keras.utils.PyDataset, name):
            return f"{type(data).__name__} overrides {name}"
    return None


def shuffles_all(data: Any) -> bool:
    """Whether a stream puts its samples into an order that is drawn from all orders.

    A `tf.data` pipeline does if a shuffle's buffer covers what is shuffled, a `DataLoader` if its
    sampler is PyTorch's `RandomSampler` that takes each sample once.
    """
    kind = kind_of(data)
    if kind == DATA_LOADER:
        sampler = getattr(data, "sampler", None)
        once = not getattr(sampler, "replacement", True)
        return type(sampler).__name__ == "RandomSampler" and once
    return kind == TF_DATA and any(map(_shuffles_all, _pipeline(data)))


def _pipeline(dataset: Any) -> list[Any]:
    """A dataset of `tf.data` and those that it is made of; only itself if TensorFlow hides them."""
    found, waiting = [], [dataset]
    while waiting:
        each = waiting.pop()
        found.append(each)
        try:
            waiting += each._inputs()
        except (AttributeError, TypeError):
            continue
    return found


def _shuffles_all(dataset: Any) -> bool:
    if "Shuffle" not in type(dataset).__name__:
        return False
    try:
        count = int(dataset.cardinality())
        return count >= 0 and int(dataset._buffer_size) >= count
    except (AttributeError, TypeError):
        return False


def planned_steps(given: Mapping[str, Any]) -> int | None:
    """How many steps a training takes if nothing ends it early; None if that is unknown.

    Args:
        given: All arguments of `fit` by name.
    """
    steps: int | None = given["steps_per_epoch"] or _steps_of(given)
    epochs: int = given["epochs"] - given["initial_epoch"]
    return None if steps is None else steps * max(0, epochs)


def _steps_of(given: Mapping[str, Any]) -> int | None:
    """The batches of an epoch; None if that is unknown."""
    x = given["x"]
    kind = kind_of(x)
    if kind == PY_DATASET:
        return x.num_batches  # type: ignore[no-any-return]
    if kind == TF_DATA:
        count = int(x.cardinality())
        return count if count >= 0 else None
    if kind == DATA_LOADER:
        return len(x) if hasattr(x.dataset, "__len__") else None
    leaves = [] if kind is not None or x is None else keras.tree.flatten(x)
    if not leaves or not hasattr(leaves[0], "__len__"):
        return None
    rows = int(len(leaves[0]) * (1 - (given["validation_split"] or 0)))
    return -(-rows // (given["batch_size"] or 32))
