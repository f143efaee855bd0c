"""Keras Tuner's module path `engine.conditions`: when a hyperparameter is active."""

from afina.space import Parent

__all__ = ["Parent"]
