"""What the curves of a training show: its best epoch, whether it overfits, and what to try."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from afina.space.priors import Role
from afina.trials import infer_metric_direction

Verdict = Literal["unknown", "fits", "overfits a little", "overfits"]
History = Mapping[str, Sequence[float]]

LITTLE, MUCH = 0.02, 0.08
"""Gaps between training and validation accuracy from which a network overfits a little, and from
which it overfits. The noise of a validation set of some thousand examples is about the first."""

LITTLE_LOSS, MUCH_LOSS = 0.10, 0.35
"""The same for a loss, as a share of the validation loss."""

REGULARIZERS: Mapping[Role, str] = {"dropout": "dropout", "weight_decay": "weight decay"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Facts about one training; `str` gives them in sentences."""

    epochs: int
    """How many epochs were trained."""

    best_epoch: int
    """The best epoch, from 1; 0 if nothing was trained."""

    metric: str
    """The metric of the gap: an accuracy if there is one, otherwise the loss."""

    train: float | None
    """The metric on training data at the best epoch."""

    validation: float | None
    """The metric on validation data at the best epoch."""

    gap: float | None
    """How much better the model is on training data: the difference of accuracies, or the
    difference of losses as a share of the validation loss. None without validation data."""

    unit: Literal["points", "of the loss"]

    turned: int | None
    """The epoch (from 1) from which the validation loss rose; None if it was still falling at the
    end, or is unknown."""

    lowest: int | None
    """The epoch (from 1) of the lowest validation loss."""

    verdict: Verdict

    remedies: tuple[str, ...]
    """What to try, the most promising first."""

    @property
    def advice(self) -> str:
        """The remedies as sentences."""
        return " ".join(self.remedies)

    def __str__(self) -> str:
        if not self.epochs:
            return "There are no curves to read: nothing was trained."
        if self.gap is None or self.train is None or self.validation is None:
            return (
                f"After {_epochs(self.best_epoch)} there are no validation figures that would show "
                "overfitting. Pass validation_data or validation_split."
            )
        return f"{self._fact()}, {_SENTENCES[self.verdict]} {self._trend()}".rstrip()

    def _fact(self) -> str:
        after = f"After {_epochs(self.best_epoch)}"
        assert self.train is not None
        assert self.validation is not None
        assert self.gap is not None
        if self.unit == "points":
            return (
                f"{after} it gets {self.train:.1%} of its training data right and "
                f"{self.validation:.1%} of data it has not seen: a gap of "
                f"{100 * self.gap:.1f} points"
            )
        return (
            f"{after} its loss is {self.train:.4g} on its training data and "
            f"{self.validation:.4g} on data it has not seen: a gap of {self.gap:.0%}"
        )

    def _trend(self) -> str:
        if self.lowest is None:
            return ""
        if self.turned is None:
            return "The loss on unseen data was still falling when training ended."
        return (
            f"The loss on unseen data is lowest after {_epochs(self.turned)} and rises from there."
        )


_SENTENCES: Mapping[Verdict, str] = {
    "unknown": "",
    "fits": "so it does not overfit.",
    "overfits a little": "so it overfits a little.",
    "overfits": "so it overfits: much of what it learnt holds for its training data only.",
}


