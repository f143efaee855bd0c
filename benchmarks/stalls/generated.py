"""Problems drawn from a generator, as many as wanted, on which searches stall or might.

    problem = generated(number)

The number decides everything. Numbers below 100 may be looked at while defaults are chosen; those
from 100 on are for one look at the end. Number modulo 8 is the kind:

- `narrow`: families of models; an easy one is flat, another is better in a narrow part.
- `hidden`: families that are bad nearly everywhere, and one of them is best in a narrow part.
- `heavy`: as `narrow`, with families whose losses are larger by orders of magnitude.
- `benign`: families that are bowls with floors of their own. Exploring too much costs here.
- `nested`: the best family has a choice with children of its own.
- `corner`: numbers; a broad good corner, and a better one elsewhere.
- `flat`: numbers; equal losses but for a basin with a hill in it.
- `valley`: numbers; a narrow bent valley.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from stall_problems import Planted

from problem import Values, reference_of, unguided  # isort: skip
from afina.space import Choice, Float, HyperParameter, Int, Parent, Space

DRAWS = 2000

CONDITIONAL = ("narrow", "hidden", "heavy", "benign", "nested")


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated(Planted):
    """A planted problem that knows where its optimum is."""

    best: Values


def generated(number: int) -> Generated:
    """The problem of a number."""
    kind = KINDS[number % len(KINDS)]
    rng = np.random.default_rng([number, 2026])
    space, function, best = MAKERS[kind](rng)
    draws = np.random.default_rng(0)
    losses = [function(space.sample(draws)) for _ in range(DRAWS)]
    return Generated(
        name=f"{kind}-{number}",
        group=kind,
        tuning=number < 100,
        space=space,
        function=function,
        known=reference_of(losses, function(best)),
        best=best,
    )


Made = tuple[Space, Callable[[Values], float], Values]


@dataclass(frozen=True)
class Family:
    """The loss within one family: a floor, a bowl around a place, and perhaps a narrow hole."""

    names: tuple[str, ...]
    centre: np.ndarray
    weights: np.ndarray
    floor: float
    slope: float
    """Of the bowl: what it adds at distance 1."""

    hole: float = 0.0
    """How deep the hole at the centre is below the bowl's floor."""

    width: float = 1.0

    def loss(self, places: np.ndarray) -> float:
        """At coordinates from 0 to 1."""
        square = float(self.weights @ np.square(places - self.centre))
        inside = self.hole * (1 - math.exp(-square / (2 * self.width**2)))
        return self.floor + self.slope * square + inside


def _entry(rng: np.random.Generator, name: str, there: list[Parent]) -> HyperParameter:
    """A number: real, on a logarithmic scale, or whole."""
    which = int(rng.integers(4))
    if which == 0:
        return Int(name, 1, int(rng.integers(8, 64)), conditions=there)
    if which == 1:
        return Float(name, 0.0, 1.0, conditions=there)
    return Float(name, 1e-4, 1.0, sampling="log", conditions=there)


def _families(
    rng: np.random.Generator, kind: str, scales: np.ndarray | None = None, nested: bool = False
) -> Made:
    count = int(rng.integers(2, 6))
    shared = int(rng.integers(0, 3))
    sizes = rng.integers(1, 6, size=count)
    names = [f"f{i}" for i in range(count)]
    order = rng.permutation(count)
    better, easy = int(order[0]), int(order[1])
    sizes[better] = rng.integers(2, 6)
    entries: list[HyperParameter] = [Choice("kind", names)]
    entries += [_entry(rng, f"s{j}", []) for j in range(shared)]
    for i, name in enumerate(names):
        there = [Parent("kind", name)]
        entries += [_entry(rng, f"x{i}_{j}", there) for j in range(sizes[i])]
    branch = names[better]
    if nested:
        of = [Parent("kind", branch)]
        entries.append(Choice("mode", ["a", "b", "c"], conditions=of))
        for j in range(2):
            entries.append(_entry(rng, f"m{j}", [*of, Parent("mode", "b")]))
    space = unguided(entries)
    by_name = {entry.name: entry for entry in space}
    families = []
    for i in range(count):
        own = tuple([f"s{j}" for j in range(shared)] + [f"x{i}_{j}" for j in range(sizes[i])])
        centre = np.array(
            [
                by_name[name].value_to_prob(by_name[name].prob_to_value(float(u)))
                for name, u in zip(own, rng.uniform(0.1, 0.9, size=len(own)), strict=True)
            ]
        )
        weights = rng.uniform(0.3, 1.7, size=len(own))
        # The hole holds this part of the family, about.
        part = float(10 ** rng.uniform(-2, -0.5))
        width = 0.45 * part ** (1 / len(own))
        hidden = kind == "hidden"
        flat = i == easy and kind in ("narrow", "heavy", "nested")
        if i == better and kind != "benign":
            rest = 0.55 if hidden else float(rng.uniform(0.3, 0.5))
            families.append(Family(own, centre, weights, 0.1, 0.15, rest, width))
        elif flat:
            low = float(rng.uniform(0.16, 0.26))
            families.append(Family(own, centre, weights, low, float(rng.uniform(0.01, 0.08))))
        elif hidden:
            low = float(rng.uniform(0.25, 0.5))
            deep = float(rng.uniform(0.1, 0.3))
            families.append(Family(own, centre, weights, low, 0.2, deep, width * 1.3))
        else:
            floor = 0.1 if i == better else float(rng.uniform(0.12, 0.5))
            slope = float(rng.uniform(0.1, 0.8))
            families.append(Family(own, centre, weights, floor, slope))

    def places(values: Values, own: tuple[str, ...]) -> np.ndarray:
        return np.array([by_name[name].value_to_prob(values[name]) for name in own])

    inner = rng.uniform(0.2, 0.8, size=2)

    def function(values: Values) -> float:
        i = names.index(values["kind"])
        loss = families[i].loss(places(values, families[i].names))
        if nested and i == better:
            if values["mode"] == "b":
                gaps = places(values, ("m0", "m1")) - inner
                loss += 0.3 * float(np.square(gaps).sum())
            else:
                loss += 0.06 if values["mode"] == "a" else 0.15
        if scales is not None and i not in (better, easy):
            loss *= float(scales[i])
        return loss

    own = families[better].names
    best = {"kind": branch}
    known = dict(zip(own, families[better].centre, strict=True))
    if nested:
        best["mode"] = "b"
        known |= {"m0": inner[0], "m1": inner[1]}
    for entry in space:
        if entry.name in known:
            best[entry.name] = entry.prob_to_value(float(min(known[entry.name], 1 - 1e-9)))
    return space, function, best


