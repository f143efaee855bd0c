"""How to choose what to try next: pure algorithms, one file each."""

from afina.search.base import Algorithm, Done, Judge, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization
from afina.search.grid import Grid
from afina.search.hyperband import Hyperband
from afina.search.random import Random
from afina.search.sobol import QuasiRandom
from afina.search.start import StartFrom
from afina.search.tpe import TPE

__all__ = [
    "Algorithm",
    "BayesianOptimization",
    "Done",
    "Grid",
    "Hyperband",
    "Judge",
    "QuasiRandom",
    "Random",
    "Situation",
    "StartFrom",
    "Suggestion",
    "TPE",
    "Wait",
]
