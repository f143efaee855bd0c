"""What people ask of a running search: pause and resume a trial, train one longer, other ranges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

import afina
from afina.run import Processes
from afina.store import SqliteStore
from afina.study.requests import Requests
from afina.training.interim import INTERIM
from afina.trials import Status
from afina.trials.trial import BOOSTED, PAUSED
from tests.tuners import models


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search looks for requests after each epoch, however soon."""
    monkeypatch.setattr("afina.study.requests.PAUSE", 0.0)


def build(hp: Any) -> keras.Model:
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(hp.Int("units", 4, 8, step=4), activation="relu"),  # two programs
        keras.layers.Dropout(0.3),
        keras.layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    adam = keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-2, sampling="log"))
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def person(folder: Path) -> Requests:
    """Somebody at another process, as the dashboard is."""
    return Requests(SqliteStore(folder / "p", worker="person"))


def tuner_in(folder: Path, kind: Any = afina.RandomSearch, **options: Any) -> Any:
    settings = {"seed": 5, "directory": folder, "project_name": "p", "group_trials": 1}
    if "executor" not in options:
        settings["workers"] = 1  # one after the other: the order of the trials is asked for
    if kind is afina.RandomSearch:
        settings["max_trials"] = 3
    return kind(build, "val_loss", **{**settings, **options})


def searched(tuner: Any, **fit: Any) -> Any:
    given = {"epochs": 5, "validation_split": 0.25, "verbose": 0, "batch_size": 16, **fit}
    tuner.search(*models.data(), **given)
    return tuner


