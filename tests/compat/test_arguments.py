"""What `search` passes on: exactly what it was given, in every tuner and whoever takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner

MAKE: dict[str, Callable[..., Any]] = {
    "RandomSearch": lambda base, *args, **kw: base(*args, max_trials=2, **kw),
    "GridSearch": lambda base, *args, **kw: base(*args, max_trials=2, **kw),
    "BayesianOptimization": lambda base, *args, **kw: base(*args, max_trials=2, **kw),
    "Hyperband": lambda base, *args, **kw: base(*args, max_epochs=2, factor=2, **kw),
}
PLANNED = {"epochs", "initial_epoch"}  # what Hyperband adds


def build(hp: Any) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Choice("lr", [0.01, 0.02, 0.05])), "mse")
    return model


def goal() -> Any:
    return kt.Objective("score", "min")


@pytest.mark.parametrize("name", MAKE)
def test_a_run_trial_with_a_closed_signature_gets_what_search_was_given(
    name: str, project: dict[str, Any]
) -> None:
    base: Any = getattr(kt, name)
    arrived = []

    class Own(base):  # type: ignore[misc]
        def run_trial(
            self, trial: Any, x: Any, y: Any, batch_size: int = 32, epochs: int = 1
        ) -> Any:
            arrived.append((x, y, batch_size, epochs))
            return {"score": trial.hyperparameters.Float("a", 0.0, 1.0)}

    tuner = MAKE[name](Own, build, goal(), **project)
    tuner.search("x", "y", batch_size=8)
    assert set(arrived) == {("x", "y", 8, 1)}
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}


@pytest.mark.parametrize("given", [{}, {"verbose": 0}, {"verbose": 2, "batch_size": (8, 16)}])
@pytest.mark.parametrize("name", MAKE)
def test_a_fit_of_ones_own_gets_what_search_was_given_and_the_callbacks(
    name: str, given: dict[str, Any], project: dict[str, Any]
) -> None:
    arrived = []

    class Own(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            arrived.append((args, kwargs))
            for callback in kwargs.pop("callbacks"):
                callback.set_model(model)
                callback.on_epoch_end(0, {"score": 0.5})
            return {"score": float(len(arrived))}

    tuner = MAKE[name](getattr(kt, name), Own(), goal(), **project)
    tuner.search("x", "y", shuffle=None, **given)
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}
    for args, kwargs in arrived:
        assert args == ("x", "y")
        planned = PLANNED if name == "Hyperband" else set()
        assert set(kwargs) == {"shuffle", *given, *planned}
        assert {n: kwargs[n] for n in given} == given


def test_a_fit_with_a_closed_signature_is_called(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    class Own(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, x: Any, y: Any, callbacks: Any = None) -> Any:
            return model.fit(x, y, callbacks=callbacks, verbose=0)

    tuner = kt.RandomSearch(Own(), "loss", max_trials=2, **project)
    tuner.search(*line)
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert tuner.get_best_models()


def test_a_base_tuner_adds_nothing(project: dict[str, Any]) -> None:
    arrived = []

    class Spy(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            arrived.append((args, kwargs))
            return trial.hyperparameters.Float("a", 0.0, 1.0)  # type: ignore[no-any-return]

    tuner = Spy(kt.oracles.RandomSearchOracle(max_trials=1), **project)
    tuner.search(7, a=8)
    assert arrived == [((7,), {"a": 8})]


def test_a_subclass_of_the_tuner_for_scikit_learn_gets_what_keras_tuner_gives(
    project: dict[str, Any],
) -> None:
    from sklearn.linear_model import Ridge

    arrived = []

    class Own(kt.SklearnTuner):
        def run_trial(
            self, trial: Any, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
        ) -> Any:
            arrived.append((X, y, sample_weight, groups))
            return {"score": 0.5}

    tuner = Own(
        kt.oracles.RandomSearchOracle(kt.Objective("score", "max"), max_trials=1),
        lambda hp: Ridge(hp.Float("alpha", 0.1, 1.0)),
        **project,
    )
    tuner.search("x", "y")
    assert arrived == [("x", "y", None, None)]


def test_validation_may_be_made_inside_of_fit(project: dict[str, Any], line: Any) -> None:
    class Split(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, x: Any, y: Any, **kwargs: Any) -> Any:
            return model.fit(x[:32], y[:32], validation_data=(x[32:], y[32:]), **kwargs)

    tuner = kt.RandomSearch(Split(), "val_loss", max_trials=2, **project)
    tuner.search(*line, epochs=1, verbose=0)
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}


def test_folds_may_be_made_inside_of_fit(project: dict[str, Any], line: Any) -> None:
    scores = []

    class Folds(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, x: Any, y: Any, callbacks: Any = None) -> Any:
            found = []
            for fold in range(3):
                held = np.arange(len(x)) % 3 == fold
                fresh = self.build(hp)
                history = fresh.fit(
                    x[~held],
                    y[~held],
                    validation_data=(x[held], y[held]),
                    callbacks=callbacks,
                    verbose=0,
                )
                found.append(history.history["val_loss"][-1])
            scores.append(float(np.mean(found)))
            return scores[-1]

    tuner = kt.RandomSearch(Folds(), "val_loss", max_trials=2, **project)
    tuner.search(*line)
    assert [t.score for t in tuner.oracle.trials.values()] == scores
    assert len(tuner.get_best_models(2)) == 2


def test_arguments_may_mean_what_fit_says(project: dict[str, Any], line: Any) -> None:
    """Arrays of different lengths, choices in place of a number, callbacks that are none."""

    class Own(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, train: Any, val: Any, batch_size: Any, **kw: Any) -> Any:
            size = hp.Choice("batch_size", list(batch_size))
            targets = train.sum(axis=1), val.sum(axis=1)
            model.fit(train, targets[0], batch_size=size, verbose=0)
            return model.evaluate(val, targets[1], verbose=0)

    x, _ = line
    tuner = kt.RandomSearch(Own(), "val_loss", max_trials=2, **project)
    tuner.search(x[:30], x[30:], batch_size=(8, 16), verbose=0)
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert "batch_size" in tuner.get_best_hyperparameters()[0].values


@pytest.mark.parametrize("name", ["run_trial", "_build_and_fit_model"])
def test_arguments_may_mean_what_an_overridden_method_of_the_tuner_says(
    name: str, project: dict[str, Any], line: Any
) -> None:
    def own(self: Any, trial: Any, train: Any, val: Any, *args: Any, **kwargs: Any) -> Any:
        model = self._try_build(trial.hyperparameters)
        model.fit(train, train.sum(axis=1), verbose=0)
        return {"val_loss": model.evaluate(val, val.sum(axis=1), verbose=0)}

    tuner = type("Own", (kt.RandomSearch,), {name: own})(build, "val_loss", max_trials=1, **project)
    tuner.search(line[0][:30], line[0][30:], batch_size=(8, 16))
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"


def test_run_trial_may_score_what_the_class_has_trained(project: dict[str, Any], line: Any) -> None:
    class Scoring(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            (history,) = super().run_trial(trial, *args, **kwargs)
            return {"score": 2 * history.history["loss"][-1]}

    tuner = Scoring(build, goal(), max_trials=1, **project)
    tuner.search(*line, epochs=1, verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"


def test_an_oracle_that_was_silenced_stays_silent(project: dict[str, Any], capsys: Any) -> None:
    class Own(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            return {"score": trial.hyperparameters.Float("a", 0.0, 1.0)}

    tuner = Own(objective=goal(), max_trials=1, **project)
    tuner.oracle.verbose = 0
    tuner.search()
    assert capsys.readouterr().out == ""


def test_run_trial_that_reports_to_the_oracle_may_return_what_it_likes(
    project: dict[str, Any],
) -> None:
    class Reporting(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            self.oracle.update_trial(trial.trial_id, {"score": 0.25}, step=3)
            return "a text that means something to me"

    tuner = Reporting(objective=goal(), hypermodel=build, max_trials=1, **project)
    with pytest.warns(DeprecationWarning, match="update_trial"):
        tuner.search()
    (trial,) = tuner.oracle.trials.values()
    assert (trial.status, trial.score, trial.best_step) == ("COMPLETED", 0.25, 3)
