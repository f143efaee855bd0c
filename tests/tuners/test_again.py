"""Advice, the search after it, narrowing by stages, and the report, from the tuner."""

import math

import pytest

import afina as kt
from afina.errors import ArgumentError


class Told(kt.engine.base_tuner.BaseTuner):
    """Trains nothing: the loss follows from the values."""

    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        return {"val_loss": (math.log10(hp.get("rate")) + 2) ** 2 + 0.01 * hp.get("units") / 64}


def build(hp):
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Int("units", 8, 64)
    hp.Boolean("bias")


def tuner_at(place, **kwargs):
    oracle = kt.oracles.RandomSearch(
        objective=kt.Objective("val_loss", "min"), seed=0, max_trials=40
    )
    return Told(oracle, build, directory=str(place), project_name="first", **kwargs)


def test_the_next_search_goes_on_with_a_model_of_all_trials_and_is_better(tmp_path):
    tuner = tuner_at(tmp_path)
    tuner.search(1, verbose=0)
    found = tuner.advice()
    assert found.importances.single[0].names == ("rate",)
    again = tuner.search_again(found)
    rates = [trial.values["rate"] for trial in again.oracle.study.trials.values()]
    assert len(rates) == 40
    entry = next(each for each in found.after if each.name == "rate")
    assert 1e-5 < entry.min_value < entry.max_value < 1.0
    inside = [entry.min_value <= rate <= entry.max_value for rate in rates]
    assert sum(inside) > 20  # by the model's own choice
    whole = next(each for each in again.oracle.get_space().space if each.name == "rate")
    assert (whole.min_value, whole.max_value) == (1e-5, 1.0)  # nothing is cut
    assert len(again.oracle.known) == 40

    def mean(each):
        losses = [trial.loss for trial in each.oracle.study.trials.values()]
        return sum(losses) / len(losses)

    assert mean(again) < mean(tuner) / 2
    assert len(tuner.oracle.trials) == 40
    assert again.project_dir.endswith("first-again")
    assert again.oracle.known


def test_the_next_search_shares_nothing_that_changes_with_the_first(tmp_path):
    tuner = tuner_at(tmp_path)
    tuner.search(1, verbose=0)
    before = tuner.oracle.stop_reason
    again = tuner.search_again(max_trials=2)
    assert (len(tuner.oracle.trials), len(again.oracle.trials)) == (40, 2)
    assert tuner.oracle.stop_reason == before == "max_trials=40 trials have been run"
    assert again.oracle.stop_reason == "max_trials=2 trials have been run"
    ours, theirs = vars(tuner.oracle), vars(again.oracle)
    shared = {n for n in ours if isinstance(ours[n], dict | set) and ours[n] is theirs.get(n)}
    assert not shared
    assert tuner.oracle.ids is not again.oracle.ids
    assert again.search_again(max_trials=1).project_dir.endswith("first-again-again")


def test_knowledge_of_the_old_trials_is_used(tmp_path):
    oracle = kt.oracles.BayesianOptimization(
        objective=kt.Objective("val_loss", "min"), seed=0, max_trials=12
    )
    tuner = Told(oracle, build, directory=str(tmp_path), project_name="first")
    tuner.search(1, verbose=0)
    again = tuner.search_again(max_trials=3)
    first = again.oracle.study.trials[0]  # no new start from the default: the model goes on
    assert first.values["rate"] != 1e-5
    assert first.loss < 1


def test_without_a_search_there_is_nothing_to_go_on_from(tmp_path):
    with pytest.raises(ArgumentError, match="search_again: needs the data"):
        tuner_at(tmp_path).search_again()
    assert "at least 10 are needed" in str(tuner_at(tmp_path).advice())


def test_the_report_is_written_from_the_tuner(tmp_path):
    tuner = tuner_at(tmp_path)
    tuner.search(1, verbose=0)
    page = tuner.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>The best configuration: trial " in page
    assert "epochs in" in page


@pytest.mark.parametrize("narrow", [5, "always", True])
def test_a_wrong_stage_is_refused(tmp_path, narrow):
    with pytest.raises(ArgumentError, match="narrow"):
        kt.RandomSearch(lambda hp: None, "val_loss", directory=tmp_path, narrow=narrow)


class Quick(kt.HyperModel):
    """A model of two numbers; its accuracy follows from the rate, and nothing is trained."""

    def build(self, hp):
        import keras

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        hp.Float("rate", 1e-5, 1.0, sampling="log")
        return model

    def fit(self, hp, model, *args, **kwargs):
        return {"val_accuracy": 1 - abs(math.log10(hp.get("rate")) + 2) / 5}


@pytest.mark.parametrize("narrow", [None, 10])
def test_hyperband_searches_again_and_keeps_the_models_of_its_open_brackets(tmp_path, narrow):
    tuner = kt.Hyperband(
        Quick(),
        "val_accuracy",
        max_epochs=3,
        seed=0,
        directory=str(tmp_path),
        project_name="first",
        narrow=narrow,
        workers=1,
    )
    tuner.search([0.0], [0.0], verbose=0)
    again = tuner.search_again()
    assert again.oracle.get_best_trials(1)[0].score > 0.5
