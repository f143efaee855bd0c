"""Keras Tuner's module path `engine.hyperparameters`: the search space."""

from afina.space import (
    HyperParameter,
    HyperParameters,
    Boolean,
    Choice,
    Fixed,
    Float,
    Int,
    serialize,
    deserialize,
)

__all__ = ["HyperParameter", "HyperParameters", "Boolean", "Choice", "Fixed", "Float", "Int", "serialize", "deserialize"]
