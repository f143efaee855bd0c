"""Problems given by formulas: numbers, categories, conditions. Their optima are known.

Each has its optimum away from the middle and from the bounds, where searches look first.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from problem import Problem, Reference, Values, key_of, reference_of, unguided

from afina.space import Boolean, Choice, Float, HyperParameter, Int, Parent, Space

DRAWS = 4000
"""Random configurations by which random search is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Formula(Problem):
    """A loss that is a function of the configuration, with noise or without."""

    function: Callable[[Values], float]

    optimum: float

    noise: float = 0.0
    """Standard deviation of what is added to each observation."""

    def loss(self, values: Values, seed: int = 0, number: int = 0) -> float:
        """The function, and noise that hangs on the seed, the trial's number and the values."""
        exact = self.function(values)
        if not self.noise:
            return exact
        rng = np.random.default_rng([seed, number, key_of(values)])
        return exact + self.noise * float(rng.normal())

    def truth(self, values: Values, seed: int = 0) -> float:
        """The function."""
        del seed
        return self.function(values)

    def reference(self, seed: int = 0) -> Reference:
        """The known optimum, and a sample of the space."""
        del seed
        return _reference(self)


@functools.cache
def _reference(problem: Formula) -> Reference:
    rng = np.random.default_rng(0)
    losses = [problem.function(problem.space.sample(rng)) for _ in range(DRAWS)]
    return reference_of(losses, optimum=problem.optimum)


# -- numbers -------------------------------------------------------------------------------------


def reals(low: float, high: float, count: int) -> Space:
    """`count` real numbers, x0, x1 ..."""
    return unguided(Float(f"x{i}", low, high) for i in range(count))


def vector(values: Values) -> np.ndarray:
    return np.array([values[f"x{i}"] for i in range(len(values))])


