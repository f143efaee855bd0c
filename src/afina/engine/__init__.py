"""The module paths under which Keras Tuner's users import the parts of a tuner."""

from afina.engine import (
    base_tuner,
    conditions,
    hypermodel,
    hyperparameters,
    metrics_tracking,
    multi_execution_tuner,
    objective,
    oracle,
    trial,
    tuner,
    tuner_utils,
)

__all__ = [
    "base_tuner",
    "conditions",
    "hypermodel",
    "hyperparameters",
    "metrics_tracking",
    "multi_execution_tuner",
    "objective",
    "oracle",
    "trial",
    "tuner",
    "tuner_utils",
]
