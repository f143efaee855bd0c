"""The six searches: five of `benchmarks/speed/jobs.py`, and a regression.

    F, R          dense networks on pictures and on bags of words (the two case studies)
    CNN, GRU      two convolutions on pictures; an embedding and a GRU on texts
    TABULAR       dense layers, batch normalization and dropout on a table
    REGRESSION    dense layers on a table with a number to predict

Nothing here names a package: `hp` is Keras Tuner's, Afina's or the adapter of Optuna's trials.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

SPEED = Path(__file__).resolve().parents[1] / "speed"


def _speed(name: str) -> Any:
    """A script of the benchmark of speed; this folder has scripts of the same names."""
    spec = importlib.util.spec_from_file_location(f"speed_{name}", SPEED / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def build_regression(hp: Any) -> keras.Model:
    """A number from 20 columns."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((20,))])
    activation = hp.Choice("activation", ["relu", "tanh", "gelu"])
    units = hp.Int("units", 16, 256, step=16)
    for _ in range(hp.Int("layers", 1, 4)):
        model.add(layers.Dense(units, activation=activation))
    model.add(layers.Dense(1))
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="mse", metrics=["mae"])
    return model


@dataclass(frozen=True)
class Job:
    """One search."""

    title: str
    build: Callable[[Any], keras.Model]
    max_epochs: int
    batch: int
    objective: str = "val_accuracy"
    direction: str = "max"
    split: bool = True
    """Whether the last fifth of the rows validates; else there are rows for that."""


_OTHERS = _speed("jobs").JOBS


def _job(name: str, max_epochs: int, batch: int, *, split: bool = True) -> Job:
    return Job(_OTHERS[name].title, _OTHERS[name].build, max_epochs, batch, split=split)


JOBS = {
    "F": _job("F", 10, 128),
    "R": _job("R", 10, 128, split=False),
    "CNN": _job("CNN", 9, 64),
    "GRU": _job("GRU", 9, 64, split=False),
    "TABULAR": _job("TABULAR", 9, 64),
    "REGRESSION": Job(
        "A table with a number to predict", build_regression, 27, 64, "val_mae", "min"
    ),
}


def arrays(job: str, thin: int) -> dict[str, np.ndarray]:
    """The data of a job; needs Afina, for the data of the case studies.

    Args:
        job: Its name.
        thin: Keep one row in so many.
    """
    if job != "REGRESSION":
        return dict(_speed("prepare").MAKERS[job](thin)[1])
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20_000 // thin, 20)).astype(np.float32)
    y = np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * np.abs(x[:, 3]) + 0.3 * x[:, 4]
    return {"x": x, "y": (y + 0.1 * rng.normal(size=len(x))).astype(np.float32)}


def fit_arguments(job: str, data: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What `fit` and `search` get beside `x` and `y`."""
    found: dict[str, Any] = {"batch_size": JOBS[job].batch, "verbose": 0}
    if JOBS[job].split:
        return {**found, "validation_split": 0.2}
    return {**found, "validation_data": (data["x_val"], data["y_val"])}
