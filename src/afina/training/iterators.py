"""Data that can be read only once, given to a search that reads them in every trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from afina.errors import DataError
from afina.training.data import by_name

STEPS = {"x": "steps_per_epoch", "validation_data": "validation_steps"}
"""The arguments of `fit` that let it read a part of an endless generator, by what they are for."""


def check_reusable(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuses generators and other iterators that the first epoch of the first trial would use up.

    Whoever names the steps of an epoch may give an endless one.

    Args:
        args: Positional arguments of `search`, as for `fit`.
        kwargs: Its keyword arguments.

    Raises:
        DataError: The data are such an iterator.
    """
    given = by_name(args, kwargs)
    for name, steps in STEPS.items():
        if given.get(steps) is None and _is_used_up(given.get(name)):
            raise DataError(
                f"{name}: must be readable again in every trial, but got "
                f"{type(given[name]).__name__!r}, which the first epoch uses up. Give a "
                "keras.utils.PyDataset or arrays, or a function that makes it anew: "
                f'HyperModel.fit_arguments(hp) that returns {{"{name}": make_data()}}; or build it '
                f"in HyperModel.fit. For an endless one give {steps}=."
            )


def _is_used_up(data: Any) -> bool:
    if isinstance(data, keras.utils.PyDataset) or hasattr(data, "__getitem__"):
        return False  # old generators of images have both: they begin again
    return isinstance(data, Iterator)
