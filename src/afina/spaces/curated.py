"""`CuratedModel`: the hypermodel that ready-made spaces return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import keras

from afina.space import HyperParameters
from afina.spaces.target import Target
from afina.spaces.training import Rates, TrainingSpace, make_optimizer
from afina.training.data import check_data
from afina.training.lr_curve import LearningRateCurve
from afina.training.lr_range import lr_range_test
from afina.tuners.hypermodel import HyperModel

Chosen = Mapping[str, Any]
"""Values of hyperparameters by name; None for inactive ones."""


class Body(Protocol):
    """The layers between a model's inputs and its last layer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""

    def ask(self, hp: HyperParameters) -> Chosen:
        """Asks for all hyperparameters of the layers."""

    def layers(self, chosen: Chosen, outputs: int) -> list[Any]:
        """Makes the layers.

        Args:
            chosen: What `ask` returned.
            outputs: Units of the last layer, which follows them.
        """


class CuratedModel(HyperModel):
    """A hypermodel whose search space fits the given data; pass it to any tuner.

    Args:
        body: The layers and their hyperparameters.
        target: What to predict.
        training: Optimizers, learning rates, batch sizes.
        name: The hypermodel's name.

    Attributes:
        curves: Results of learning-rate range tests, by optimizer; empty without a test.
    """

    def __init__(self, body: Body, target: Target, training: TrainingSpace, name: str) -> None:
        super().__init__(name)
        self.body = body
        self.target = target
        self.training = training
        self.curves: dict[str, LearningRateCurve] = {}

    def declare_hyperparameters(self, hp: HyperParameters) -> None:
        """Asks for all hyperparameters, so that a tuner need not build models to find them."""
        self.body.ask(hp)
        self.training.optimizer(hp)
        self.training.batch_size(hp)

    def build(self, hp: HyperParameters) -> keras.Model:
        """The compiled model for the values in `hp`."""
        chosen = self.body.ask(hp)
        optimizer, rate = self.training.optimizer(hp)
        self.training.batch_size(hp)
        layers = self.body.layers(chosen, self.target.outputs)
        model = keras.Sequential([keras.Input(self.body.shape), *layers, *self.target.layers()])
        model.compile(make_optimizer(optimizer, rate), **self.target.compiled())
        return model

    def fit_arguments(self, hp: HyperParameters) -> dict[str, Any]:
        """The arguments for `model.fit`: batch size and early stopping."""
        return self.training.fit_arguments(hp)

    def find_learning_rates(self, x: Any, y: Any, *, seed: int = 0) -> None:
        """Sets each optimizer's bounds by a learning-rate range test of the default model.

        Args:
            x: Inputs.
            y: Targets.
            seed: The seed of the range tests; see `afina.lr_range_test`.
        """
        rates = dict(self.training.rates)
        for optimizer in rates:
            hp = HyperParameters()
            if len(rates) > 1:
                hp.values["optimizer"] = optimizer
            size = self.training.batch_size(HyperParameters())
            curve = lr_range_test(self, x, y, hp=hp, batch_size=size, seed=seed)
            self.curves[optimizer] = curve
            rates[optimizer] = Rates(curve.low, curve.high, curve.suggestion)
        self.training = replace(self.training, rates=rates)


def curated(
    body: Body,
    target: Target,
    training: TrainingSpace,
    name: str,
    x: Any,
    y: Any,
    learning_rate: Any,
) -> CuratedModel:
    """Makes the hypermodel; with `learning_rate="auto"` it measures the bounds first."""
    check_data((), {"x": x, "y": y})
    model = CuratedModel(body, target, training, name)
    if isinstance(learning_rate, str):
        model.find_learning_rates(x, y)
    return model
