"""Keras Tuner's module path `engine.hyperparameters`: the search space."""

from afina.space import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    deserialize,
    serialize,
)

__all__ = [
    "HyperParameter",
    "HyperParameters",
    "Boolean",
    "Choice",
    "Fixed",
    "Float",
    "Int",
    "serialize",
    "deserialize",
]
