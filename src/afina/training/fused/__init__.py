"""Fused epochs on JAX: Keras' own train step, a whole epoch in one compiled program."""

from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.initializers import quick_initializers
from afina.training.fused.trainer import FusedTrainer

__all__ = ["CannotFuseError", "Engine", "FusedTrainer", "quick_initializers"]
