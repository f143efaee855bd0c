"""The oracles, one for each kind of search, under Keras Tuner's names old and new."""

from afina.tuners.bayesian_optimization import BayesianOptimizationOracle
from afina.tuners.grid_search import GridSearchOracle
from afina.tuners.hyperband import HyperbandOracle
from afina.tuners.random_search import RandomSearchOracle

BayesianOptimization = BayesianOptimizationOracle
GridSearch = GridSearchOracle
Hyperband = HyperbandOracle
RandomSearch = RandomSearchOracle

__all__ = [
    "BayesianOptimization",
    "BayesianOptimizationOracle",
    "GridSearch",
    "GridSearchOracle",
    "Hyperband",
    "HyperbandOracle",
    "RandomSearch",
    "RandomSearchOracle",
]
