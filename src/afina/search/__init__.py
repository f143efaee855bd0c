"""How to choose what to try next: pure algorithms, one file each."""

from afina.search.base import Algorithm, Done, Judge, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization
from afina.search.grid import Grid
from afina.search.hyperband import Hyperband
from afina.search.random import Random

__all__ = [
    "Algorithm",
    "BayesianOptimization",
    "Done",
    "Grid",
    "Hyperband",
    "Judge",
    "Random",
    "Situation",
    "Suggestion",
    "Wait",
]
