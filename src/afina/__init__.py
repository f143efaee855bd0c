"""Afina finds good hyperparameters for neural networks."""
