"""Keras Tuner's module path `engine.objective`: what is minimized or maximized."""

from afina.trials import DefaultObjective, MultiObjective, Objective, create_objective

__all__ = ["DefaultObjective", "MultiObjective", "Objective", "create_objective"]
