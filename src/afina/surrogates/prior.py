"""What is believed of good configurations before any trial, and how that fades.

A belief is a density over the values of one hyperparameter. It comes from the user (`prior=`) or
from the hyperparameter's role: what was good in trainings that others have recorded, from the file
beside this one (`benchmarks/prior` makes it). It acts in two places:

- the first trials: the one after the default has all believed values, and the second and then
  every second one is a point that moved to where the density is high. The others spread evenly;
- the acquisition: the logarithm of the density is added to it, divided by the number of trials. So
  the results decide more and more.

A wrong belief does little harm. Part of each density is even, so no value is ever ruled out. And
results decide how far it is trusted: the rank correlation of densities and losses, of which the
evenly spread trials are half. While results bear the beliefs out, all of the first trials follow
them; as soon as results contradict them, none does, and the acquisition forgets them.

Source:
    Hvarfner et al., "piBO: Augmenting acquisition functions with user beliefs for Bayesian
    optimization", arXiv:2204.11051, equation 7: the density to the power of beta / n. An even part
    beside the belief: Mallik et al., "PriorBand", arXiv:2306.12370.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, wrong
from afina.space import Boolean, Choice, HyperParameter
from afina.space.parameters import Numerical
from afina.space.roles import role_of
from afina.surrogates.acquisition import Acquisition
from afina.surrogates.geometry import HALF_ROOT, Dimension, Geometry

Array = NDArray[np.float64]

PriorName = Literal["roles", "given"]
"""Which beliefs count: those of roles and those that the user gave, or the latter alone."""

EVEN_OF_USER, EVEN_OF_ROLE = 0.25, 0.25
"""The part of a density that is even."""

USUAL_SPREAD = 0.15
"""Of a good value without a spread: in parts of the range."""

KNOTS = 129
"""Places at which the density of a real number is computed."""

STRENGTH = 4.0
"""Against so many trials a belief counts fully; against twice as many, half."""

CLEAR = 0.3
"""The rank correlation of densities and losses, negative, at which a belief counts fully."""

FAITH = 4.0
"""A belief begins as if so many results had borne it out."""

DOUBT = 0.25
"""With less trust than that, no trial follows a belief."""

FEWEST = 3
"""From so many results on, they can earn a belief more of the first trials than its half."""

NARROWER = 0.5
"""The width of a role's density in the first trials. The whole width has room for what no recorded
task has shown; the evenly spread trials have that, too."""

SEEN = 0.01
"""With a smaller weight, a belief moves nothing."""


@dataclass(frozen=True, eq=False)
class ValueDensity:
    """The density of one hyperparameter's values."""

    name: str
    """Of the hyperparameter."""

    source: str
    """"given", or the role that it comes from."""

    knots: Array
    """(k,) coordinates of values, ascending; or the numbers of categories."""

    density: Array
    """(k,) 1 on average over the values, and nowhere near 0."""

    sharp: Array
    """(k,) the density of the first trials that follow the belief, without the even part."""

    @functools.cached_property
    def logs(self) -> Array:
        """(k,) the logarithm of the density."""
        return np.asarray(np.log(self.density))

    @functools.cached_property
    def _sums(self) -> tuple[Array, Array]:
        """Of the density, and of the sharp one."""
        return _cumulated(self.density), _cumulated(self.sharp)

    def place(self, unit: float, *, real: bool, sharp: bool = False) -> float:
        """Where a point of an even spread moves to, so that it has this density.

        Args:
            unit: From 0 to 1.
            real: Whether all coordinates are values, or the knots alone.
            sharp: Whether to take the density without its even part.
        """
        sums = self._sums[sharp]
        cell = min(int(np.searchsorted(sums, unit, side="right")) - 1, len(self.knots) - 1)
        if not real:
            return (cell + 0.5) / len(self.knots)
        part = (unit - sums[cell]) / (sums[cell + 1] - sums[cell])
        return float(min(max((cell + part) / len(self.knots), 0.0), 1.0))

    @property
    def middle(self) -> float:
        """The place of the value that is believed in most."""
        return (int(self.sharp.argmax()) + 0.5) / len(self.knots)


