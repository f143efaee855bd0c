"""Problems on which a search stalls: its model is sure of a place that is not the best.

Each kind is drawn anew for each number, so that there are as many problems as wanted: even numbers
may be looked at while defaults are chosen, odd ones are held out.

- `branches`: families of models. One is easy and flat, another is better in a narrow part of it.
- `corners`: a broad good corner in seven dimensions, and a narrower one that is better.
- `plateau`: equal losses, but for a small basin with a hill in its middle.
- `ridge`: a narrow bent valley in four or five dimensions.
- `wide`: 8 to 15 hyperparameters, of which a few matter, and interact.
- `factors`: choices among texts in which one combination is better than the sum of its parts.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search_quality"))

from problem import Problem, Reference, Values, reference_of, unguided

from afina.space import Choice, Float, HyperParameter, Parent, Space

DRAWS = 4000
"""Random configurations by which random search is known."""

FAR, GAIN = 0.1, 0.15
"""A run has stalled whose regret after 50 trials is above `FAR`, and less than this part below that
after 25."""


def has_stalled(found: np.ndarray) -> np.ndarray:
    """(n,) which rows of regrets after 10, 25 and 50 trials have stalled."""
    gained = found[:, 1] - found[:, 2]
    return np.asarray((found[:, 2] > FAR) & (gained < GAIN * found[:, 1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted(Problem):
    """A loss that is a function of the configuration; its best is known."""

    function: Callable[[Values], float]

    known: Reference

    def loss(self, values: Values, seed: int = 0, number: int = 0) -> float:
        """The function."""
        del seed, number
        return self.function(values)

    def reference(self, seed: int = 0) -> Reference:
        """The optimum, and a sample of the space."""
        del seed
        return self.known


def planted(
    kind: str, number: int, space: Space, function: Callable[[Values], float], optimum: float
) -> Planted:
    """The problem, with what random search reaches."""
    rng = np.random.default_rng(0)
    losses = [function(space.sample(rng)) for _ in range(DRAWS)]
    return Planted(
        name=f"{kind}-{number}",
        group=kind,
        tuning=number % 2 == 0,
        space=space,
        function=function,
        known=reference_of(losses, optimum),
    )


def branches(number: int) -> Planted:
    """A flat easy family hides a narrow better one."""
    rng = np.random.default_rng([number, 1])
    count = int(rng.integers(3, 6))
    names = [f"family{i}" for i in range(count)]
    easy, better = rng.permutation(count)[:2]
    sizes = rng.integers(2, 5, size=count)
    entries: list[HyperParameter] = [
        Choice("kind", names),
        Float("rate", 1e-5, 1e-1, sampling="log"),
    ]
    for i, name in enumerate(names):
        there = [Parent("kind", name)]
        entries += [
            Float(f"x{i}_{j}", 0.0, 1.0, conditions=there)
            if j % 2
            else Float(f"x{i}_{j}", 1e-4, 1.0, sampling="log", conditions=there)
            for j in range(sizes[i])
        ]
    space = unguided(entries)
    by_name = {entry.name: entry for entry in space}
    best = {name: float(rng.uniform(0.15, 0.85)) for name in by_name}
    floors = np.where(np.arange(count) == better, 0.1, rng.uniform(0.3, 0.4, size=count))
    floors[easy] = 0.22
    part = float(rng.uniform(0.1, 0.4))
    width = 0.5 * part ** (1 / (sizes[better] + 1))

    def away(values: Values, name: str) -> float:
        return by_name[name].value_to_prob(values[name]) - best[name]

    def function(values: Values) -> float:
        i = names.index(values["kind"])
        gaps = [away(values, f"x{i}_{j}") for j in range(sizes[i])] + [away(values, "rate")]
        square = sum(gap * gap for gap in gaps)
        if i == easy:
            return float(floors[i] + 0.05 * square)
        if i == better:
            return float(floors[i] + 0.3 * (1 - math.exp(-square / (2 * width**2))) + 0.2 * square)
        return float(floors[i] + 0.2 * square)

    return planted("branches", number, space, function, 0.1)


def reals(count: int) -> Space:
    """`count` real numbers from 0 to 1."""
    return unguided(Float(f"x{i}", 0.0, 1.0) for i in range(count))


def vector(values: Values) -> np.ndarray:
    return np.array([values[f"x{i}"] for i in range(len(values))])


def corners(number: int) -> Planted:
    """A broad good corner, and a narrower better one far from it."""
    rng = np.random.default_rng([number, 2])
    dim = int(rng.integers(5, 9))
    better = rng.choice([0.12, 0.88], size=dim) + rng.uniform(-0.08, 0.08, size=dim)
    flipped = rng.permutation(dim) < max(dim * 2 // 3, 2)
    broad = np.where(flipped, 1 - better, better)

    def function(values: Values) -> float:
        x = vector(values)
        near = np.square(x - better).mean() / 0.055
        far = np.square(x - broad).mean() / 0.16
        return float(1 - 1.0 * math.exp(-near) - 0.7 * math.exp(-far))

    least = min(function({f"x{i}": v for i, v in enumerate(p)}) for p in (better, broad))
    return planted("corners", number, reals(dim), function, least)


def plateau(number: int) -> Planted:
    """Equal losses outside of a basin, and a rim between the basin and its better middle."""
    rng = np.random.default_rng([number, 3])
    dim = int(rng.integers(3, 6))
    middle = rng.uniform(0.2, 0.8, size=dim)
    radius = {3: 0.34, 4: 0.42, 5: 0.5}[dim]

    def function(values: Values) -> float:
        distance = float(np.linalg.norm(vector(values) - middle)) / radius
        if distance >= 1:
            return 1.0
        return 0.2 + 0.8 * distance**2 if distance > 0.45 else 0.5 * distance

    return planted("plateau", number, reals(dim), function, 0.0)


def ridge(number: int) -> Planted:
    """A narrow bent valley, whose floor falls slowly towards one end."""
    rng = np.random.default_rng([number, 4])
    dim = int(rng.integers(4, 6))
    mixed, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    middle, bend = rng.uniform(0.35, 0.65, size=dim), rng.uniform(0.5, 1.5)

    def function(values: Values) -> float:
        y = mixed @ (vector(values) - middle)
        off = y[1] - bend * (y[0] ** 2 - 0.05)
        rest = float(np.square(y[2:]).sum())
        return math.log1p(200 * off**2 + 20 * rest + 2 * (y[0] - 0.3) ** 2)

    return planted("ridge", number, reals(dim), function, 0.0)


def wide(number: int) -> Planted:
    """Many numbers, a few of which matter; pairs of them interact, with several basins."""
    rng = np.random.default_rng([number, 5])
    dim = int(rng.integers(8, 16))
    acting = rng.permutation(dim)[:6]
    best = rng.uniform(0.15, 0.85, size=dim)
    waves = rng.uniform(1.0, 2.5, size=6)

    def function(values: Values) -> float:
        gaps = (vector(values) - best)[acting]
        bowl = np.square(gaps).sum() + 1.5 * np.square(gaps[::2] - gaps[1::2]).sum()
        hills = (1 - np.cos(2 * math.pi * waves * gaps)).sum()
        rest = np.square(vector(values) - best).sum()
        return float(bowl + 0.04 * hills + 0.02 * rest)

    return planted("wide", number, reals(dim), function, 0.0)


def factors(number: int) -> Planted:
    """Choices with effects, and one combination of four better than the sum of its parts."""
    rng = np.random.default_rng([number, 6])
    counts = rng.integers(3, 6, size=6)
    effects = [rng.normal(size=n) * rng.uniform(0.2, 1.0) for n in counts]
    pairs = [rng.normal(size=(counts[i], counts[i + 1])) * 0.3 for i in range(5)]
    space = unguided(Choice(f"f{i}", [f"v{j}" for j in range(n)]) for i, n in enumerate(counts))
    middling = [int(np.argsort(effect)[len(effect) // 2]) for effect in effects]
    table = np.zeros(counts)
    for i, effect in enumerate(effects):
        table = table + effect.reshape([-1 if k == i else 1 for k in range(6)])
    for i, pair in enumerate(pairs):
        shape = [counts[k] if k in (i, i + 1) else 1 for k in range(6)]
        table = table + pair.reshape(shape)
    hidden = tuple(middling[i] if i < 3 else slice(None) for i in range(6))
    table[hidden] -= 0.35 * (table.max() - table.min())

    def function(values: Values) -> float:
        return float(table[tuple(int(values[f"f{i}"][1:]) for i in range(6))])

    return planted("factors", number, space, function, float(table.min()))


KINDS: dict[str, Callable[[int], Planted]] = {
    "branches": branches,
    "corners": corners,
    "plateau": plateau,
    "ridge": ridge,
    "wide": wide,
    "factors": factors,
}
