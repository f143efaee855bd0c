"""Fused epochs on JAX: Keras' own train step, a whole epoch in one compiled program."""

from afina.training.fused.engine import CannotFuseError, Engine, Seconds
from afina.training.fused.initializers import quick_initializers

__all__ = ["CannotFuseError", "Engine", "Seconds", "quick_initializers"]
