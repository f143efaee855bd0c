"""Afina finds good hyperparameters for neural networks.

`import afina as kt` reads like Keras Tuner. Names are loaded when they are first used, so that
importing the package costs next to nothing. What it does is to choose Keras' backend, where nobody
else has: import it before Keras.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from afina import backend

if TYPE_CHECKING:
    from afina import applications, engine, errors, oracles, search, spaces, tuners
    from afina.space import HyperParameter, HyperParameters
    from afina.study import Study
    from afina.training.lr_range import lr_range_test
    from afina.trials import Decision, Objective
    from afina.tuners import (
        AutoTuner,
        BayesianOptimization,
        GridSearch,
        Hyperband,
        RandomSearch,
        SklearnTuner,
        Tuner,
    )
    from afina.tuners.custom_oracles import synchronized
    from afina.tuners.hypermodel import HyperModel
    from afina.tuners.oracle import Oracle

__version__ = "0.1.0"

_HOME = {
    "AutoTuner": "afina.tuners.auto_tuner",
    "BayesianOptimization": "afina.tuners.bayesian_optimization",
    "Decision": "afina.trials",
    "GridSearch": "afina.tuners.grid_search",
    "HyperModel": "afina.tuners.hypermodel",
    "HyperParameter": "afina.space",
    "HyperParameters": "afina.space",
    "Hyperband": "afina.tuners.hyperband",
    "Objective": "afina.trials",
    "Oracle": "afina.tuners.oracle",
    "RandomSearch": "afina.tuners.random_search",
    "SklearnTuner": "afina.tuners.sklearn_tuner",
    "Study": "afina.study",
    "Tuner": "afina.tuners.tuner",
    "lr_range_test": "afina.training.lr_range",
    "synchronized": "afina.tuners.custom_oracles",
}
_ELSEWHERE = {"utils": "afina.tuners.copied_files"}  # Keras Tuner's name of a module
_MODULES = ("applications", "engine", "errors", "oracles", "search", "spaces", "src", "tuners")

__all__ = [
    "AutoTuner",
    "BayesianOptimization",
    "Decision",
    "GridSearch",
    "HyperModel",
    "HyperParameter",
    "HyperParameters",
    "Hyperband",
    "Objective",
    "Oracle",
    "RandomSearch",
    "SklearnTuner",
    "Study",
    "Tuner",
    "__version__",
    "applications",
    "engine",
    "errors",
    "lr_range_test",
    "oracles",
    "search",
    "spaces",
    "synchronized",
    "tuners",
]


_told = backend.choose_backend()
if _told is not None and not backend.is_command(sys.orig_argv):
    print(_told, file=sys.stderr)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return _load(f"afina.{name}")
    if name in _ELSEWHERE:
        return _load(_ELSEWHERE[name])
    if name in _HOME:
        value = getattr(_load(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'afina' has no attribute {name!r}.{_meant(name)}")


def _meant(name: str) -> str:
    """The public name that was probably meant, as a question; empty for private names."""
    if name.startswith("_"):
        return ""
    from afina.space.slips import question

    return question(name, __all__)


def _load(module: str) -> Any:
    """A module of the package; where Keras finds no backend, the error says what to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in backend.BACKENDS or any(map(backend.is_installed, backend.BACKENDS)):
            raise
        raise ModuleNotFoundError(backend.NONE, name=error.name) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
