"""Made-up learning curves drawn at random: many problems, so that no search is fitted to a few.

A draw decides how the level and the speed of a training hang on its configuration, how far the two
go together, by which law the losses fall, whether some trainings overfit and where they diverge.
The laws, and that they are mixed, are those of the prior of Adriaensen et al., "Efficient Bayesian
learning curve extrapolation using prior-data fitted networks", arXiv:2310.20447.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from problem import CurveProblem, Problem, Reference, Values, kept_reference, key_of, unguided

from afina.space import Choice, Float, HyperParameter, Int, Space

LAWS = ("power", "exponential", "logarithmic")
WAVES = 12


@dataclass(frozen=True, eq=False)
class Landscape:
    """A random function on the unit cube: a bowl, some waves; about 0 to 1, low is good."""

    centre: np.ndarray
    weights: np.ndarray
    """Of the axes: few matter, most hardly."""

    frequencies: np.ndarray
    phases: np.ndarray

    def __call__(self, point: np.ndarray) -> float:
        bowl = float(self.weights @ np.abs(point - self.centre) ** 1.5)
        wave = float(np.cos(self.frequencies @ point + self.phases).mean())
        return bowl / float(self.weights.sum()) * 2 + 0.25 * wave


def landscape(rng: np.random.Generator, dim: int) -> Landscape:
    weights = rng.permutation(0.6 ** np.arange(dim))
    frequencies = rng.normal(size=(WAVES, dim)) * 4 * weights
    return Landscape(
        rng.uniform(0.15, 0.85, dim), weights, frequencies, rng.uniform(0, 2 * np.pi, WAVES)
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Family(CurveProblem):
    """One draw."""

    draw: int

    curves_only: bool = True

    @functools.cached_property
    def parts(self) -> tuple[Landscape, Landscape, dict[str, float]]:
        """What decides the level, what decides the speed, and the numbers of this draw."""
        rng = np.random.default_rng([self.draw, 3])
        dim = len(self.space)
        numbers = {
            "tie": rng.uniform(-0.6, 0.6),  # how far fast ones end well
            "speed": rng.uniform(0.1, 0.8),
            "spread": rng.uniform(0.5, 1.5),  # of the logarithms of the speeds
            "noise": 10 ** rng.uniform(-4.0, -2.3),
            "overfitting": rng.choice([0.0, 0.0, 0.004]),
            "asleep": float(self.draw % 4 < 2),  # the first result is from before any training
            "diverging": rng.choice([0.0, 0.1, 0.25]),
        }
        return landscape(rng, dim), landscape(rng, dim), numbers

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The loss after each epoch; all seeds are alike."""
        del seed
        level, speed, numbers = self.parts
        point = np.array([entry.value_to_prob(values[entry.name]) for entry in self.space])
        epochs = np.arange(1.0, self.epochs + 1)
        end, other = level(point), speed(point)
        low = 0.1 + 0.5 * max(end, 0.0) ** 1.5
        pace = numbers["tie"] * end + (1 - abs(numbers["tie"])) * other
        rate = numbers["speed"] * float(np.exp(numbers["spread"] * (1 - 3 * pace)))
        left = _left(LAWS[self.draw % 3], rate, epochs / self.epochs * 30)
        losses = low + (1.2 - low) * left
        if numbers["asleep"]:
            losses[0] = 1.2
        losses += numbers["overfitting"] * rate * np.maximum(epochs - 0.6 * self.epochs, 0)
        rng = np.random.default_rng(key_of(values))
        losses += numbers["noise"] * rng.normal(size=self.epochs)
        if point[0] > 1 - numbers["diverging"]:
            losses[int(self.epochs * rng.uniform(0.05, 0.9)) :] = np.nan
        return np.asarray(losses)

    def reference(self, seed: int = 0) -> Reference:
        """As kept in `references.json`."""
        del seed
        return kept_reference(self.name)


def _left(law: str, rate: float, epochs: np.ndarray) -> np.ndarray:
    """What is left of the first loss above the level."""
    if law == "power":
        return np.asarray((1 + rate * epochs) ** -0.8)
    if law == "exponential":
        return np.asarray(np.exp(-((0.3 * rate * epochs) ** 0.8)))
    return np.asarray(1 / (1 + rate * np.log1p(epochs) ** 2))


def space_of(draw: int) -> Space:
    """Three to nine hyperparameters, some of them whole numbers or choices."""
    rng = np.random.default_rng([draw, 1])
    entries: list[HyperParameter] = [Float("rate", 1e-5, 1e0, sampling="log")]
    for index in range(int(rng.integers(2, 9))):
        kind, name = rng.random(), f"x{index}"
        if kind < 0.55:
            entries.append(Float(name, 0.0, 1.0))
        elif kind < 0.75:
            entries.append(Int(name, 8, 512, sampling="log"))
        else:
            entries.append(Choice(name, list("abcde")[: int(rng.integers(2, 6))]))
    return unguided(entries)


def _maker(draw: int, tuning: bool) -> Callable[[], Problem]:
    epochs = int(np.random.default_rng([draw, 2]).choice([20, 30, 50, 81]))
    return lambda: Family(
        name=f"curves_family_{draw}",
        tuning=tuning,
        space=space_of(draw),
        epochs=epochs,
        draw=draw,
    )


TUNING = (2, 8, 10)
HELD_OUT = (1, 3, 5, *range(32, 42))
"""Others, 0 to 31, 60 to 71 and some from 100 to 150, were looked at while defaults were chosen."""

MAKERS: dict[str, Callable[[], Problem]] = {
    f"curves_family_{draw}": _maker(draw, tuning=draw in TUNING) for draw in (*TUNING, *HELD_OUT)
}
