"""Contract checks and cheap objectives, for our tests and for other people's plug-ins.

Whoever writes a search algorithm, a store or an executor of their own can test what it promises:

    check_algorithm(make)   a seed to an algorithm     promises: afina.search.base.Algorithm
    check_store(make)       a new, empty store         promises: afina.store.TrialStore
    check_executor(make)    a new executor             promises: afina.run.Executor

Each runs a list of small checks and fails with a sentence that says which promise is broken. `run`
searches with an algorithm on a cheap function: no training, no store, the same on every machine;
`afina.testing.toys` holds such functions and their spaces.
"""

import importlib
from typing import TYPE_CHECKING, Any

from afina.testing.algorithms import check_algorithm
from afina.testing.executors import EXECUTOR_CHECKS, check_executor
from afina.testing.shared_stores import SHARED_STORE_CHECKS, check_shared_store
from afina.testing.stores import STORE_CHECKS, check_store
from afina.testing.toys import run

if TYPE_CHECKING:
    from afina.testing.trainers import TRAINER_CHECKS, check_trainer

__all__ = [
    "EXECUTOR_CHECKS",
    "SHARED_STORE_CHECKS",
    "STORE_CHECKS",
    "TRAINER_CHECKS",
    "check_algorithm",
    "check_executor",
    "check_shared_store",
    "check_store",
    "check_trainer",
    "run",
]


def __getattr__(name: str) -> Any:
    """The checks of trainers, loaded when they are asked for: they alone need Keras."""
    if name in ("TRAINER_CHECKS", "check_trainer"):
        return getattr(importlib.import_module("afina.testing.trainers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
