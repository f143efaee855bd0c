"""Keras Tuner's module path `engine.base_tuner`: the loop that every tuner shares."""

from afina.tuners.base_tuner import BaseTuner

__all__ = ["BaseTuner"]
