"""Keras Tuner's module path `engine.tuner`: what trains Keras models."""

from afina.training import parameter_count as maybe_compute_model_size
from afina.tuners.copied_code import maybe_distribute
from afina.tuners.tuner import Tuner

__all__ = ["Tuner", "maybe_compute_model_size", "maybe_distribute"]
