"""Which hyperparameters matter, and which act together: tests that hold after any search.

A search chooses its trials by their results. After a Bayesian search even a hyperparameter without
effect has the same value in most good trials: the value of the first good one. Comparing the good
trials with the others would blame it. The likelihood of a model of *all* hyperparameters does not:
each choice depended on known results only, so how the trials were chosen cancels out of it. The
test of a hyperparameter is how much less likely the results are if the model must not use it.

A hyperparameter *matters* if the test says so, corrected for the number of tests. It has *no
visible effect* if the functions that fit the trials hardly vary along it. Otherwise it is
*undecided*.

Source:
    Why the choice of trials does not matter: Berger & Wolpert, "The likelihood principle" (1988).
    The distribution of the test, whose parameter lies on a bound: Self & Liang, "Asymptotic
    properties of maximum likelihood estimators and likelihood ratio tests under nonstandard
    conditions", JASA 82 (1987). The correction: Holm, "A simple sequentially rejective multiple
    test procedure", Scandinavian Journal of Statistics 6 (1979). Shares: Saltelli et al., "Variance
    based sensitivity analysis of model output", Computer Physics Communications 181 (2010).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from afina.advice.belief import Belief, believe
from afina.advice.interactions import PairTest
from afina.advice.sample import Sample, described
from afina.surrogates.covariance import matern, rational
from afina.surrogates.distances import squared_distances
from afina.surrogates.gaussian_process import (
    LENGTHSCALE_BOUNDS,
    LENGTHSCALE_LOG_MEAN,
    NOISE_LOG_MEAN,
    Likelihood,
    kernel_start,
    minimum,
)
from afina.surrogates.threads import one_blas_thread

Array = NDArray[np.float64]

NOISE_FLOOR = 1e-3  # of the variance
ROWS = 150  # more rows take time, and change little
LEVEL = 0.05  # the chance that any hyperparameter without effect is called one that matters
# The theory's tail is that of many trials. The likelihood of forty results of pure noise has many
# maxima: there, gains of 5 were as frequent as gains of 2.5 should be.
FAT = 20.0
SMALL = 0.05  # a total effect below this share of the variance is not visible
MOST_IN_PAIRS = 5
PROBES = 256
FEWEST_PROBES = 16  # fewer probes say too little of the variance in a branch
CALM = 2.5  # how much longer the lengthscales of the second start of a fit are, as a logarithm
INTERVAL = (0.05, 0.95)


class Visibility(enum.Enum):
    """What the trials show of a hyperparameter's effect."""

    MATTERS = "matters"
    """It has an effect."""

    NONE = "no visible effect"
    """Its effect is small at most."""

    UNDECIDED = "undecided"
    """The trials allow both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect of one hyperparameter on the results, interactions included."""

    name: str

    conditions: tuple[str, ...]
    """When it is active, in words; empty if it always is."""

    visibility: Visibility

    share: float
    """The share of the variance over the space that vanishes if it is known, by the model."""

    low: float
    """5 % quantile of the share over the functions that fit the trials."""

    high: float
    """95 % quantile."""

    chance: float
    """The probability of such a result without an effect, corrected for the number of tests."""

    failing: bool = False
    """Whether some of its values make trainings fail; the other fields are of the results."""

    @property
    def small(self) -> bool:
        """Whether the effect is clear but small: below 5 % of the variance."""
        return self.visibility is Visibility.MATTERS and self.high < SMALL and not self.failing


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """Two hyperparameters whose effects depend on each other."""

    names: tuple[str, str]

    share: float
    """The share of the variance that only both together explain, by the model."""

    chance: float
    """The probability of such a result without an interaction, corrected for all pairs tested."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the trials show of all effects."""

    single: tuple[Effect, ...] = ()
    """One for each hyperparameter that varies, in the order of the space."""

    pairs: tuple[Interaction, ...] = ()
    """Those that the trials show, the largest first."""

    columns: tuple[tuple[int, int], ...] = ()
    """The columns of the pairs."""

    chance: float = 1.0
    """The probability of such results if no hyperparameter has any effect."""

    @property
    def by_chance(self) -> bool:
        """Whether the results may differ by chance only: nothing shows an effect."""
        return not self.mattering() and self.chance > LEVEL

    def mattering(self) -> list[int]:
        """The columns of the hyperparameters that matter."""
        places = enumerate(self.single)
        return [place for place, each in places if each.visibility is Visibility.MATTERS]