def read_learning(
    history: History,
    objective: str,
    *,
    epoch: int | None = None,
    searched: Collection[Role] = (),
) -> Learning:
    """Reads the curves of a training.

    Args:
        history: Each metric's value after each epoch, as `History.history` of Keras holds it.
        objective: The metric that decides which epoch is best, such as "val_accuracy".
        epoch: The epoch (from 1) to describe; None means the best.
        searched: What the search's hyperparameters do. It was tried, so it is no remedy to add.

    Example:
        >>> read_learning({"accuracy": [0.5, 0.9], "val_accuracy": [0.5, 0.6]}, "val_accuracy").gap
        0.30000000000000004
    """
    epochs = max((len(values) for values in history.values()), default=0)
    best = epoch or _best(history, objective) or epochs
    metric, unit = _metric_of(history, objective)
    train, validation = _at(history, metric, best), _at(history, f"val_{metric}", best)
    lowest = _best(history, "val_loss")
    turned = lowest if lowest is not None and lowest < len(history["val_loss"]) else None
    gap: float | None = None
    verdict: Verdict = "unknown"
    if train is not None and validation is not None:
        gap, verdict = _judged(train, validation, unit)
    falling = lowest is not None and turned is None
    return Learning(
        epochs=epochs,
        best_epoch=best,
        metric=metric,
        train=train,
        validation=validation,
        gap=gap,
        unit=unit,
        turned=turned,
        lowest=lowest,
        verdict=verdict,
        remedies=_remedies(verdict, turned, searched, falling=falling),
    )


def _metric_of(history: History, objective: str) -> tuple[str, Literal["points", "of the loss"]]:
    """The metric of the gap: the objective if it is an accuracy, otherwise any accuracy."""
    wanted = objective.removeprefix("val_")
    shares = [
        name
        for name in (wanted, *history)
        if "acc" in name and name in history and not name.startswith("val_")
    ]
    return (shares[0], "points") if shares else ("loss", "of the loss")


def _judged(
    train: float, validation: float, unit: Literal["points", "of the loss"]
) -> tuple[float, Verdict]:
    if unit == "points":
        gap, little, much = train - validation, LITTLE, MUCH
    else:
        size = abs(validation) or 1.0
        gap, little, much = (validation - train) / size, LITTLE_LOSS, MUCH_LOSS
    if gap < little:
        return gap, "fits"
    return gap, "overfits a little" if gap < much else "overfits"


def _remedies(
    verdict: Verdict, turned: int | None, searched: Collection[Role], *, falling: bool
) -> tuple[str, ...]:
    found = []
    if turned is not None:
        found.append(
            f"Stop after {_epochs(turned)}, or let EarlyStopping(restore_best_weights=True) do it."
        )
    if verdict == "overfits":
        found += [
            _more_regularization(searched),
            "Search narrower or fewer layers: the network is large enough to memorise its data.",
            "Add data or data augmentation if you can: that helps most.",
        ]
    elif verdict == "overfits a little":
        found += _a_little(searched)
    elif verdict == "fits" and turned is None:
        found.append("A larger network may do better.")
    if falling:
        found.append("Train for more epochs: the validation loss was still falling.")
    return tuple(found)


def _more_regularization(searched: Collection[Role]) -> str:
    known = [name for role, name in REGULARIZERS.items() if role in searched]
    if not known:
        return "Search dropout (0 to 0.5) and weight decay."
    if len(known) == len(REGULARIZERS):
        return "The search has dropout and weight decay: see in its advice whether to widen them."
    other = next(name for role, name in REGULARIZERS.items() if role not in searched)
    return f"Search {other} too: the search has only {known[0]}."


def _a_little(searched: Collection[Role]) -> list[str]:
    if "dropout" not in searched:
        return ["A little dropout (0.1 to 0.3) may be worth a search."]
    if "weight_decay" not in searched:
        return ["A little weight decay (0.00001 to 0.001) may be worth a search."]
    return []


def _best(history: History, metric: str) -> int | None:
    """The epoch (from 1) of a metric's best value; the earliest if there are several."""
    values = np.array(history.get(metric, ()), dtype=float)
    if not np.isfinite(values).any():
        return None
    if infer_metric_direction(metric) == "max":
        return int(np.nanargmax(np.where(np.isfinite(values), values, np.nan))) + 1
    return int(np.nanargmin(np.where(np.isfinite(values), values, np.nan))) + 1


def _at(history: History, metric: str, epoch: int) -> float | None:
    values = history.get(metric, ())
    if not 0 < epoch <= len(values):
        return None
    value = float(values[epoch - 1])
    return value if math.isfinite(value) else None


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
