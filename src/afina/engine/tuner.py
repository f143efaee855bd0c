"""Keras Tuner's module path `engine.tuner`: what trains Keras models."""

from afina.tuners.tuner import Tuner, maybe_distribute

__all__ = ["Tuner", "maybe_distribute"]
