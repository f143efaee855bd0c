"""How to choose the next trial: pure search algorithms, one file each.

    situation ---------> ask -----> Suggestion | Wait | Done
    (number, space,       ^
     running trials)      |
                        state <---- tell <---- finished trial
                          |
                          +------> stop_early: a running trial goes on or stops

An algorithm is a frozen dataclass of settings. Its state is a separate value that no step changes:
`tell` returns the next one. Random draws follow from the seed and the trial's number, so nothing is
ever saved but the trials: telling them again rebuilds the state. `base.py` states these promises
and `afina.testing.check_algorithm` tests them.

Every algorithm works without arguments, with seed 0; wrappers need the algorithm that they wrap.

| algorithm | file | learns from results |
|---|---|---|
| `Auto` | `auto.py` | chooses and switches among the others |
| `Random`, `QuasiRandom`, `Grid` | `random.py`, `sobol.py`, `grid.py` | no |
| `BayesianOptimization` | `bayesian.py` | Gaussian process, for up to about 300 trials |
| `TPE` | `tpe.py` | densities, for any space and any number of trials |
| `CMAES` | `cma.py` | evolution strategy, for long searches of numbers |
| `ParetoSearch` | `multi_objective.py` | one Gaussian process for each objective |
| `Hyperband`, `AsynchronousHalving` | `hyperband.py`, `asha.py` | stops bad trainings at rungs |
| `ModelBasedHalving` | `model_halving.py` | pauses trainings; a model chooses what goes on |
| `PopulationBasedTraining` | `population.py` | changes values during training |

Shared parts: `wrappers.py` (an algorithm around another), `in_order.py` (the same trials with any
number of workers), `untried.py` (never propose a
configuration twice), `observation.py` (what is kept of a trial), `fidelity/` (short trainings:
rungs and brackets). The models themselves are in `afina.surrogates`.
"""

from afina.search.asha import AsynchronousHalving
from afina.search.auto import Auto
from afina.search.base import Algorithm, Done, Planned, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization
from afina.search.cma import CMAES
from afina.search.grid import Grid
from afina.search.hyperband import Hyperband
from afina.search.in_order import InOrder
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
    "InOrder",
    "Informed",
    "ModelBasedHalving",
    "Planned",
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
