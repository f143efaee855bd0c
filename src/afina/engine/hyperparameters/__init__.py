"""Keras Tuner's module path `engine.hyperparameters`: the search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afina.engine.hyperparameters import hp_types
from afina.space import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    serialize,
)
from afina.space import deserialize as deserialize_one


def deserialize(config: Any) -> Any:
    """The inverse of `serialize`, for one hyperparameter or for `HyperParameters`.

    Raises:
        SpaceError: The class name is unknown, or the config is wrong.
    """
    if isinstance(config, HyperParameters):
        return config
    if isinstance(config, Mapping) and config.get("class_name") == HyperParameters.__name__:
        return HyperParameters.from_config(config.get("config", {}))
    return deserialize_one(config)


__all__ = [
    "HyperParameter",
    "HyperParameters",
    "Boolean",
    "Choice",
    "Fixed",
    "Float",
    "Int",
    "hp_types",
    "serialize",
    "deserialize",
]