@dataclass(frozen=True, eq=False)
class Prior:
    """The beliefs about a space."""

    geometry: Geometry

    beliefs: Mapping[int, ValueDensity]
    """By the number of the dimension among `Geometry.tunable`."""

    def shaped(self, units: Array) -> Array:
        """(n, tunable entries) points of an even spread, moved to have the density."""
        return self._moved(
            units, lambda belief, unit, real: belief.place(unit, real=real, sharp=False)
        )

    def opening(self, units: Array, number: int) -> Array:
        """(1, tunable entries) one of the first trials that follow the beliefs.

        Args:
            units: (1, tunable entries) a point of an even spread.
            number: Of the trial. The first one has all of the values that are believed in most.
        """
        if number == 1:
            return self._moved(units, lambda belief, *_: belief.middle)
        return self._moved(
            units, lambda belief, unit, real: belief.place(unit, real=real, sharp=True)
        )

    def _moved(self, units: Array, place: Callable[[ValueDensity, float, bool], float]) -> Array:
        moved = units.copy()
        for column, belief in self.beliefs.items():
            dimension = self.geometry.tunable[column]
            real = not dimension.one_hot and dimension.positions is None
            places = [place(belief, float(unit), real) for unit in units[:, column]]
            if dimension.positions is not None:
                cells = [
                    min(int(each * len(belief.knots)), len(belief.knots) - 1) for each in places
                ]
                places = [float(dimension.positions[cell]) for cell in cells]
            moved[:, column] = places
        return moved

    def leads(self, number: int, features: Array, losses: Array) -> bool:
        """Whether one of the first trials follows the beliefs; otherwise it spreads evenly.

        Args:
            number: Of the trial; 0 is the default configuration.
            features: (n, f) the trials with a result.
            losses: (n,) see `trust`.
        """
        trust = self.trust(features, losses)
        if number == 1 or (number > 0 and number % 2 == 0):
            return trust >= DOUBT
        return number > 0 and len(losses) >= FEWEST and trust == 1

    def weighted(self, inner: Acquisition, weight: float) -> Acquisition:
        """The acquisition with what is left of the beliefs: `influence`."""
        return Weighted(inner, self, weight) if weight > 0 else inner

    def influence(self, trials: int, features: Array, losses: Array) -> float:
        """The weight of the beliefs in the acquisition after some trials, from 0 to 1.

        Args:
            trials: How many trials have started.
            features: (n, f) those with a result.
            losses: (n,) see `trust`.
        """
        return self.weight(trials) * self.trust(features, losses)

    def trust(self, features: Array, losses: Array) -> float:
        """How far results bear the beliefs out, from 0 to 1; without results 1.

        The measure is the rank correlation of densities and losses, which should be negative.

        Args:
            features: (n, f) the trials with a result, failed ones included.
            losses: (n,) their losses, or what rises with them; infinite for failed trials.
        """
        if not len(losses):
            return 1.0
        count, borne_out = len(losses), 0.0
        believed, ranks = self.logs(features)[0], _ranks(losses)
        if np.ptp(believed) > 0 and np.ptp(ranks) > 0:
            borne_out = -float(np.corrcoef(_ranks(believed), ranks)[0, 1])
        judged = (FAITH * CLEAR + count * borne_out) / (FAITH + count)
        return float(np.clip(judged / CLEAR, 0.0, 1.0))

    def logs(self, features: Array) -> tuple[Array, Array]:
        """(m,) the log density of embedded configurations, and (m, f) its derivatives."""
        total, slopes = np.zeros(len(features)), np.zeros_like(features)
        for column, belief in self.beliefs.items():
            own = np.flatnonzero(self.geometry.groups == column)
            _add(self.geometry, column, belief, own, features, total, slopes)
        return total, slopes

    @staticmethod
    def weight(trials: int) -> float:
        """How much beliefs count after so many trials."""
        return min(1.0, STRENGTH / max(trials, 1))

    @functools.cached_property
    def described(self) -> str:
        """Which beliefs there are, for people: "lr (learning_rate), units (given)"."""
        names = sorted({f"{belief.name} ({belief.source})" for belief in self.beliefs.values()})
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


@dataclass(frozen=True, eq=False)
class Weighted:
    """An acquisition, the logarithm of an improvement, plus that of a prior, with a weight."""

    inner: Acquisition
    prior: Prior
    weight: float

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        return np.asarray(self.inner.value(features) + self.weight * self.prior.logs(features)[0])

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        value, slope = self.inner.gradient(features)
        belief, belief_slope = self.prior.logs(features)
        return value + self.weight * belief, slope + self.weight * belief_slope


def _add(
    geometry: Geometry,
    column: int,
    belief: ValueDensity,
    own: NDArray[np.intp],
    features: Array,
    total: Array,
    slopes: Array,
) -> None:
    """Adds the log density of one hyperparameter, and its derivatives."""
    dimension = geometry.tunable[column]
    part = features[:, own]
    if dimension.one_hot:
        hot = part[:, : len(dimension.axes)] / HALF_ROOT
        total += hot @ belief.logs  # all are 0 where it is inactive
        return
    # As `Geometry.embed` makes them: a line, or sine and cosine of an angle.
    active = np.ones(len(part), dtype=bool) if len(own) == 1 else np.square(part).sum(axis=1) > 0.5
    line = part[:, 0] if len(own) == 1 else np.arctan2(part[:, 0], part[:, 1])
    knots = belief.knots
    low, high = knots[0], knots[-1]
    if dimension.positions is not None and high > low:
        knots = (knots - low) / (high - low)
    total += np.where(active, np.interp(line, knots, belief.logs), 0.0)
    if dimension.positions is None:
        cells = np.clip(np.searchsorted(knots, line) - 1, 0, len(knots) - 2)
        steep = np.where(active, (np.diff(belief.logs) / np.diff(knots))[cells], 0.0)
        if len(own) == 1:
            slopes[:, own[0]] += steep
        else:
            slopes[:, own[0]] += steep * part[:, 1]
            slopes[:, own[1]] -= steep * part[:, 0]


