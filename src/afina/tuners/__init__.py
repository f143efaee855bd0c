"""The face: tuners and oracles as Keras Tuner's users know them. Translation only.

One trial, from `search` to the store:

    Tuner.search ──▶ Oracle.create_trial ──▶ SearchState.next ──▶ algorithm, store
         │                                   (populated: the way to the algorithm)
         ▼
    executor (afina.run) runs it: one by one, in groups, in threads, in processes (remote)
         │
         ▼
    Tuner.run_trial ── reads trial.segment: from which epoch to which
         │ _try_build ── builds; checkpoints.continue_parent loads a promoted trial's weights
         │ _fit ──────── afina.training trains, and reports each epoch
         │ results ───── reads what came back
         ▼
    Oracle.end_trial ──▶ face_trials.end ──▶ SearchState.complete or fail ──▶ store, algorithm

`BaseTuner` is the loop around any oracle; `Tuner` trains Keras models; the other tuners add an
oracle with an algorithm. `face_trials` translates between stored trials and the `Trial` of users,
`reserved_keys` between `Schedule` and the names `tuner/...`; `winner` trains and judges the final
model. `trial_files` says where a trial's files are, which may be at a URL (`bucket`).
`custom_oracles` and `copied_code` hold what only code written for Keras Tuner calls.
"""

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
