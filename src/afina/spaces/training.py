"""The hyperparameters of training in every ready-made space: optimizer, rate, batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina.errors import ArgumentError, check_whole, wrong
from afina.space import HyperParameters


@dataclass(frozen=True)
class Rates:
    """Learning rates of one optimizer."""

    low: float
    """The smallest rate to search, above 0."""

    high: float
    """The largest rate to search."""

    default: float
    """The rate to try first."""


OPTIMIZERS: dict[str, Rates] = {
    "adam": Rates(1e-4, 1e-2, 1e-3),
    "sgd": Rates(1e-3, 0.3, 0.03),
    "rmsprop": Rates(1e-4, 1e-2, 1e-3),
    "adamw": Rates(1e-4, 1e-2, 1e-3),
}
"""Each optimizer has its own rates: those of SGD are about thirty times those of Adam, so one
range for both would be too wide for either."""

SMALLEST_BATCH, LARGEST_BATCH, DEFAULT_BATCH = 16, 128, 32

FEWEST_BATCHES = 10
"""Least batches in an epoch: larger batches would leave too few steps."""


def make_optimizer(name: str, rate: float) -> Any:
    """An optimizer by its name in `OPTIMIZERS`; SGD has Nesterov momentum of 0.9, as is usual."""
    kinds = keras.optimizers
    if name == "sgd":
        return kinds.SGD(rate, momentum=0.9, nesterov=True)
    return {"adam": kinds.Adam, "rmsprop": kinds.RMSprop, "adamw": kinds.AdamW}[name](rate)


class StopEarly(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Ends a training that no longer improves.

    Without validation data it does nothing, as when the best model is retrained on all data.
    """

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Checks the validation loss of the epoch, if there is one."""
        if self.monitor in (logs or {}):
            super().on_epoch_end(epoch, logs)


@dataclass(frozen=True)
class TrainingSpace:
    """The part of a space that is the same for all kinds of models."""

    rates: Mapping[str, Rates]
    """The rates of each optimizer; the first optimizer is the default."""

    batch_sizes: tuple[int, int]
    """The smallest and the largest batch size, powers of two. If equal, it is not tuned."""

    patience: int | None
    """A training ends after this many epochs without a lower validation loss; None never."""

    def optimizer(self, hp: HyperParameters) -> tuple[str, float]:
        """An optimizer's name and learning rate; each optimizer has its own hyperparameter."""
        names = list(self.rates)
        if len(names) == 1:
            return names[0], _rate(hp, "learning_rate", self.rates[names[0]])
        name = hp.Choice("optimizer", names)
        found = {}
        for each, rates in self.rates.items():
            with hp.conditional_scope("optimizer", [each]):
                found[each] = _rate(hp, f"{each}_learning_rate", rates)
        return name, found[name]

    def batch_size(self, hp: HyperParameters) -> int:
        """The batch size, a power of two: with few sizes, compiled programs are reused."""
        low, high = self.batch_sizes
        if low == high:
            return low
        default = min(max(low, DEFAULT_BATCH), high)
        size: int = hp.Int("batch_size", low, high, step=2, sampling="log", default=default)
        return size

    def fit_arguments(self, hp: HyperParameters) -> dict[str, Any]:
        """The arguments for `model.fit`."""
        arguments: dict[str, Any] = {"batch_size": self.batch_size(hp)}
        if self.patience is not None:
            arguments["callbacks"] = [StopEarly("val_loss", patience=self.patience)]
        return arguments


def _rate(hp: HyperParameters, name: str, rates: Rates) -> float:
    if rates.low == rates.high:
        return rates.low
    rate: float = hp.Float(name, rates.low, rates.high, sampling="log", default=rates.default)
    return rate


def dropout(hp: HyperParameters, default: float = 0.2) -> float:
    """The dropout rate, in steps of 0.1.

    Each rate needs its own compiled program, and finer steps matter less than the seed.
    """
    rate: float = hp.Float("dropout", 0.0, 0.5, step=0.1, default=default)
    return rate


def training_space(
    samples: int,
    optimizers: Sequence[str],
    learning_rate: Any,
    batch_size: int | None,
    patience: int | None,
) -> TrainingSpace:
    """Checks the user's arguments, and chooses batch sizes for the number of samples; see `mlp`."""
    unknown = [name for name in optimizers if name not in OPTIMIZERS]
    if unknown or not optimizers or isinstance(optimizers, str):
        rule = f"must be some of {tuple(OPTIMIZERS)}"
        raise ArgumentError(wrong("optimizers", rule, optimizers))
    rates = {name: OPTIMIZERS[name] for name in optimizers}
    if isinstance(learning_rate, Mapping):
        rates.update({name: _rates(pair) for name, pair in learning_rate.items() if name in rates})
    elif learning_rate is not None and learning_rate != "auto":
        rates = dict.fromkeys(rates, _rates(learning_rate))
    if batch_size is not None:
        batch_size = check_whole("batch_size", batch_size)
    if patience is not None:
        patience = check_whole("patience", patience, least=0)
    if batch_size is not None:
        sizes = (batch_size, batch_size)
    else:
        sizes = (SMALLEST_BATCH, power_of_two(samples // FEWEST_BATCHES, LARGEST_BATCH))
    return TrainingSpace(rates, sizes, patience)


def _rates(given: Any) -> Rates:
    pair = (given, given) if isinstance(given, int | float) else given
    try:
        low, high = map(float, pair)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low <= high < float("inf"):
        rule = 'must be "auto", a number, or a pair of bounds above 0'
        raise ArgumentError(wrong("learning_rate", rule, given, "For example (1e-4, 1e-2)."))
    return Rates(low, high, (low * high) ** 0.5)


def power_of_two(at_most: int, largest: int, least: int = SMALLEST_BATCH) -> int:
    """The largest power of two up to `at_most` and `largest`, but at least `least`.

    Example:
        >>> power_of_two(100, 512)
        64
    """
    size = least
    while 2 * size <= min(at_most, largest):
        size *= 2
    return size