@functools.lru_cache(maxsize=16)
def prior_of(geometry: Geometry, which: PriorName | None) -> Prior | None:
    """What is believed of a space; None if nothing is.

    Args:
        geometry: Of the space.
        which: Which beliefs count; None for none.
    """
    if which is None:
        return None
    found = {
        column: belief
        for column, dimension in enumerate(geometry.tunable)
        if (belief := _belief_of(_entry(geometry, dimension), dimension, which)) is not None
    }
    return Prior(geometry, found) if found else None


def check_prior(prior: Any) -> None:
    """Raises ArgumentError unless `prior` names beliefs, or is None."""
    if prior is not None and prior not in get_args(PriorName):
        raise ArgumentError(wrong("prior", 'must be "roles", "given" or None', prior))


def _entry(geometry: Geometry, dimension: Dimension) -> HyperParameter:
    return geometry.space.entries[geometry.dimensions.index(dimension)]


def _belief_of(
    entry: HyperParameter, dimension: Dimension, which: PriorName
) -> ValueDensity | None:
    """What is believed of one entry: what was given, else what its role says."""
    role = role_of(entry) if which == "roles" else None
    if entry.prior:
        weigh, even, source = _given(entry), EVEN_OF_USER, "given"
        weigh_first = weigh
    elif role is not None and role in shipped() and not _is_of_sgd(entry):
        weigh, even, source = _by_role(role), EVEN_OF_ROLE, role
        weigh_first = _by_role(role, NARROWER)
    else:
        return None
    if dimension.one_hot:
        knots = np.arange(len(dimension.axes), dtype=float)
        values = list(dimension.values)
    elif dimension.positions is not None:
        knots, values = dimension.positions, list(dimension.values)
    else:
        knots = np.linspace(0.0, 1.0, KNOTS)
        values = [entry.prob_to_value(float(knot)) for knot in knots]
    density = np.array([weigh(value) for value in values])
    sharp = np.array([weigh_first(value) for value in values])
    if not density.mean() > 0 or not sharp.mean() > 0:
        return None  # the belief lies so far outside that it says nothing
    density = even + (1 - even) * density / density.mean()
    return ValueDensity(entry.name, source, knots, density, sharp / sharp.mean())


def _given(entry: HyperParameter) -> Callable[[Any], float]:
    """The weight of a value by what the user gave."""
    if isinstance(entry, Numerical):
        value, spread = entry.prior
        ratio = entry.sampling == "log"
        middle = math.log(value) if ratio else value
        if spread is None:
            low, high = entry.min_value, entry.max_value
            width = USUAL_SPREAD * (math.log(high / low) if ratio else high - low)
        else:
            width = math.log(spread) if entry.sampling != "linear" else spread
            width = width if ratio or entry.sampling == "linear" else value * (spread - 1)
        return lambda own: _bell((math.log(own) if ratio else own) - middle, width)
    assert isinstance(entry, Choice | Boolean)
    weights = {(type(value) is bool, value): weight for value, weight in entry.prior}
    return lambda own: weights.get((type(own) is bool, own), 1.0)


def _by_role(role: str, part: float = 1.0) -> Callable[[Any], float]:
    """The weight of a value by what was good for others, with a part of the width."""
    fact = shipped()[role]
    middle, width = fact["middle"], part * fact["width"]
    if fact["scale"] == "log":
        least = fact["least"]
        return lambda own: _bell(math.log10(max(float(own), least)) - middle, width)
    return lambda own: _bell(float(own) - middle, width)


def _bell(gap: float, width: float) -> float:
    """A Student's t density with 3 degrees of freedom, unscaled: its tails say "perhaps"."""
    return float((1 + (gap / width) ** 2 / 3) ** -2)


def _cumulated(density: Array) -> Array:
    """(k + 1,) from 0 to 1."""
    sums = np.concatenate([[0.0], np.cumsum(density)])
    return np.asarray(sums / sums[-1])


def _ranks(values: Array) -> Array:
    """Places in the order of the values; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def _is_of_sgd(entry: HyperParameter) -> bool:
    """Whether it belongs to plain gradient descent: the recorded rates are those of Adam."""
    texts = [entry.name, *(str(v) for c in entry.conditions for v in c.values)]
    return any("sgd" in text.lower() for text in texts)


@functools.cache
def shipped() -> Mapping[str, Mapping[str, Any]]:
    """By role: the scale ("log" or "linear"), the middle and the width of good values."""
    text = importlib.resources.files("afina.surrogates").joinpath("roles.json").read_text("utf-8")
    return cast("Mapping[str, Mapping[str, Any]]", json.loads(text)["roles"])