def branin(values: Values) -> float:
    """Three equal minima."""
    x, y = values["x0"], values["x1"]
    hill = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(hill**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


HARTMANN = {
    3: (
        np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
        1e-4
        * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
    ),
    6: (
        np.array(
            [
                [10, 3, 17, 3.5, 1.7, 8],
                [0.05, 10, 17, 0.1, 8, 14],
                [3, 3.5, 1.7, 10, 17, 8],
                [17, 8, 0.05, 10, 0.1, 14],
            ]
        ),
        1e-4
        * np.array(
            [
                [1312, 1696, 5569, 124, 8283, 5886],
                [2329, 4135, 8307, 3736, 1004, 9991],
                [2348, 1451, 3522, 2883, 3047, 6650],
                [4047, 8828, 8732, 5743, 1091, 381],
            ]
        ),
    ),
}


def hartmann(values: Values) -> float:
    """Four bumps in three or six dimensions."""
    steep, centre = HARTMANN[len(values)]
    bumps = np.exp(-(steep * np.square(vector(values) - centre)).sum(axis=1))
    return float(-np.array([1.0, 1.2, 3.0, 3.2]) @ bumps)


def rosenbrock(values: Values) -> float:
    """A bent valley; its logarithm, as its values span many orders of magnitude."""
    x = vector(values)
    valley = 100 * np.square(x[1:] - np.square(x[:-1])) + np.square(1 - x[:-1])
    return math.log1p(float(valley.sum()))


def ackley(values: Values) -> float:
    """Many small hills on one large bowl, off the middle."""
    x = vector(values) - np.linspace(-7.0, 9.0, len(values))
    bowl = -20 * math.exp(-0.2 * math.sqrt(float(np.square(x).mean())))
    return bowl - math.exp(float(np.cos(2 * math.pi * x).mean())) + 20 + math.e


def levy(values: Values) -> float:
    """Ridges; the minimum is at one everywhere."""
    w = 1 + (vector(values) - 1) / 4
    inner = np.square(w[:-1] - 1) * (1 + 10 * np.square(np.sin(math.pi * w[:-1] + 1)))
    ends = math.sin(math.pi * w[0]) ** 2
    ends += (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return float(ends + inner.sum())


def sphere(values: Values) -> float:
    """A bowl with axes of unequal weight, off the middle."""
    x = vector(values) - np.linspace(-0.6, 0.7, len(values))
    return float((np.square(x) * np.geomspace(1.0, 0.1, len(x))).sum())


# -- categories ----------------------------------------------------------------------------------


def factors(counts: Sequence[int]) -> Space:
    """Unordered choices among texts."""
    return unguided(Choice(f"f{i}", [f"v{j}" for j in range(n)]) for i, n in enumerate(counts))


@functools.cache
def effects(counts: tuple[int, ...], seed: int) -> np.ndarray:
    """The loss of every combination: an effect of each value, weaker ones of each pair."""
    rng = np.random.default_rng(seed)
    total = np.zeros(counts)
    for axis, count in enumerate(counts):
        shape = [count if i == axis else 1 for i in range(len(counts))]
        total = total + rng.normal(size=count).reshape(shape) * rng.uniform(0.2, 1.0)
    for pair in itertools.combinations(range(len(counts)), 2):
        shape = [count if i in pair else 1 for i, count in enumerate(counts)]
        drawn = rng.normal(size=[counts[i] for i in pair])
        total = total + 0.3 * drawn.reshape(shape) * rng.uniform(0.0, 1.0)
    return total


def table_problem(name: str, counts: tuple[int, ...], seed: int, tuning: bool) -> Formula:
    """Unordered factors with effects and interactions, drawn once."""
    table = effects(counts, seed)

    def loss(values: Values) -> float:
        return float(table[tuple(int(values[f"f{i}"][1:]) for i in range(len(counts)))])

    return Formula(
        name=name,
        group="categorical",
        tuning=tuning,
        space=factors(counts),
        function=loss,
        optimum=float(table.min()),
    )


OPERATIONS = {"none": 0.0, "skip": 0.25, "pool": 0.35, "conv1": 0.7, "conv3": 1.0}


def cell_loss(values: Values) -> float:
    """A small architecture search: four nodes, an operation on each edge, error by best paths.

    What flows through a path is the product along it; paths add up with less and less gain, and
    convolutions without a skip around them train badly.
    """
    edges = {pair: values[f"e{pair[0]}{pair[1]}"] for pair in EDGES}
    flow = [1.0, 0.0, 0.0, 0.0]
    for a, b in EDGES:
        flow[b] += flow[a] * OPERATIONS[edges[a, b]]
    deep = sum(operation.startswith("conv") for operation in edges.values())
    short = edges[0, 3] == "skip" or (edges[0, 2] == "skip" and edges[2, 3] == "skip")
    penalty = 0.0 if short else 0.06 * max(deep - 2, 0)
    return math.exp(-0.7 * flow[3]) + penalty + 0.02 * deep


EDGES = tuple(itertools.combinations(range(4), 2))


def cells() -> Space:
    return unguided(Choice(f"e{a}{b}", list(OPERATIONS)) for a, b in EDGES)


@functools.cache
def best_cell() -> float:
    names = [f"e{a}{b}" for a, b in EDGES]
    return min(
        cell_loss(dict(zip(names, each, strict=True)))
        for each in itertools.product(OPERATIONS, repeat=len(EDGES))
    )


# -- conditions ----------------------------------------------------------------------------------


def bowl(value: float, best: float) -> float:
    """The squared distance in decades."""
    return math.log10(value / best) ** 2


def optimizers() -> Space:
    """An optimizer with parameters of its own, and a schedule with its own."""

    def of(name: str) -> list[Parent]:
        return [Parent("optimizer", name)]

    step = [Parent("schedule", "step")]
    return unguided(
        [
            Choice("optimizer", ["sgd", "adam", "rmsprop"]),
            Float("sgd_rate", 1e-4, 1.0, sampling="log", conditions=of("sgd")),
            Float("momentum", 0.0, 0.99, conditions=of("sgd")),
            Boolean("nesterov", conditions=of("sgd")),
            Float("adam_rate", 1e-5, 1e-1, sampling="log", conditions=of("adam")),
            Float("one_minus_beta", 1e-3, 0.5, sampling="log", conditions=of("adam")),
            Float("rmsprop_rate", 1e-5, 1e-1, sampling="log", conditions=of("rmsprop")),
            Float("rho", 0.5, 0.99, conditions=of("rmsprop")),
            Choice("schedule", ["constant", "cosine", "step"]),
            Float("drop", 0.05, 0.9, sampling="log", conditions=step),
            Int("drops", 1, 6, conditions=step),
            Float("decay", 1e-6, 1e-1, sampling="log"),
        ]
    )


def optimizers_loss(values: Values) -> float:
    """Best with sgd, rate 0.1, momentum 0.9, nesterov, and two drops to 0.2."""
    if values["optimizer"] == "sgd":
        # More momentum wants a smaller rate.
        rate = values["sgd_rate"] / (1 - values["momentum"])
        loss = 0.10 + 0.08 * bowl(rate, 1.0) + 0.6 * (values["momentum"] - 0.9) ** 2
        loss += 0.0 if values["nesterov"] else 0.01
    elif values["optimizer"] == "adam":
        loss = 0.13 + 0.06 * bowl(values["adam_rate"], 1.5e-3)
        loss += 0.02 * bowl(values["one_minus_beta"], 0.08)
    else:
        loss = 0.16 + 0.05 * bowl(values["rmsprop_rate"], 4e-4) + 0.2 * (values["rho"] - 0.92) ** 2
    if values["schedule"] == "step":
        loss += 0.03 * bowl(values["drop"], 0.2) + 0.004 * (values["drops"] - 2) ** 2
    else:
        loss += {"constant": 0.06, "cosine": 0.02}[values["schedule"]]
    return float(loss + 0.012 * bowl(values["decay"], 3e-4))


def layers(most: int) -> Space:
    """A number of layers; units and a rate of dropout for each of them."""
    entries: list[HyperParameter] = [Int("layers", 1, most)]
    for i in range(1, most + 1):
        there = [Parent("layers", list(range(i, most + 1)))]
        entries.append(Int(f"units_{i}", 8, 512, sampling="log", conditions=there))
        entries.append(Float(f"dropout_{i}", 0.0, 0.8, conditions=there))
    entries.append(Choice("activation", ["relu", "gelu", "tanh", "sigmoid"]))
    return unguided(entries)


def layers_loss(values: Values) -> float:
    """Best with three gelu layers of 256, 128 and 64 units and dropouts 0.5, 0.3 and 0.1."""
    count = values["layers"]
    loss = 0.05 + 0.05 * (count - 3) ** 2
    for i in range(1, count + 1):
        loss += 0.12 * bowl(values[f"units_{i}"], 512 * 0.5**i) / count
        loss += 0.4 * (values[f"dropout_{i}"] - max(0.7 - 0.2 * i, 0.0)) ** 2 / count
    slow = 0.02 * (count - 1)  # what saturates gets worse with depth
    return float(
        loss
        + {"gelu": 0.0, "relu": 0.01, "tanh": 0.02 + slow, "sigmoid": slow * 4}[
            values["activation"]
        ]
    )


def branches() -> Space:
    """Three kinds of networks, some of whose parts have parts."""

    def of(name: str, *values: object) -> Parent:
        return Parent(name, list(values))

    cnn, mlp, mix = of("kind", "cnn"), of("kind", "mlp"), of("kind", "mixer")
    pool = of("pooling", "strided")
    return unguided(
        [
            Choice("kind", ["mlp", "cnn", "mixer"]),
            Int("blocks", 1, 3, conditions=[cnn]),
            *(
                Int(
                    f"filters_{i}",
                    4,
                    128,
                    sampling="log",
                    conditions=[cnn, of("blocks", *range(i, 4))],
                )
                for i in (1, 2, 3)
            ),
            Choice("pooling", ["max", "average", "strided"], conditions=[cnn]),
            Int("stride", 2, 4, conditions=[cnn, pool]),
            Int("width", 16, 1024, sampling="log", conditions=[mlp]),
            Boolean("batch_norm", conditions=[mlp]),
            Float("norm_momentum", 0.5, 0.999, conditions=[mlp, of("batch_norm", True)]),
            Int("patch", 2, 8, conditions=[mix]),
            Float("token_ratio", 0.1, 8.0, sampling="log", conditions=[mix]),
            Float("rate", 1e-5, 1e-1, sampling="log"),
        ]
    )


def branches_loss(values: Values) -> float:
    """Best: a CNN of two blocks with 24 and 72 filters, strided by 3, at a rate of 2e-3."""
    loss = 0.04 * bowl(values["rate"], 2e-3)
    if values["kind"] == "cnn":
        loss += 0.08 + 0.05 * abs(values["blocks"] - 2)
        for i in range(1, values["blocks"] + 1):
            loss += 0.15 * bowl(values[f"filters_{i}"], 8 * 3**i) / values["blocks"]
        if values["pooling"] == "strided":
            return float(loss + 0.02 * abs(values["stride"] - 3))
        return float(loss + {"max": 0.01, "average": 0.03}[values["pooling"]])
    if values["kind"] == "mlp":
        loss += 0.14 + 0.05 * bowl(values["width"], 300)
        if not values["batch_norm"]:
            return float(loss + 0.02)
        return float(loss + 0.1 * (values["norm_momentum"] - 0.9) ** 2)
    return float(
        loss + 0.12 + 0.004 * (values["patch"] - 4) ** 2 + 0.05 * bowl(values["token_ratio"], 0.6)
    )


# -- all of them ---------------------------------------------------------------------------------


def _numeric(
    name: str,
    space: Space,
    function: Callable[[Values], float],
    optimum: float,
    tuning: bool = True,
    noise: float = 0.0,
) -> Formula:
    return Formula(
        name=name,
        group="numeric",
        tuning=tuning,
        space=space,
        function=function,
        optimum=optimum,
        noise=noise,
    )


def _branin_space() -> Space:
    return unguided([Float("x0", -5.0, 10.0), Float("x1", 0.0, 15.0)])


def _conditional(
    name: str, space: Space, function: Callable[[Values], float], optimum: float, tuning: bool
) -> Formula:
    return Formula(
        name=name,
        group="conditional",
        tuning=tuning,
        space=space,
        function=function,
        optimum=optimum,
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "branin": lambda: _numeric("branin", _branin_space(), branin, 0.397887),
    "hartmann6": lambda: _numeric("hartmann6", reals(0, 1, 6), hartmann, -3.32237),
    "rosenbrock4": lambda: _numeric("rosenbrock4", reals(-2, 2.5, 4), rosenbrock, 0.0),
    "noisy_sphere5": lambda: _numeric("noisy_sphere5", reals(-1, 1, 5), sphere, 0.0, noise=0.05),
    "ackley6": lambda: _numeric("ackley6", reals(-30, 32, 6), ackley, 0.0, tuning=False),
    "levy5": lambda: _numeric("levy5", reals(-10, 8, 5), levy, 0.0, tuning=False),
    "noisy_hartmann3": lambda: _numeric(
        "noisy_hartmann3", reals(0, 1, 3), hartmann, -3.86278, tuning=False, noise=0.2
    ),
    "factors6x5": lambda: table_problem("factors6x5", (5, 5, 5, 5, 5, 5), 1, True),
    "factors9x3": lambda: table_problem("factors9x3", (3,) * 9, 2, False),
    "cells": lambda: Formula(
        name="cells",
        group="categorical",
        tuning=True,
        space=cells(),
        function=cell_loss,
        optimum=best_cell(),
    ),
    "optimizers": lambda: _conditional("optimizers", optimizers(), optimizers_loss, 0.1, True),
    "layers": lambda: _conditional("layers", layers(5), layers_loss, 0.05, True),
    "branches": lambda: _conditional("branches", branches(), branches_loss, 0.08, False),
}
