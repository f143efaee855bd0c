"""Which hyperparameters matter: their shares of the results' variance, with intervals."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from afina.advice import fanova, ped_anova
from afina.advice.evidence import Evidence, gather
from afina.advice.sample import Sample, described, is_ordered, sample_of
from afina.errors import ArgumentError, wrong
from afina.space import Space
from afina.surrogates.threads import one_blas_thread
from afina.trials import Trial

Array = NDArray[np.float64]
Method = Literal["fanova", "ped_anova"]
Shortage = Literal["few-trials", "all-failed", "constant", "nothing-varies", "several-objectives"]

RESAMPLES = 20
TREES = 6  # for each resample: enough that the spread comes from the data, not from the trees
BEST = 0.1  # the share of the trials that PED-ANOVA takes as the best
LEAST_BEST = 4
LEVEL = (0.05, 0.95)
MOST_IN_PAIRS = 8  # interactions are computed among this many of the most important entries
NOISE_COLUMNS = 2
FOREST_LIMIT = 1000  # rows; more take time and change little


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the variance of the results is due to one hyperparameter, or to two together."""

    names: tuple[str, ...]
    """One name; or two, for the effect of both beyond the effect of each alone."""

    conditions: tuple[str, ...]
    """When the hyperparameter is active, in words; empty if it always is."""

    share: float
    """Mean over the resamples, from 0 to 1."""

    low: float
    """5 % quantile over the resamples of the trials."""

    high: float
    """95 % quantile."""

    active: int
    """Number of configurations in which it was active; both, for a pair."""

    clear: bool
    """Whether even `low` is above the share that a hyperparameter without effect gets by chance."""


@dataclass(frozen=True, slots=True)
class Importances:
    """Which hyperparameters matter, as far as the trials can tell."""

    method: Method
    """"fanova": share of the variance over the whole space. "ped_anova": how much the best tenth
    of the trials differs from all trials, normalized to a sum of 1."""

    configurations: int
    """Number of configurations used; failed ones count as the worst."""

    needed: int
    """Number of configurations needed for a result."""

    shortage: Shortage | None
    """Why there is no result; None if there is one."""

    single: tuple[Share, ...]
    """One share for each hyperparameter, the most important first; empty without a result."""

    pairs: tuple[Share, ...]
    """Interactions, the strongest first; only "fanova" computes them."""

    chance: float
    """The share that a hyperparameter without effect gets in these data (95 % quantile)."""

    def of(self, name: str) -> Share | None:
        """The share of a hyperparameter; the largest one if several have this name."""
        return next((share for share in self.single if share.names == (name,)), None)


def importance(
    trials: Iterable[Trial],
    space: Space,
    method: Literal["auto"] | Method = "auto",
    seed: int = 0,
) -> Importances:
    """Says which hyperparameters matter.

    Failed trials count as the worst. In a multi-fidelity search each configuration counts once,
    see `afina.advice.evidence`. An inactive hyperparameter is placed at the middle of its range,
    so that only its active values can explain a difference.

    Args:
        trials: The trials of a search.
        space: The space of the search.
        method: "fanova" needs scikit-learn. "auto" uses it if scikit-learn is installed, otherwise
            "ped_anova".
        seed: Fixes all random draws.

    Raises:
        ArgumentError: The method is unknown, or scikit-learn is missing.

    Example:
        >>> from afina.space import Float
        >>> importance([], Space((Float("rate", 0, 1),))).shortage
        'few-trials'
    """
    return importance_of(gather(trials, space), method, seed)


def importance_of(
    evidence: Evidence, method: Literal["auto"] | Method = "auto", seed: int = 0
) -> Importances:
    """`importance` for evidence that has been gathered already."""
    chosen = _method(method)
    sample = sample_of(evidence)
    entries = sample.entries
    needed = trials_needed(len(entries))
    shortage = shortage_of(evidence, len(entries))
    if shortage is not None:
        return Importances(chosen, len(evidence.rows), needed, shortage, (), (), 0.0)
    found = _by_fanova(sample, seed) if chosen == "fanova" else _by_ped_anova(sample, seed)
    labels = [(entry.name,) for entry in entries]
    active = ~np.isnan(sample.places)
    when = [described(entry) for entry in entries]
    shares = [
        _share(labels[column], when[column], found.single[:, column], int(on.sum()), found.chance)
        for column, on in enumerate(active.T)
    ]
    both = []
    for place, (a, b) in enumerate(found.pairs):
        on = int((active[:, a] & active[:, b]).sum())
        names = (*labels[a], *labels[b])
        both.append(_share(names, (), found.joint[:, place], on, found.joint_chance))
    return Importances(
        method=chosen,
        configurations=len(evidence.rows),
        needed=needed,
        shortage=None,
        single=tuple(sorted(shares, key=lambda share: -share.share)),
        pairs=tuple(sorted(both, key=lambda share: -share.share)),
        chance=found.chance,
    )


def trials_needed(entries: int) -> int:
    """How many configurations are needed to compare this many hyperparameters."""
    return max(10, entries + 2)


