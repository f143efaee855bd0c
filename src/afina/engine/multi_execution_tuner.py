"""Keras Tuner's module path `engine.multi_execution_tuner`: the old name of `Tuner`."""

from afina.tuners.tuner import Tuner

MultiExecutionTuner = Tuner

__all__ = ["MultiExecutionTuner"]
