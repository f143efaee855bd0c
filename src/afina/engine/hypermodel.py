"""Keras Tuner's module path `engine.hypermodel`: what builds the models."""

from afina.tuners.hypermodel import HyperModel

__all__ = ["HyperModel"]
