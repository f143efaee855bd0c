"""Every way to train keeps what trainers promise, and one that breaks a promise is found out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

from afina.testing import TRAINER_CHECKS, check_trainer, trainers
from afina.training import CannotTrainError, Engine, PlainTrainer, Trainer
from afina.training.choice import fused_trainer

WAYS = {
    "fused": lambda: fused_trainer(Engine(), always=True),  # by what Keras runs on
    "fit": PlainTrainer,
    "fit as it is": lambda: PlainTrainer(hastens=False),
}


@pytest.mark.first(
    *(f"{way}-{check.__name__}" for way in ("fused", "fit") for check in TRAINER_CHECKS)
)
@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_our_own_trainers_keep_what_trainers_promise(way: str, check: Any) -> None:
    check(WAYS[way]())


class Honest:
    """A trainer of somebody else's: batch by batch, and picky."""

    name = "honest"

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        return None if len(args) == 2 else "it wants x and y"

    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        with account.counted("train"):
            return model.fit(*args, **kwargs)


def test_a_trainer_from_outside_the_package_can_be_checked() -> None:
    assert isinstance(Honest(), Trainer)
    check_trainer(Honest)


class Nameless(Honest):
    name = ""


class OneEpoch(Honest):
    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        return model.fit(*args, **{**kwargs, "epochs": 1})


class Unvalidated(Honest):
    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        return model.fit(*args, **{**kwargs, "validation_split": 0.0})


class Halved(Honest):
    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        return model.fit(args[0][::2], args[1][::2], **kwargs)


class Unseeded(Honest):
    seeds = iter(range(100))

    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        keras.utils.set_random_seed(next(self.seeds))
        return model.fit(*args, **kwargs)


class Silent(Honest):
    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        return model.fit(*args, **{**kwargs, "callbacks": []})


class Swallowing(Honest):
    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        try:
            return super().fit(model, args, kwargs, account)
        except ZeroDivisionError as error:
            raise CannotTrainError("something went wrong") from error


class Wordless(Honest):
    def why_not(self, model: keras.Model, args: Any, kwargs: Any) -> str | None:
        return None if len(args) == 2 else ""


class Drawing(Honest):
    def why_not(self, model: keras.Model, args: Any, kwargs: Any) -> str | None:
        np.random.rand()
        return super().why_not(model, args, kwargs)


class TooLate(Honest):
    def fit(self, model: keras.Model, args: Sequence[Any], kwargs: Any, account: Any) -> Any:
        result = super().fit(model, args, kwargs, account)
        if model.run_eagerly:
            raise CannotTrainError("the model is eager")
        return result


TRAINS = trainers.check_trains_and_returns_a_history_of_all_metrics
REFUSES = trainers.check_refuses_with_a_sentence_and_changes_nothing

BROKEN = {
    Nameless: (trainers.check_has_a_name, "name must not be empty"),
    OneEpoch: (TRAINS, "three epochs must be trained"),
    Unvalidated: (TRAINS, "must return a History"),
    Halved: (trainers.check_trains_as_fit_does, "must be that of fit"),
    Unseeded: (
        trainers.check_same_seed_same_numbers,
        "the same seed must give the same numbers",
    ),
    Silent: (
        trainers.check_calls_callbacks_as_keras_does,
        "callbacks must be called as by fit",
    ),
    Swallowing: (
        trainers.check_lets_errors_of_callbacks_through,
        "a callback's error must get through",
    ),
    Wordless: (REFUSES, "must say why not"),
    Drawing: (REFUSES, "must draw no random numbers"),
    TooLate: (REFUSES, "must leave the model as it was"),
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_trainer_that_breaks_a_promise_is_told_which(broken: type[Honest]) -> None:
    check, said = BROKEN[broken]
    with pytest.raises(AssertionError, match=said):
        check(broken())


def test_all_checks_are_run_until_one_fails() -> None:
    own = [check for name, check in vars(trainers).items() if name.startswith("check_")]
    assert [check for check in own if check is not check_trainer] == TRAINER_CHECKS
    with pytest.raises(AssertionError, match=BROKEN[Unvalidated][1]):
        check_trainer(Unvalidated)
