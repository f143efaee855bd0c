"""Problems with several objectives, written so that every tuner can read them.

Needs nothing but NumPy: the peers' interpreter imports this file too.

    ZDT1 to ZDT3: Zitzler, Deb & Thiele, Evolutionary Computation 8 (2000), with 5 numbers.
    DTLZ2: Deb et al., "Scalable multi-objective optimization test problems", CEC 2002, with 5
        numbers; its optimum is moved from 0.5 to 0.7, or searches that begin in the middle of the
        space would have it for nothing.
    network: error against size of a network that exists only as a formula: a learning rate that
        hangs on the optimizer, a momentum that only one optimizer has, units of a second layer
        that only some networks have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A hyperparameter: a number between two ends, or one of some options."""

    name: str
    low: float = 0.0
    high: float = 1.0
    whole: bool = False
    log: bool = False
    options: tuple[str, ...] = ()
    default: Any = None
    parent: str | None = None
    when: tuple[Any, ...] = ()
    """The parent's values with which this entry is there."""

    def is_active(self, values: Mapping[str, Any]) -> bool:
        return self.parent is None or values.get(self.parent) in self.when


@dataclass(frozen=True, kw_only=True)
class Problem:
    name: str
    entries: tuple[Entry, ...]
    losses: Callable[[Mapping[str, Any]], tuple[float, ...]]
    reference: tuple[float, ...]
    """Where the hypervolume ends; no algorithm sees it."""

    best: float
    """The largest hypervolume there is, or the largest known."""


def numbers(count: int) -> tuple[Entry, ...]:
    return tuple(Entry(name=f"x{i}", default=0.5) for i in range(count))


def row(values: Mapping[str, Any], count: int = 5) -> np.ndarray:
    return np.array([values[f"x{i}"] for i in range(count)])


def zdt(kind: int) -> Callable[[Mapping[str, Any]], tuple[float, ...]]:
    def losses(values: Mapping[str, Any]) -> tuple[float, ...]:
        x = row(values)
        first, g = float(x[0]), 1 + 9 * float(x[1:].mean())
        if kind == 2:
            return first, g * (1 - (first / g) ** 2)
        wave = first / g * math.sin(10 * math.pi * first) if kind == 3 else 0.0
        return first, g * (1 - math.sqrt(first / g) - wave)

    return losses


def dtlz2(count: int) -> Callable[[Mapping[str, Any]], tuple[float, ...]]:
    def losses(values: Mapping[str, Any]) -> tuple[float, ...]:
        x = row(values)
        angles = x[: count - 1] * math.pi / 2
        size = 1 + float(((x[count - 1 :] - 0.7) ** 2).sum())
        found = []
        for place in range(count):
            loss = size * float(np.cos(angles[: count - 1 - place]).prod())
            found.append(loss * math.sin(angles[count - 1 - place]) if place else loss)
        return tuple(found)

    return losses


NETWORK = (
    Entry(name="optimizer", options=("adam", "sgd", "rmsprop"), default="adam"),
    Entry(name="rate", low=1e-5, high=1.0, log=True, default=1e-2),
    Entry(name="momentum", low=0.0, high=0.99, default=0.0, parent="optimizer", when=("sgd",)),
    Entry(name="layers", low=1, high=3, whole=True, default=1),
    Entry(name="units", low=8, high=512, whole=True, log=True, default=64),
    Entry(
        name="more", low=8, high=512, whole=True, log=True, default=64, parent="layers", when=(2, 3)
    ),
    Entry(name="dropout", low=0.0, high=0.6, default=0.0),
)


def network(values: Mapping[str, Any]) -> tuple[float, ...]:
    momentum = values.get("momentum", 0.0)
    weights = values["units"] * (1 + values.get("more", 0) / 40)
    weights *= 1.2 if values["layers"] == 3 else 1.0
    optimizer = values["optimizer"]
    rate = {"adam": -3.0, "sgd": -1.5 - momentum, "rmsprop": -3.3}[optimizer]
    error = 0.05 + 0.6 / weights**0.4 + 0.05 * (math.log10(values["rate"]) - rate) ** 2
    error += {"adam": 0.02, "sgd": 0.0 if momentum > 0.8 else 0.05, "rmsprop": 0.03}[optimizer]
    error += 0.1 * abs(math.log(weights) / 40 - values["dropout"])
    size = math.log(20 * weights + 1000 * values["layers"])
    return 1 / (1 + math.exp(-6 * (error - 0.5))), size


def area_of_zdt(kind: int, reference: tuple[float, float]) -> float:
    """What lies between the front and the reference; the front falls, where it counts."""
    first = np.linspace(0, 1, 100_001)
    second = {
        1: 1 - np.sqrt(first),
        2: 1 - first**2,
        3: 1 - np.sqrt(first) - first * np.sin(10 * math.pi * first),
    }[kind]
    lowest = np.minimum.accumulate(second)
    widths = np.append(np.diff(first), reference[0] - 1)
    return float(widths @ (reference[1] - lowest))


PROBLEMS = (
    *(
        Problem(
            name=f"zdt{kind}",
            entries=numbers(5),
            losses=zdt(kind),
            reference=(1.1, 6.0),
            best=area_of_zdt(kind, (1.1, 6.0)),
        )
        for kind in (1, 2, 3)
    ),
    Problem(
        name="dtlz2, 2 objectives",
        entries=numbers(5),
        losses=dtlz2(2),
        reference=(1.5, 1.5),
        best=1.5**2 - math.pi / 4,
    ),
    Problem(
        name="dtlz2, 3 objectives",
        entries=numbers(5),
        losses=dtlz2(3),
        reference=(1.5, 1.5, 1.5),
        best=1.5**3 - math.pi / 6,
    ),
    Problem(
        name="network",
        entries=NETWORK,
        losses=network,
        reference=(0.7, 12.0),
        best=3.0035,  # by a grid over layers and units, all else at its best
    ),
)
