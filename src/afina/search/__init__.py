"""How to choose what to try next: pure algorithms, one file each."""

from afina.search.asha import AsynchronousHalving
from afina.search.auto import Auto
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization
from afina.search.cma import CMAES
from afina.search.grid import Grid
from afina.search.hyperband import Hyperband
from afina.search.model_halving import ModelBasedHalving
from afina.search.multi_objective import ParetoSearch
from afina.search.population import PopulationBasedTraining
from afina.search.random import Random
from afina.search.sobol import QuasiRandom
from afina.search.tpe import TPE
from afina.search.wrappers import Informed, StartFrom, Wrapper

__all__ = [
    "CMAES",
    "TPE",
    "Algorithm",
    "AsynchronousHalving",
    "Auto",
    "BayesianOptimization",
    "Done",
    "Grid",
    "Hyperband",
    "Informed",
    "ModelBasedHalving",
    "ParetoSearch",
    "PopulationBasedTraining",
    "QuasiRandom",
    "Random",
    "Situation",
    "StartFrom",
    "Suggestion",
    "Wait",
    "Wrapper",
]
