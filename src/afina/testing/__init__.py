"""Contract checks and cheap objectives, for our tests and for other people's plug-ins."""

import importlib
from typing import TYPE_CHECKING, Any

from afina.testing.algorithms import check_algorithm
from afina.testing.stores import STORE_CHECKS, check_store
from afina.testing.toys import run

if TYPE_CHECKING:
    from afina.testing.trainers import TRAINER_CHECKS, check_trainer

__all__ = [
    "STORE_CHECKS",
    "TRAINER_CHECKS",
    "check_algorithm",
    "check_store",
    "check_trainer",
    "run",
]


def __getattr__(name: str) -> Any:
    """The checks of trainers, loaded when they are asked for: they alone need Keras."""
    if name in ("TRAINER_CHECKS", "check_trainer"):
        return getattr(importlib.import_module("afina.testing.trainers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
