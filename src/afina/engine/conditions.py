"""Keras Tuner's module path `engine.conditions`: when a hyperparameter is active."""

from afina.space import Parent

Condition = Parent  # there is no other kind

__all__ = ["Condition", "Parent"]
