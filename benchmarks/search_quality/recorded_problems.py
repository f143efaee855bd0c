"""Problems looked up in trainings that others have recorded; see the README of the data."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from problem import CurveProblem, Problem, Reference, Values, reference_of, unguided

from afina.space import Choice, Float

CHECKOUT = Path(__file__).resolve().parents[2]
HELD_OUT = {"hpobench_mlp_phoneme", "hpobench_mlp_vehicle", "fcnet_slice_localization"}
TASKSET_TUNING = {
    "taskset_patch128_LSTM128_avg_bs64",
    "taskset_patch128_LSTM128_embed128_bs64",
    "taskset_patch32_GRU64_avg_bs128",
}
LINEAR = {"beta1", "beta2"}


def folder() -> Path | None:
    """Where the recorded trainings lie: $AFINA_DATA/hpo, or beside the checkout; None if not."""
    named = os.environ.get("AFINA_DATA")
    places = [Path(named)] if named else []
    places.append(CHECKOUT.parent / "shared" / "data")
    return next((place / "hpo" for place in places if (place / "hpo").is_dir()), None)


def names() -> list[str]:
    """The collections that are there."""
    found = folder()
    return [] if found is None else sorted(file.stem for file in found.glob("*.npz"))


@functools.cache
def load(name: str) -> Problem:
    """The problem of a collection."""
    place = folder()
    assert place is not None, "the recorded trainings are not there: set AFINA_DATA"
    with np.load(place / f"{name}.npz") as file:
        data = {key: file[key] for key in file.files}
    return _curves(name, data) if name.startswith("taskset") else _grid(name, data)


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid(Problem):
    """The whole grid of some configurations, each trained with several seeds.

    Where there are several tables, the run's seed picks one; each has its own optimum.
    """

    axes: dict[str, dict[Any, int]]
    """Axis to value to index, in the order of the table's axes."""

    table: np.ndarray
    """Losses, one axis per hyperparameter and the tables last."""

    def loss(self, values: Values, seed: int = 0, number: int = 0) -> float:
        """The recorded loss."""
        del number
        place = tuple(index[values[axis]] for axis, index in self.axes.items())
        return float(self.table[(*place, seed % self.table.shape[-1])])

    def reference(self, seed: int = 0) -> Reference:
        """From the whole table of this seed."""
        return _grid_reference(self, seed % self.table.shape[-1])


@functools.cache
def _grid_reference(problem: Grid, seed: int) -> Reference:
    return reference_of(problem.table[..., seed].ravel())


def _grid(name: str, data: dict[str, np.ndarray]) -> Grid:
    space = json.loads(str(data["space"]))
    table = data["values"]
    if json.loads(str(data["meta"]))["direction"] == "max":
        # Single trainings reach an accuracy of 1 all over some of these grids: the mean of the
        # five is what has an order.
        table = 1.0 - table.mean(axis=-1, keepdims=True)
    return Grid(
        name=name,
        group="mixed",
        tuning=name not in HELD_OUT,
        space=unguided(Choice(axis, values) for axis, values in space.items()),
        axes={a: {value: i for i, value in enumerate(vs)} for a, vs in space.items()},
        table=table,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled(CurveProblem):
    """A random sample of a continuous space: a configuration takes its neighbour's curve."""

    points: np.ndarray
    """(configurations, axes) in the unit cube."""

    table: np.ndarray
    """(configurations, epochs) validation losses, NaN where the training had failed."""

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The nearest recorded curve; all seeds are alike."""
        del seed
        point = [entry.value_to_prob(values[entry.name]) for entry in self.space]
        nearest = np.square(self.points - point).sum(axis=1).argmin()
        return self.table[nearest]

    def reference(self, seed: int = 0) -> Reference:
        """The recorded configurations are themselves a random sample."""
        del seed
        return _sampled_reference(self)


@functools.cache
def _sampled_reference(problem: Sampled) -> Reference:
    losses = problem.table.min(axis=1)  # NaN where any epoch is
    return reference_of(losses, optimum=float(np.nanmin(problem.table)))


def _curves(name: str, data: dict[str, np.ndarray]) -> Sampled:
    entries = tuple(
        Float(
            str(axis),
            float(column.min()),
            float(column.max()),
            sampling="linear" if axis in LINEAR else "log",
        )
        for axis, column in zip(data["names"], data["hp"].T, strict=True)
    )
    points = [
        [entry.value_to_prob(value) for entry, value in zip(entries, row, strict=True)]
        for row in data["hp"].tolist()
    ]
    table = data["valid"].astype(float)
    failed = np.logical_or.accumulate(~np.isfinite(table), axis=1)
    return Sampled(
        name=name,
        tuning=name in TASKSET_TUNING,
        space=unguided(entries),
        epochs=table.shape[1],
        points=np.array(points),
        table=np.where(failed, np.nan, table),
    )