def _narrow(rng: np.random.Generator) -> Made:
    return _families(rng, "narrow")


def _hidden(rng: np.random.Generator) -> Made:
    return _families(rng, "hidden")


def _heavy(rng: np.random.Generator) -> Made:
    return _families(rng, "heavy", 10 ** rng.uniform(0, 3, size=6))


def _benign(rng: np.random.Generator) -> Made:
    return _families(rng, "benign")


def _nested(rng: np.random.Generator) -> Made:
    return _families(rng, "nested", nested=True)


def _reals(dim: int) -> Space:
    return unguided(Float(f"x{i}", 0.0, 1.0) for i in range(dim))


def _vector(values: Values) -> np.ndarray:
    return np.array([values[f"x{i}"] for i in range(len(values))])


def _at(point: np.ndarray) -> Values:
    return {f"x{i}": float(value) for i, value in enumerate(point)}


def _corner(rng: np.random.Generator) -> Made:
    dim = int(rng.integers(3, 8))
    better = rng.choice([0.15, 0.85], size=dim) + rng.uniform(-0.1, 0.1, size=dim)
    flipped = rng.permutation(dim) < max(int(dim * rng.uniform(0.4, 0.9)), 2)
    broad = np.where(flipped, 1 - better, better)
    small, large = float(rng.uniform(0.04, 0.08)), float(rng.uniform(0.12, 0.2))
    depth = float(rng.uniform(0.55, 0.8))

    def function(values: Values) -> float:
        x = _vector(values)
        near = np.square(x - better).mean() / small
        far = np.square(x - broad).mean() / large
        return float(1 - math.exp(-near) - depth * math.exp(-far))

    return _reals(dim), function, _at(better)


def _flat(rng: np.random.Generator) -> Made:
    dim = int(rng.integers(2, 6))
    middle = rng.uniform(0.2, 0.8, size=dim)
    radius = float(rng.uniform(0.12, 0.17)) * (1 + dim / 2)
    rim = float(rng.uniform(0.2, 0.5))

    def function(values: Values) -> float:
        distance = float(np.linalg.norm(_vector(values) - middle)) / radius
        if distance >= 1:
            return 1.0
        return 0.2 + 0.8 * distance**2 if distance > rim else 0.5 * distance

    return _reals(dim), function, _at(middle)


def _valley(rng: np.random.Generator) -> Made:
    dim = int(rng.integers(2, 7))
    mixed, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    middle, bend = rng.uniform(0.35, 0.65, size=dim), rng.uniform(0.5, 1.5)
    steep = float(rng.uniform(60, 300))
    end = 0.3

    def function(values: Values) -> float:
        y = mixed @ (_vector(values) - middle)
        off = y[1] - bend * (y[0] ** 2 - 0.05)
        rest = float(np.square(y[2:]).sum())
        return math.log1p(steep * off**2 + 20 * rest + 2 * (y[0] - end) ** 2)

    target = np.zeros(dim)
    target[0], target[1] = end, bend * (end**2 - 0.05)
    return _reals(dim), function, _at(np.clip(middle + mixed.T @ target, 0, 1))


MAKERS: dict[str, Callable[[np.random.Generator], Made]] = {
    "narrow": _narrow,
    "hidden": _hidden,
    "heavy": _heavy,
    "benign": _benign,
    "nested": _nested,
    "corner": _corner,
    "flat": _flat,
    "valley": _valley,
}
KINDS = tuple(MAKERS)
