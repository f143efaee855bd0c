"""Keras Tuner's module path `engine.tuner_utils`: the callback behind a tuner's hooks."""

from afina.tuners.hooks import TunerCallback

__all__ = ["TunerCallback"]
