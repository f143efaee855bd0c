"""Keras Tuner's module path `engine.oracle`: what chooses the trials."""

from afina.trials import Objective
from afina.tuners.oracle import Oracle, synchronized

__all__ = ["Objective", "Oracle", "synchronized"]