def effects_of(sample: Sample, belief: Belief, seed: int) -> Effects:
    """Tests every hyperparameter, and the pairs of those that matter.

    Args:
        sample: At least four rows, whose targets are not all equal.
        belief: The functions that fit them.
        seed: Fixes the draws.
    """
    rng = np.random.default_rng([seed, 4])
    count = len(sample.targets)
    if count > ROWS:  # at random: to keep the best ones would distort the test
        sample = sample.take(np.sort(rng.choice(count, ROWS, replace=False)))
    families = [_family(sample, column) for column in range(len(sample.geometry.tunable))]
    with one_blas_thread():
        tests = _Tests(sample, families, sample.modelled)
        nothing = _tail(tests.gain, len(families))
        raw = [_tail(gain, len(family)) for gain, family in zip(tests.gains, families, strict=True)]
        chances = holm(raw)
        totals, inside, joint = _shares(sample, belief, rng)
        clear = [place for place, chance in enumerate(chances) if chance <= LEVEL]
        order = sorted(clear, key=lambda place: -float(totals[place].mean()))
        leading = sorted(order[:MOST_IN_PAIRS])
        pairs = [
            (a, b)
            for place, a in enumerate(leading)
            for b in leading[place + 1 :]
            if b not in families[a] and a not in families[b]
        ]
        together = _together(sample, pairs)
        if pairs and min(together) <= LEVEL:
            joint = _shares(sample.plainly(), believe(sample.plainly(), seed), rng)[2]
    single = [
        _effect(sample, column, totals[column], inside[column], chances[column])
        for column in range(len(families))
    ]
    entries = sample.entries
    found = []
    for (a, b), chance in zip(pairs, together, strict=True):
        shares = joint(a, b)
        # A small interaction changes no best value.
        if chance <= LEVEL and float(np.quantile(shares, INTERVAL[0])) >= SMALL:
            names = (entries[a].name, entries[b].name)
            # What both explain together is part of what each explains.
            most = min(float(np.clip(totals[each], 0, 1).mean()) for each in (a, b))
            pair = Interaction(names=names, share=min(float(shares.mean()), most), chance=chance)
            found.append((pair, (a, b)))
    found.sort(key=lambda each: -each[0].share)
    return Effects(
        tuple(single),
        tuple(each for each, _ in found),
        tuple(columns for _, columns in found),
        nothing,
    )


def _effect(sample: Sample, column: int, shares: Array, inside: Array, chance: float) -> Effect:
    """One effect. What matters in a branch may have a small share of the variance of the space. So
    "no visible effect" needs a small share of the variance within the branch, too."""
    entry = sample.entries[column]
    # Drawn functions are finite sums: a share of them can come out above all of the variance.
    low, high = np.quantile(np.clip(shares, 0.0, 1.0), INTERVAL)
    visibility = Visibility.UNDECIDED
    if chance <= LEVEL:
        visibility = Visibility.MATTERS
    elif max(high, float(np.quantile(inside, INTERVAL[1]))) < SMALL:
        visibility = Visibility.NONE
    return Effect(
        name=entry.name,
        conditions=described(entry),
        visibility=visibility,
        share=float(np.clip(shares, 0.0, 1.0).mean()),
        low=float(low),
        high=float(high),
        chance=chance,
    )


def holm(chances: Sequence[float]) -> list[float]:
    """Probabilities corrected for their number, by Holm's procedure.

    Example:
        >>> holm([0.01, 0.5, 0.04])
        [0.03, 0.5, 0.08]
    """
    corrected = [1.0] * len(chances)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda each: chances[each])):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = largest
    return corrected


def _tail(gain: float, parameters: int) -> float:
    """The probability of a larger gain in log-likelihood by chance."""
    if gain <= 0:
        return 1.0
    tail = float(chdtrc(parameters, 2 * gain)) / (2 if parameters == 1 else 1)
    return min(1.0, FAT * tail)


def _family(sample: Sample, column: int) -> list[int]:
    """The entry and all entries that it may switch on: these show its value, too."""
    dimensions = sample.geometry.dimensions
    tunable = sample.geometry.tunable
    numbers = [dimensions.index(part) for part in tunable]
    family, grown = {numbers[column]}, True
    while grown:
        grown = False
        for number, part in enumerate(dimensions):
            parents = {parent for pairs in part.switches for parent, _ in pairs}
            if number not in family and parents & family:
                family.add(number)
                grown = True
    return [place for place, number in enumerate(numbers) if number in family]


def _together(sample: Sample, pairs: Sequence[tuple[int, int]]) -> list[float]:
    """The probability of each pair's result without an interaction, corrected for their number.

    The results count as they are. On the scale on which a model fits them best, often close to a
    logarithm, effects that add up act together, and others no longer do.
    """
    if not pairs:
        return []
    plain = sample.plainly()
    tests = _Tests(plain, [], plain.modelled)
    return holm([_tail(tests.pair_gain(a, b), 1) for a, b in pairs])