def shortage_of(evidence: Evidence, entries: int) -> Shortage | None:
    """Why the evidence says nothing about the hyperparameters; None if it may."""
    if not entries:
        return "nothing-varies"
    if evidence.rows and not evidence.counts.completed:
        return "all-failed"
    if len(evidence.rows) < trials_needed(entries) or evidence.counts.completed < 4:
        return "few-trials"
    # If some failed and the others are all equal, the cause of the failures can still be found.
    return "constant" if evidence.constant and not evidence.counts.failed else None


def _method(method: str) -> Method:
    installed = importlib.util.find_spec("sklearn") is not None
    if method == "auto":
        return "fanova" if installed else "ped_anova"
    if method not in get_args(Method):
        options = ("auto", *get_args(Method))
        raise ArgumentError(wrong("method", f"must be one of {options}", method))
    if method == "fanova" and not installed:
        advice = 'pip install "afina[sklearn]", or use method="ped_anova".'
        raise ArgumentError(wrong("method", "fanova needs scikit-learn", method, advice))
    return "fanova" if method == "fanova" else "ped_anova"


def _share(
    names: tuple[str, ...], conditions: tuple[str, ...], found: Array, active: int, chance: float
) -> Share:
    low, high = np.quantile(found, LEVEL)
    return Share(
        names=names,
        conditions=conditions,
        share=float(found.mean()),
        low=float(low),
        high=float(high),
        active=active,
        clear=bool(low > chance),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Shares in each resample of the trials."""

    single: Array
    """(resamples, entries)."""

    chance: float
    """The share of a single entry without effect."""

    joint: Array
    """(resamples, pairs)."""

    pairs: list[tuple[int, int]]

    joint_chance: float
    """The share of two entries that do not interact."""


def _by_fanova(sample: Sample, seed: int) -> _Found:
    """Each forest also gets two columns of noise: what they explain is chance."""
    rng = np.random.default_rng([seed, 0])
    if len(sample.targets) > FOREST_LIMIT:
        sample = sample.take(np.sort(rng.choice(len(sample.targets), FOREST_LIMIT, replace=False)))
    places = np.where(np.isnan(sample.places), 0.5, sample.places)
    count, columns = places.shape
    forests = []
    for _ in range(RESAMPLES):
        rows = rng.integers(count, size=count)
        points = np.concatenate([places[rows], rng.random((count, NOISE_COLUMNS))], axis=1)
        forest_seed = int(rng.integers(2**31))
        forests.append(fanova.fit_trees(points, sample.targets[rows], TREES, forest_seed))
    singles = np.array([_mean_shares(forest, [])[0] for forest in forests])
    single = singles[:, :columns]
    order = np.argsort(-single.mean(axis=0), kind="stable")[:MOST_IN_PAIRS]
    leading = sorted(int(column) for column in order)
    pairs = fanova.all_pairs(leading)
    mock = [(column, columns + noise) for column in leading for noise in range(NOISE_COLUMNS)]
    joints = np.array([_mean_shares(forest, [*pairs, *mock])[1] for forest in forests])
    return _Found(
        single=single,
        chance=float(np.quantile(singles[:, columns:], LEVEL[1])),
        joint=joints[:, : len(pairs)],
        pairs=pairs,
        joint_chance=float(np.quantile(joints[:, len(pairs) :], LEVEL[1])),
    )


def _mean_shares(forest: list[fanova.Leaves], pairs: fanova.Pairs) -> tuple[Array, Array]:
    """Shares of the variance, averaged over the trees whose predictions vary."""
    with one_blas_thread():
        parts = [fanova.decompose(leaves, pairs) for leaves in forest]
    parts = [part for part in parts if part.total > 0]
    columns = forest[0].low.shape[1]
    if not parts:
        return np.zeros(columns), np.zeros(len(pairs))
    single = np.mean([part.single / part.total for part in parts], axis=0)
    joint = np.mean([part.pairs / part.total for part in parts], axis=0)
    return single, joint


def _by_ped_anova(sample: Sample, seed: int) -> _Found:
    """Normalized divergences; chance is their size when the results are shuffled."""
    rng = np.random.default_rng([seed, 1])
    count = len(sample.targets)
    found, shuffled = [], []
    for _ in range(RESAMPLES):
        rows = rng.integers(count, size=count)
        places, targets = sample.places[rows], sample.targets[rows]
        real = _divergences(sample, places, targets)
        by_chance = _divergences(sample, places, rng.permutation(targets))
        total = real.sum()
        found.append(real / total if total > 0 else real)
        shuffled.append(by_chance / total if total > 0 else by_chance)
    chance = float(min(np.quantile(shuffled, LEVEL[1]), 1.0))
    return _Found(np.array(found), chance, np.zeros((RESAMPLES, 0)), [], 0.0)


def _divergences(sample: Sample, places: Array, targets: Array) -> Array:
    top = max(LEAST_BEST, round(BEST * len(targets)))
    threshold = np.sort(targets)[min(top, len(targets)) - 1]
    best = targets <= threshold
    return np.array(
        [
            ped_anova.importance(
                places[:, column], best, len(part.values) or None, is_ordered(part)
            )
            for column, part in enumerate(sample.geometry.tunable)
        ]
    )
