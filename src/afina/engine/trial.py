"""Keras Tuner's module path `engine.trial`: one run of one configuration."""

from afina.tuners.trial import Trial, TrialStatus

__all__ = ["Trial", "TrialStatus"]
