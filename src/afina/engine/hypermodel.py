"""Keras Tuner's module path `engine.hypermodel`: what builds the models."""

from afina.tuners.hypermodel import DefaultHyperModel, HyperModel
from afina.tuners.hypermodel import as_hypermodel as get_hypermodel

__all__ = ["DefaultHyperModel", "HyperModel", "get_hypermodel"]
