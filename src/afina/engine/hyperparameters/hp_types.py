"""Keras Tuner's module path `engine.hyperparameters.hp_types`: the kinds of hyperparameters."""

from afina.space import Boolean, Choice, Fixed, Float, Int

__all__ = ["Boolean", "Choice", "Fixed", "Float", "Int"]
