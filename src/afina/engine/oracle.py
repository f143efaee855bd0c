"""Keras Tuner's module path `engine.oracle`: what chooses the trials."""

from afina.trials import Objective
from afina.tuners.copied_code import KerasTunerDisplay as Display
from afina.tuners.custom_oracles import synchronized
from afina.tuners.oracle import Oracle

__all__ = ["Display", "Objective", "Oracle", "synchronized"]