def after_epoch(
    tuner: Any, number: int, epoch: int, do: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Has a person do something when a trial is about to report an epoch for the first time."""
    done: list[bool] = []

    def epoch_ended(trial: Any, execution: int, at: int, metrics: Any) -> Any:
        if (tuner.oracle.number_of(trial.trial_id), at) == (number, epoch) and not done:
            done.append(True)
            do()
        return original(trial, execution, at, metrics)

    original = tuner._epoch_ended
    monkeypatch.setattr(tuner, "_epoch_ended", epoch_ended)
    return tuner


def picture(tuner: Any) -> list[Any]:
    """The results, and the weights of the best model."""
    trials = tuner.oracle.search_state.trials.values()
    [model] = tuner.get_best_models(1)
    found = [(t.values, t.score, t.best_step, t.curve) for t in trials]
    return [*found, [w.tolist() for w in model.get_weights()]]


@pytest.mark.first("auto")
@pytest.mark.parametrize("training", ["fit", "auto"])
def test_a_paused_trial_waits_and_ends_with_the_same_numbers_when_it_is_resumed(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = picture(searched(tuner_in(tmp_path / "straight", training=training)))
    tuner = tuner_in(tmp_path, training=training)
    after_epoch(tuner, 1, 2, lambda: person(tmp_path).ask_pause(1), monkeypatch)
    state = searched(tuner).oracle.search_state
    assert [t.status for t in state.trials.values()] == [
        Status.COMPLETED, Status.WAITING, Status.COMPLETED,
    ]  # fmt: skip
    assert state.trials[1].failure is None
    assert PAUSED in state.trials[1].notes
    assert state.stop_reason == "max_trials=3 trials have been run; paused: trial 1"
    interim = next((tmp_path / "p").glob(f"trial_*1/{INTERIM}"))
    person(tmp_path).ask_resume(1)
    resumed = searched(tuner_in(tmp_path, training=training))
    assert picture(resumed) == straight
    assert "after epoch 3" in resumed.oracle.search_state.trials[1].notes["resumed"]
    assert not interim.exists()


def test_a_trial_that_is_resumed_while_the_search_runs_is_trained_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = tuner_in(tmp_path)
    after_epoch(tuner, 0, 1, lambda: person(tmp_path).ask_pause(0), monkeypatch)
    after_epoch(tuner, 1, 1, lambda: person(tmp_path).ask_resume(0), monkeypatch)
    state = searched(tuner).oracle.search_state
    assert list(state.ended) == [1, 0, 2]
    assert state.trials[0].attempt == 1
    assert len(state.trials[0].curve) == 5


def test_a_paused_trial_is_not_taken_by_a_resumed_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = tuner_in(tmp_path)
    after_epoch(tuner, 0, 1, lambda: person(tmp_path).ask_pause(0), monkeypatch)
    searched(tuner)
    again = searched(tuner_in(tmp_path, max_trials=4)).oracle.search_state
    assert again.trials[0].status is Status.WAITING
    assert [again.trials[n].status for n in (1, 2, 3)] == [Status.COMPLETED] * 3


def test_hyperband_ends_where_only_a_paused_trial_is_left_and_goes_on_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halving(folder: Path) -> Any:
        return tuner_in(folder, afina.Hyperband, max_epochs=4, factor=2)

    straight = picture(searched(halving(tmp_path / "straight")))
    tuner = halving(tmp_path)
    longest = max(t[0] for t in enumerate(straight[:-1]) if len(t[1][3]) > 1)
    after_epoch(tuner, longest, 0, lambda: person(tmp_path).ask_pause(longest), monkeypatch)
    # The trial's own first epoch may be a later one: a promoted trial goes on where it stopped.
    for epoch in range(1, 4):
        after_epoch(tuner, longest, epoch, lambda: person(tmp_path).ask_pause(longest), monkeypatch)
    state = searched(tuner).oracle.search_state
    assert state.trials[longest].status is Status.WAITING
    assert f"trial {longest}" in state.stop_reason
    person(tmp_path).ask_resume(longest)
    assert sorted(picture(searched(halving(tmp_path)))[:-1], key=str) == sorted(
        straight[:-1], key=str
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"checkpoint_every": None}, "checkpoint_every=None"), ({"cv": 2}, "cross-validated")],
)
def test_a_search_that_saves_no_running_trial_says_so_and_trains_on(
    options: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = tuner_in(tmp_path, max_trials=1, **options)
    after_epoch(tuner, 0, 1, lambda: person(tmp_path).ask_pause(0), monkeypatch)
    fit = {"validation_split": 0.0} if "cv" in options else {}
    state = searched(tuner, **fit).oracle.search_state
    assert state.trials[0].status is Status.COMPLETED
    assert reason in state.store.note("plan")["cannot"]["pause"]


def test_a_boosted_trial_continues_the_checkpoint_and_the_algorithm_never_hears_of_it(
    tmp_path: Path,
) -> None:
    options = {"max_trials": 4}
    plain = searched(tuner_in(tmp_path / "plain", afina.BayesianOptimization, **options))
    tuner = searched(tuner_in(tmp_path, afina.BayesianOptimization, **options))
    person(tmp_path).ask_boost(2, 3)
    state = searched(tuner_in(tmp_path, afina.BayesianOptimization, **options)).oracle.search_state
    assert len(state.trials) == 5
    longer = state.trials[4]
    assert longer.notes[BOOSTED] == "3 epochs more for trial 2"
    assert (longer.parent, longer.start_epoch, longer.end_epoch) == (2, 5, 8)
    assert longer.values == state.trials[2].values
    assert len(longer.curve) == 3
    assert longer.curve[0] < state.trials[2].curve[0]  # it did not begin anew
    assert state.algorithm_state == plain.oracle.search_state.algorithm_state
    assert state.trials[0].score == tuner.oracle.search_state.trials[0].score
    again = tuner_in(tmp_path, afina.BayesianOptimization, **options).oracle.search_state
    assert again.algorithm_state == state.algorithm_state  # also when it is told anew


def test_a_boost_without_a_checkpoint_is_answered_with_the_reason(tmp_path: Path) -> None:
    searched(tuner_in(tmp_path, keep_checkpoints=1))
    state = tuner_in(tmp_path).oracle.search_state
    worst = max(state.trials.values(), key=lambda trial: trial.loss)
    person(tmp_path).ask_boost(worst.number, 2)
    person(tmp_path).ask_boost(99, 2)
    again = searched(tuner_in(tmp_path, keep_checkpoints=1)).oracle.search_state
    assert len(again.trials) == 3
    first, second = again.store.note("requests")["refused"]
    assert first == (
        f"Trial {worst.number} does not train for longer: it has left no checkpoint "
        "(keep_checkpoints=1 keeps those of the best trials only)."
    )
    assert second == "Trial 99 does not train for longer: there is no such trial."


def test_the_checkpoint_of_a_trial_that_is_to_train_longer_is_kept(tmp_path: Path) -> None:
    searched(tuner_in(tmp_path, max_trials=1, keep_checkpoints=1))
    person(tmp_path).ask_boost(0, 2)
    again = tuner_in(tmp_path, max_trials=3, keep_checkpoints=1)
    state = searched(again).oracle.search_state
    assert not state.store.note("requests").get("refused")
    assert [t.parent for t in state.trials.values()][:2] == [None, 0]


@pytest.mark.service
def test_a_trial_that_another_process_trains_is_paused_and_resumed(tmp_path: Path) -> None:
    straight = searched(tuner_in(tmp_path / "straight", max_trials=1), epochs=30)
    tuner = tuner_in(tmp_path, max_trials=1, executor=Processes(1))
    person(tmp_path)
    asking = threading.Thread(target=_pause_once_it_runs, args=(tmp_path,), daemon=True)
    asking.start()
    state = searched(tuner, epochs=30).oracle.search_state
    asking.join(60)
    assert state.trials[0].status is Status.WAITING
    assert next((tmp_path / "p").glob(f"trial_*0/{INTERIM}")).exists()
    person(tmp_path).ask_resume(0)
    resumed = searched(tuner_in(tmp_path, max_trials=1, executor=Processes(1)), epochs=30)
    trial = resumed.oracle.search_state.trials[0]
    assert "after epoch" in trial.notes["resumed"]
    assert trial.score == straight.oracle.search_state.trials[0].score


def _pause_once_it_runs(folder: Path) -> None:
    store = SqliteStore(folder / "p", worker="watching")
    while not (store.header() and store.trials()):
        time.sleep(0.02)
    person(folder).ask_pause(0)


def _of_one_program(hp: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, activation="softmax")])
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


@pytest.mark.service
def test_a_trial_of_a_group_is_paused_alone_and_ends_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grouped(folder: Path) -> Any:
        return afina.RandomSearch(
            _of_one_program, "val_loss", max_trials=3, seed=5, directory=folder,
            project_name="p", group_trials=3,
        )  # fmt: skip

    straight = picture(searched(grouped(tmp_path / "straight")))
    tuner = grouped(tmp_path)
    after_epoch(tuner, 1, 2, lambda: person(tmp_path).ask_pause(1), monkeypatch)
    state = searched(tuner).oracle.search_state
    assert [t.status for t in state.trials.values()] == [
        Status.COMPLETED, Status.WAITING, Status.COMPLETED,
    ]  # fmt: skip
    assert state.trials[0].notes["group"] == "3 together"
    person(tmp_path).ask_resume(1)
    for one, other in zip(picture(searched(grouped(tmp_path)))[:3], straight[:3], strict=True):
        assert (one[0], one[2]) == (other[0], other[2])
        assert one[3] == pytest.approx(other[3], rel=1e-5)
