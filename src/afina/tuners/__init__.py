"""The face: tuners and oracles as Keras Tuner's users know them. Translation only."""

from afina.tuners.auto_tuner import AutoTuner
from afina.tuners.base_tuner import BaseTuner
from afina.tuners.baseline import random_baseline
from afina.tuners.bayesian_optimization import BayesianOptimization
from afina.tuners.grid_search import GridSearch
from afina.tuners.hyperband import Hyperband
from afina.tuners.random_search import RandomSearch
from afina.tuners.sklearn_tuner import SklearnTuner
from afina.tuners.tuner import Tuner

Sklearn = SklearnTuner

__all__ = [
    "AutoTuner",
    "BaseTuner",
    "BayesianOptimization",
    "GridSearch",
    "Hyperband",
    "RandomSearch",
    "Sklearn",
    "SklearnTuner",
    "Tuner",
    "random_baseline",
]
