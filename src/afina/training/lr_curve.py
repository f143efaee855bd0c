"""The result of a learning-rate range test, and its plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from afina.errors import ArgumentError
from afina.training.lr_rules import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RAW, SMOOTH, CHOSEN = "#9aa5b1", "#1f6feb", "#d1495b"

BELOW = 20.0
"""A search should begin at the suggestion divided by this: long trainings end best with smaller
rates than short ones."""

EDGE = 2.0
"""A search should end at the rate of the smallest loss divided by this. At that rate itself most
trainings fail: smaller rates have brought the loss down."""


@dataclass(frozen=True, slots=True, eq=False)
class LearningRateCurve:
    """The result of `afina.lr_range_test`."""

    lrs: Floats
    """The learning rate of each step, evenly spaced on a log axis; (steps taken,)."""

    losses: Floats
    """The loss of each step's batch, before the step; (steps taken,)."""

    smoothed: Floats
    """The unbiased moving mean of the losses; (steps taken,)."""

    rule: str
    """The rule that `suggestion` follows."""

    suggestions: Mapping[str, float]
    """The learning rate that each rule suggests: valley, steep, minimum, slide."""

    stopped_early: bool
    """Whether the loss rose so far that the test ended before its largest rate."""

    batch_size: int
    """Samples in a step. A good rate depends on it: larger batches allow larger rates."""

    path: str
    """How the steps were trained: "fused", or "fit" with the reason why they were not fused."""

    @property
    def suggestion(self) -> float:
        """The learning rate to begin with."""
        return self.suggestions[self.rule]

    @property
    def low(self) -> float:
        """The smallest rate that a search should try: the suggestion / 20."""
        return self.suggestion / BELOW

    @property
    def high(self) -> float:
        """The largest rate that a search should try: half the rate of the smallest smoothed loss,
        but at least twice the suggestion."""
        return max(float(self.lrs[np.argmin(self.smoothed)]) / EDGE, 2.0 * self.suggestion)

    @property
    def bounds(self) -> tuple[float, float]:
        """`low` and `high`, for `hp.Float("learning_rate", *bounds, sampling="log")`."""
        return self.low, self.high

    def __str__(self) -> str:
        others = ", ".join(
            f"{name} {rate:.1e}" for name, rate in self.suggestions.items() if name != self.rule
        )
        end = "the loss blew up there" if self.stopped_early else "the loss did not blow up"
        return "\n".join(
            [
                f"Learning rate: {self.suggestion:.1e} ({self.rule}); {others}",
                f"Search between {self.low:.1e} and {self.high:.1e}, on a log scale",
                f"Tried {self.lrs[0]:.1e} to {self.lrs[-1]:.1e} in {len(self.lrs)} steps of "
                f"{self.batch_size} samples; {end}",
            ]
        )

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draws the losses over the learning rate, with the suggestion and the bounds.

        Args:
            path: The file to save it to, whose ending chooses PNG, PDF or SVG; None saves nothing.

        Returns:
            A Matplotlib figure, which a notebook shows.

        Raises:
            ArgumentError: Matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ArgumentError(
                "plot() draws with matplotlib, which is not installed. Install it, or afina[plot]."
            ) from error
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.lrs, self.losses, color=RAW, linewidth=0.8, label="loss of each batch")
        axes.plot(self.lrs, self.smoothed, color=SMOOTH, label="smoothed")
        label = f"{self.rule}: {self.suggestion:.1e}"
        axes.axvline(self.suggestion, color=CHOSEN, linestyle=":", label=label)
        label = f"search: {self.low:.1e} to {self.high:.1e}"
        axes.axvspan(self.low, self.high, color=CHOSEN, alpha=0.08, label=label)
        axes.set_xscale("log")
        axes.set_xlim(min(self.lrs[0], self.low), max(self.lrs[-1], self.high))
        least, most = float(self.smoothed.min()), float(self.smoothed.max())
        room = 0.08 * (most - least or 1.0)
        axes.set_ylim(least - room, most + room)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure
