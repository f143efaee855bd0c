"""Hyperband: how many trials of how many epochs, and the schedule among a trial's values."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt

# (max_epochs, factor): {(bracket, round): (trials, initial epoch, epochs)}
TABLE = {
    (10, 3): {
        (2, 0): (12, 0, 2),
        (2, 1): (4, 2, 4),
        (2, 2): (2, 4, 10),
        (1, 0): (6, 0, 4),
        (1, 1): (2, 4, 10),
        (0, 0): (4, 0, 10),
    },
    (8, 2): {
        (3, 0): (8, 0, 1),
        (3, 1): (4, 1, 2),
        (3, 2): (2, 2, 4),
        (3, 3): (1, 4, 8),
        (2, 0): (6, 0, 2),
        (2, 1): (3, 2, 4),
        (2, 2): (2, 4, 8),
        (1, 0): (4, 0, 4),
        (1, 1): (2, 4, 8),
        (0, 0): (4, 0, 8),
    },
    (4, 2): {
        (2, 0): (4, 0, 1),
        (2, 1): (2, 1, 2),
        (2, 2): (1, 2, 4),
        (1, 0): (3, 0, 2),
        (1, 1): (2, 2, 4),
        (0, 0): (3, 0, 4),
    },
}
TOTALS = {(9, 3): 23, (20, 3): 30, (27, 3): 70, (10, 2): 46}


class Slope(kt.Hyperband):
    """The score is x, whatever the epochs: the smallest survives every round."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        return trial.hyperparameters.Float("x", 0, 1)


def space() -> Any:
    hp = kt.HyperParameters()
    hp.Float("x", 0, 1)
    return hp


def slope(project: dict[str, Any], **kwargs: Any) -> Any:
    tuner = Slope(hyperparameters=space(), seed=1, **project, **kwargs)
    tuner.search(verbose=0)
    return tuner


def values(tuner: Any) -> list[dict[str, Any]]:
    return [dict(trial.hyperparameters.values) for trial in tuner.oracle.trials.values()]


@pytest.mark.parametrize("setting", TABLE)
def test_brackets_and_rounds_have_their_sizes_and_epochs(
    setting: tuple[int, int], project: dict[str, Any]
) -> None:
    tuner = slope(project, max_epochs=setting[0], factor=setting[1])
    counted = Counter(
        (
            v["tuner/bracket"],
            v["tuner/round"],
            v["tuner/initial_epoch"],
            v["tuner/epochs"],
        )
        for v in values(tuner)
    )
    expected = {(b, r, start, end): n for (b, r), (n, start, end) in TABLE[setting].items()}
    assert dict(counted) == expected
    oracle = tuner.oracle
    planned = {
        (bracket, number): (oracle._get_size(bracket, number), oracle._get_epochs(bracket, number))
        for bracket in range(oracle._get_num_brackets())
        for number in range(oracle._get_num_rounds(bracket))
    }
    assert planned == {key: (n, end) for key, (n, start, end) in TABLE[setting].items()}


@pytest.mark.parametrize("setting", TOTALS)
def test_the_number_of_trials(setting: tuple[int, int], project: dict[str, Any]) -> None:
    tuner = slope(project, max_epochs=setting[0], factor=setting[1])
    assert len(tuner.oracle.trials) == TOTALS[setting]
    assert tuner.remaining_trials is None


def test_iterations_repeat_the_whole(project: dict[str, Any]) -> None:
    tuner = slope(project, max_epochs=4, factor=2, hyperband_iterations=2)
    assert len(tuner.oracle.trials) == 2 * 15


def test_the_largest_bracket_comes_first(project: dict[str, Any]) -> None:
    order = [v["tuner/bracket"] for v in values(slope(project, max_epochs=4, factor=2))]
    assert order == sorted(order, reverse=True)


def test_a_promoted_trial_is_a_new_one_that_names_its_parent(project: dict[str, Any]) -> None:
    tuner = slope(project, max_epochs=4, factor=2)
    promoted = [t for t in tuner.oracle.trials.values() if "tuner/trial_id" in t.hyperparameters]
    assert len(promoted) == 5
    for trial in promoted:
        parent = tuner.oracle.trials[trial.hyperparameters["tuner/trial_id"]]
        assert parent.trial_id != trial.trial_id
        assert parent.hyperparameters["x"] == trial.hyperparameters["x"]
        assert (
            parent.hyperparameters["tuner/epochs"] == trial.hyperparameters["tuner/initial_epoch"]
        )
        assert parent.hyperparameters["tuner/round"] == trial.hyperparameters["tuner/round"] - 1
        assert parent.hyperparameters["tuner/bracket"] == trial.hyperparameters["tuner/bracket"]


def test_fresh_trials_have_no_parent_and_start_at_zero(project: dict[str, Any]) -> None:
    fresh = [v for v in values(slope(project, max_epochs=4, factor=2)) if v["tuner/round"] == 0]
    assert len(fresh) == 10
    assert all("tuner/trial_id" not in v and v["tuner/initial_epoch"] == 0 for v in fresh)


def test_the_best_of_a_round_are_promoted(project: dict[str, Any]) -> None:
    tuner = slope(project, max_epochs=4, factor=2)
    for bracket in (2, 1):
        rounds = [
            [
                v["x"]
                for v in values(tuner)
                if (v["tuner/bracket"], v["tuner/round"]) == (bracket, number)
            ]
            for number in range(bracket + 1)
        ]
        for before, after in itertools.pairwise(rounds):
            assert sorted(after) == sorted(before)[: len(after)]


def test_for_a_maximized_objective_the_largest_are_promoted(project: dict[str, Any]) -> None:
    tuner = slope(project, objective=kt.Objective("score", "max"), max_epochs=4, factor=2)
    first, second = (
        [v["x"] for v in values(tuner) if (v["tuner/bracket"], v["tuner/round"]) == (2, number)]
        for number in (0, 1)
    )
    assert sorted(second) == sorted(first)[2:]


def test_best_hyperparameters_hold_the_schedule(project: dict[str, Any]) -> None:
    tuner = slope(project, max_epochs=4, factor=2)
    best = tuner.get_best_hyperparameters(num_trials=1)[0]
    assert {"tuner/epochs", "tuner/initial_epoch", "tuner/bracket", "tuner/round"} < set(
        best.values
    )
    assert best.get("tuner/epochs") in (1, 2, 4)
    assert best["tuner/epochs"] == best.values["tuner/epochs"]
    assert best.get("x") == min(v["x"] for v in values(tuner))


def test_the_schedule_is_no_part_of_the_space(project: dict[str, Any]) -> None:
    tuner = slope(project, max_epochs=4, factor=2)
    assert [entry.name for entry in tuner.oracle.get_space().space] == ["x"]


def test_summaries_show_the_schedule(project: dict[str, Any], capsys: Any) -> None:
    tuner = slope(project, max_epochs=4, factor=2)
    capsys.readouterr()
    tuner.results_summary(1)
    lines = capsys.readouterr().out.splitlines()
    assert [text for text in lines if text.startswith("tuner/bracket: ")]
    assert [text for text in lines if text.startswith("tuner/epochs: ")]


def test_a_project_of_hyperband_goes_on(project: dict[str, Any]) -> None:
    class Stopping(Slope):
        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            if len(self.oracle.end_order) == 6:
                raise KeyboardInterrupt

    settings = {"max_epochs": 4, "factor": 2, "seed": 1, **project}
    with pytest.raises(KeyboardInterrupt):
        Stopping(hyperparameters=space(), **settings).search(verbose=0)
    again = Slope(hyperparameters=space(), **settings)
    assert len(again.oracle.trials) == 6
    again.search(verbose=0)
    assert len(again.oracle.trials) == 15
    counted = Counter((v["tuner/bracket"], v["tuner/round"]) for v in values(again))
    assert dict(counted) == {key: size for key, (size, _, _) in TABLE[4, 2].items()}


def test_a_factor_below_two_is_refused() -> None:
    with pytest.raises(ValueError, match="factor"):
        kt.oracles.HyperbandOracle(objective="val_loss", factor=1)


class Watched(kt.HyperModel):
    """Writes down with what each training starts."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def build(self, hp: Any) -> Any:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Float("lr", 0.01, 0.1), momentum=0.5), "mse")
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        seen = {
            "start": kwargs["initial_epoch"],
            "end": kwargs["epochs"],
            "steps": int(model.optimizer.iterations),
            "before": model.get_weights(),
        }
        history = super().fit(hp, model, *args, **kwargs)
        self.seen.append({**seen, "epochs": list(history.epoch), "after": model.get_weights()})
        return history


def test_training_takes_its_epochs_from_the_schedule_and_goes_on_from_the_parent(
    project: dict[str, Any], line: tuple[Any, ...], mended: bool
) -> None:
    x, y = line
    hypermodel = Watched()
    tuner = kt.Hyperband(hypermodel, "val_loss", max_epochs=2, factor=2, seed=1, **project)
    # What search is told about epochs does not count.
    tuner.search(x, y, epochs=77, batch_size=24, validation_data=(x, y), verbose=0)
    assert [(s["start"], s["end"]) for s in hypermodel.seen] == [
        *((0, 1), (0, 1), (1, 2), (0, 2), (0, 2))
    ]
    assert [s["epochs"] for s in hypermodel.seen] == [[0], [0], [1], [0, 1], [0, 1]]

    trials = list(tuner.oracle.trials.values())
    parent = int(trials[2].hyperparameters["tuner/trial_id"])
    promoted = hypermodel.seen[2]
    for weights, expected in zip(promoted["before"], hypermodel.seen[parent]["after"], strict=True):
        np.testing.assert_allclose(weights, expected)
    # Keras Tuner starts the optimizer of a promoted model anew.
    assert promoted["steps"] == (2 if mended else 0)

    (model,) = tuner.get_best_models()
    best = tuner.oracle.get_best_trials()[0].score
    assert model.evaluate(x, y, verbose=0) == pytest.approx(best, rel=1e-4)
