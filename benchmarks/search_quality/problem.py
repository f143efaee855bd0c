"""What a problem is: a space, a loss, and what the best and the usual are.

The unit of regret is the same for every problem: what random search has left after ten trials.
Half of all random searches have, after ten trials, found the best 6.7 percent of the space
(1 - 0.5 ** (1 / 10)). So

    regret = (loss of the incumbent - optimum) / (6.7 % quantile of random losses - optimum)

is 0 at the optimum and about 1 for random search after ten trials, whatever a problem's scale and
however heavy the tail of its bad configurations. Regret is cut at `WORST`, which also stands for
"nothing but failures so far".
"""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afina.space import HyperParameter, Space

TEN_TRIALS = 1 - 0.5 ** (1 / 10)
WORST = 3.0
REFERENCES = Path(__file__).with_name("references.json")

Values = Mapping[str, Any]
"""A configuration: the active hyperparameters alone."""


@dataclass(frozen=True)
class Reference:
    """Between these two a regret is measured."""

    optimum: float
    """The lowest loss known."""

    random: float
    """What half of all random searches reach with ten trials."""

    def regret(self, loss: float) -> float:
        """The normalised regret of a loss; NaN and infinity count as the worst."""
        if not math.isfinite(loss):
            return WORST
        return min(max(self.excess(loss), 0.0), WORST)

    def excess(self, loss: float) -> float:
        """The same without the cuts: negative where the loss beats the known optimum."""
        return (loss - self.optimum) / (self.random - self.optimum)


def reference_of(losses: Any, optimum: float | None = None) -> Reference:
    """The reference of a problem whose random losses (NaN: failed) are these."""
    found = np.asarray(losses, dtype=float)
    found = np.where(np.isfinite(found), found, np.inf)
    best = float(found.min()) if optimum is None else optimum
    return Reference(best, float(np.quantile(found, TEN_TRIALS, method="lower")))


@functools.cache
def kept_reference(name: str) -> Reference:
    """That of a problem whose best loss only a long search tells, from `references.json`."""
    kept = json.loads(REFERENCES.read_text(encoding="utf-8"))
    return Reference(**kept[name])


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something to minimise. One subclass per source of losses."""

    name: str

    group: str
    """"numeric", "mixed", "categorical", "conditional" or "curves"."""

    tuning: bool
    """Whether its results may be looked at while defaults are chosen; else it is held out."""

    space: Space

    epochs: int = 1
    """Length of a full training; 1 where there are no curves."""

    curves_only: bool = False
    """Whether only its curves are of interest, not its full trainings."""

    def loss(self, values: Values, seed: int = 0, number: int = 0) -> float:
        """What a full training reports; lower is better, NaN where it failed.

        Args:
            values: The configuration.
            seed: Of the run: which recorded training, which noise.
            number: Of the trial: two trials of one configuration may differ.
        """
        raise NotImplementedError

    def truth(self, values: Values, seed: int = 0) -> float:
        """The loss without noise; by this a run is judged, not by what it was told."""
        return self.loss(values, seed)

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The loss after each of `epochs` epochs; NaN from where it failed."""
        raise NotImplementedError(f"{self.name} has no curves")

    def reference(self, seed: int = 0) -> Reference:
        """Optimum and random search, for the same seed as `loss`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CurveProblem(Problem):
    """A problem with curves: its loss is the best epoch, and a training with a NaN has failed."""

    group: str = "curves"

    def loss(self, values: Values, seed: int = 0, number: int = 0) -> float:
        """The best epoch of a full training."""
        del number
        curve = self.curve(values, seed)
        return float(curve.min()) if np.isfinite(curve).all() else math.nan


def key_of(values: Values) -> int:
    """A number that hangs on the configuration alone, the same in every process."""
    text = repr(sorted((name, repr(value)) for name, value in values.items()))
    return zlib.crc32(text.encode())


def unguided(entries: Iterable[HyperParameter]) -> Space:
    """A space whose default configuration tells nothing: it is one random draw, always the same.

    Some searches begin with the default. Keras Tuner's own, each number's least value, is often
    the worst; the middle of all ranges is better than most, as many a bowl has its bottom near it.
    """

    def drawn(entry: HyperParameter) -> HyperParameter:
        config = entry.get_config()
        draw = zlib.crc32(f"default of {entry.name}".encode()) / 2**32
        config["default"] = entry.prob_to_value(draw)
        return type(entry).from_config(config)

    return Space(tuple(drawn(entry) for entry in entries))