class _Tests:
    """Likelihoods of one set of trials under models with less freedom."""

    def __init__(self, sample: Sample, families: Sequence[Sequence[int]], targets: Array) -> None:
        features, groups = sample.geometry.embed(sample.points), sample.geometry.groups
        self._targets = targets
        self._likelihood = Likelihood(features, self._targets, groups)
        count = self._likelihood.count
        start, self._bounds = kernel_start(count, NOISE_FLOOR)
        # The second start is a function that hardly varies, with much noise.
        calm = np.concatenate([start[:count] + CALM, [math.log(0.5)], start[-1:]])
        self._starts = (start, calm)
        parts = [features[:, groups == group] for group in range(count)]
        self._distances = np.array([squared_distances(part, part) for part in parts])
        self._whole, self._best = self._fitted(self._starts, ())
        everything = range(count)
        kernels = [self._fitted([self._whole, *self._starts], each) for each in families]
        # A kernel found without some columns may be more likely than the one found with all: then
        # the others were stuck in worse maxima, and start again from it.
        logs, best = max(kernels, key=lambda each: each[1], default=(self._whole, self._best))
        if best > self._best:
            eased = np.minimum(logs, self._starts[1])
            again = [self._fitted([logs], ()), self._fitted([eased], ())]
            self._whole, self._best = max([(logs, best), *again], key=lambda each: each[1])
            retried = [self._fitted([self._whole, logs], each) for each in families]
            pairs = zip(kernels, retried, strict=True)
            kernels = [max(pair, key=lambda each: each[1]) for pair in pairs]
        self.gains = [max(self._best - value, 0.0) for _, value in kernels]
        """For each family, the log-likelihood with it, less that without it."""
        self.gain = self._best - self._fitted([self._whole], everything)[1]
        """The gain by all of them."""

    def _objective(self, logs: Array) -> tuple[float, Array]:
        """Minus the likelihood alone. The priors of a search (hyperparameters matter, trainings are
        nearly exact) would turn noise into effects."""
        value, gradient = self._likelihood(logs)
        count = self._likelihood.count
        mean = LENGTHSCALE_LOG_MEAN + 0.5 * math.log(max(count, 1))
        means = np.array([mean] * count + [NOISE_LOG_MEAN, 0.0])
        scaled = (logs - means) / self._likelihood.spreads
        gradient = gradient - scaled / self._likelihood.spreads
        gradient[:-1] -= 1
        return value - float(logs[:-1].sum()) - 0.5 * float(scaled @ scaled), gradient

    def _fitted(self, starts: Sequence[Array], flat: Sequence[int]) -> tuple[Array, float]:
        """The most likely kernel that does not use some columns, and its log-likelihood."""
        bounds, end = list(self._bounds), math.log(LENGTHSCALE_BOUNDS[1])
        found = []
        for start in starts:
            begin = start.copy()
            for column in flat:
                begin[column], bounds[column] = end, (end, end)
            logs = minimum(self._objective, begin, bounds)
            found.append((self._value(logs), logs))
        best = max(found, key=lambda each: each[0])
        return best[1], best[0]

    def pair_gain(self, a: int, b: int) -> float:
        """The gain in log-likelihood by letting two columns act together."""
        test = PairTest(self._distances, self._targets, self._whole, self._bounds, (a, b))
        return test.gain()

    def _value(self, logs: Array) -> float:
        """The log-likelihood of a kernel."""
        count = self._likelihood.count
        scaled = self._distances * np.exp(-2 * logs[:count])[:, None, None]
        additive = 1 / (1 + math.exp(-logs[-1]))
        total = scaled.sum(axis=0)
        joint = matern(total)
        average = rational(scaled * count).mean(axis=0) if count else np.ones_like(joint)
        covariance = (1 - additive) * joint + additive * average
        np.fill_diagonal(covariance, 1 + math.exp(logs[count]))
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return -math.inf
        both = np.linalg.solve(factor, np.stack([self._targets, np.ones_like(self._targets)], 1))
        mean = float(both[:, 1] @ both[:, 0]) / float(both[:, 1] @ both[:, 1])
        rest = both[:, 0] - mean * both[:, 1]
        return float(-0.5 * rest @ rest - np.log(np.diagonal(factor)).sum())


def _shares(
    sample: Sample, belief: Belief, rng: np.random.Generator
) -> tuple[list[Array], list[Array], Callable[[int, int], Array]]:
    """For each column, (functions,) shares of the variance that vanish if it is known; the same of
    the variance where it is active; and a function from two columns to the shares that only both
    explain."""
    geometry = sample.geometry
    units, others = rng.random((2, PROBES, len(geometry.tunable)))

    def values(columns: Sequence[int]) -> Array:
        moved = units.copy()
        moved[:, columns] = others[:, columns]
        features = geometry.embed(geometry.place(moved))
        return np.concatenate([drawn(features) for drawn in belief.functions], axis=1)

    base = values([])
    variance = np.maximum(base.var(axis=0), 1e-12)
    changed = [values([column]) for column in range(len(geometry.tunable))]
    totals = [np.square(base - each).mean(axis=0) / (2 * variance) for each in changed]
    activity = geometry.active(geometry.place(units))

    def within(column: int) -> Array:
        active = activity[:, geometry.dimensions.index(geometry.tunable[column])]
        if active.all() or active.sum() < FEWEST_PROBES:
            return np.asarray(totals[column])
        varying = np.maximum(base[active].var(axis=0), 1e-12)
        gaps = np.square(base - changed[column])[active]
        return np.asarray(gaps.mean(axis=0) / (2 * varying))

    inside = [within(column) for column in range(len(changed))]

    def joint(a: int, b: int) -> Array:
        left = base - changed[a] - changed[b] + values([a, b])
        return np.asarray(np.square(left).mean(axis=0) / (4 * variance))

    return totals, inside, joint
