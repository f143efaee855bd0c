"""What every ready-made space asks of how a model is trained: optimizer, rate, batches."""

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
    """The smallest that is searched, above 0."""

    high: float
    """The largest."""

    default: float
    """Tried first."""


OPTIMIZERS: dict[str, Rates] = {
    "adam": Rates(1e-4, 1e-2, 1e-3),
    "sgd": Rates(1e-3, 0.3, 0.03),
    "rmsprop": Rates(1e-4, 1e-2, 1e-3),
    "adamw": Rates(1e-4, 1e-2, 1e-3),
}
"""Each has rates of its own: those of SGD are some thirty times those of Adam, so one range for
both would be too wide for either."""

SMALLEST_BATCH, LARGEST_BATCH, DEFAULT_BATCH = 16, 128, 32

FEWEST_BATCHES = 10
"""In an epoch: larger batches would leave too few steps."""


def make_optimizer(name: str, rate: float) -> Any:
    """The optimizer of a name in `OPTIMIZERS`. SGD has Nesterov's momentum 0.9, without which it
    is hardly ever used."""
    kinds = keras.optimizers
    if name == "sgd":
        return kinds.SGD(rate, momentum=0.9, nesterov=True)
    return {"adam": kinds.Adam, "rmsprop": kinds.RMSprop, "adamw": kinds.AdamW}[name](rate)


class StopEarly(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Ends a training that has stopped getting better; does nothing where there is no validation,
    as when the winner is trained again on all data."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the epoch's numbers."""
        if self.monitor in (logs or {}):
            super().on_epoch_end(epoch, logs)


@dataclass(frozen=True)
class TrainingSpace:
    """The part of a space that is the same for all kinds of models."""

    rates: Mapping[str, Rates]
    """Of each optimizer that is tried, the first first."""

    batch_sizes: tuple[int, int]
    """Smallest and largest, powers of two; or the same number twice, which is not tuned."""

    patience: int | None
    """Epochs without a better validation loss after which a training ends; None for no end."""

    def optimizer(self, hp: HyperParameters) -> tuple[str, float]:
        """Its name and its learning rate; each optimizer's rate is a hyperparameter of its own."""
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
        """A power of two: few values, so that compiled programs are used again."""
        low, high = self.batch_sizes
        if low == high:
            return low
        default = min(max(low, DEFAULT_BATCH), high)
        size: int = hp.Int("batch_size", low, high, step=2, sampling="log", default=default)
        return size

    def fit_arguments(self, hp: HyperParameters) -> dict[str, Any]:
        """For `model.fit`."""
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
    """In steps of 0.1: each rate is a compiled program of its own, and finer ones differ by less
    than two trainings with different seeds do."""
    rate: float = hp.Float("dropout", 0.0, 0.5, step=0.1, default=default)
    return rate


def training_space(
    samples: int,
    optimizers: Sequence[str],
    learning_rate: Any,
    batch_size: int | None,
    patience: int | None,
) -> TrainingSpace:
    """Checks what the user gave and looks at how many samples there are; see `mlp`."""
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
        raise ArgumentError(wrong("learning_rate", rule, given, "Such as (1e-4, 1e-2)."))
    return Rates(low, high, (low * high) ** 0.5)


def power_of_two(at_most: int, largest: int, least: int = SMALLEST_BATCH) -> int:
    """The largest power of two that is neither above `at_most` nor above `largest`; at least
    `least`.

    Example:
        >>> power_of_two(100, 512)
        64
    """
    size = least
    while 2 * size <= min(at_most, largest):
        size *= 2
    return size
