"""Stores and executors of somebody else, and the names of ours, as arguments of the tuners."""

import os
import threading

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner
from afina.errors import ArgumentError
from afina.run import Processes, Serial, Threads
from afina.store import MemoryStore, SqliteStore, open_store
from afina.testing import check_executor
from afina.tuners.execution import InTurns
from tests.plugins import Counting, Pool, ReversedPairs, name_of
from tests.tuners import models

X, Y = models.data(64)
PARENT = "tuner/trial_id"


def build(hp):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")]
    )
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def search(tuner):
    tuner.search(X, Y, epochs=2, validation_split=0.25, verbose=0)
    return tuner


def random_search(folder, **kwargs):
    return kt.RandomSearch(
        build,
        **{"objective": "val_loss", "max_trials": 3, "seed": 1, "directory": folder, **kwargs},
    )


def found(tuner):
    return sorted(
        (t.trial_id, sorted(t.hyperparameters.values.items()), t.status, t.score)
        for t in tuner.oracle.trials.values()
    )


class Toy(kt.RandomSearch):
    """Scores without a training."""

    def __init__(self, folder, **kwargs):
        self.ran = []
        given = {"objective": kt.Objective("loss", "min"), "max_trials": 4, "seed": 3, **kwargs}
        super().__init__(declare, directory=folder, **given)

    def run_trial(self, trial, *args, **kwargs):
        self.ran.append((trial.trial_id, threading.current_thread().name, os.getpid()))
        return trial.hyperparameters.get("x") ** 2


def declare(hp):
    hp.Float("x", -1.0, 1.0)


# -- executors ------------------------------------------------------------------------------------


def test_every_executor_trains_the_same_trials_to_the_bit(tmp_path):
    executors = [None, "serial", "threads", Threads(3), ReversedPairs(), Pool()]
    tuners = [
        search(random_search(tmp_path, executor=executor, project_name=str(number)))
        for number, executor in enumerate(executors)
    ]
    first = found(tuners[0])
    assert len(first) == 3
    assert [found(tuner) for tuner in tuners] == [first] * len(tuners)
    notes = {trial.notes["training"] for tuner in tuners for trial in tuner.oracle.trials.values()}
    assert notes == {"fused"}


@pytest.mark.service  # many processes
def test_processes_train_elsewhere_with_the_same_results_and_report_to_the_same_store(tmp_path):
    class Elsewhere(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            trial.notes["process"] = str(os.getpid())
            return super().run_trial(trial, *args, **kwargs)

    def make(**kwargs):
        return search(
            Elsewhere(build, "val_loss", max_trials=2, seed=1, directory=tmp_path, **kwargs)
        )

    here = make(project_name="here")
    store = Counting()
    there = make(project_name="there", executor=Processes(1), store=store)
    assert found(here) == found(there)
    assert {t.notes["process"] for t in here.oracle.trials.values()} == {str(os.getpid())}
    assert str(os.getpid()) not in {t.notes["process"] for t in there.oracle.trials.values()}
    assert store.finished == 2
    assert len(store.history(0)) == 2, "the processes report their epochs to the store given"


@pytest.mark.parametrize(
    ("executor", "workers", "threads"),
    [("serial", "auto", 1), ("serial", 1, 1), ("threads", 3, 3), (Threads(2), "auto", 2)],
    ids=name_of,
)
def test_a_named_executor_has_as_many_threads_as_workers(tmp_path, executor, workers, threads):
    tuner = Toy(tmp_path, executor=executor, workers=workers, max_trials=6)
    tuner.search()
    seen = {thread for _, thread, _ in tuner.ran}
    assert len(tuner.ran) == 6
    assert seen <= (
        {"MainThread"} if threads == 1 else {f"afina-worker-{n}" for n in range(threads)}
    )


@pytest.mark.parametrize("executor", [ReversedPairs(), Pool(), Threads(2)], ids=name_of)
def test_trials_that_run_at_the_same_time_are_different_ones(tmp_path, executor):
    tuner = Toy(tmp_path, executor=executor, max_trials=5)
    tuner.search()
    assert sorted(trial for trial, *_ in tuner.ran) == ["0", "1", "2", "3", "4"]


def test_an_executor_decides_the_order(tmp_path):
    tuner = Toy(tmp_path, executor=ReversedPairs())
    tuner.search()
    assert tuner.oracle.end_order == ["1", "0", "3", "2"]


@pytest.mark.parametrize("executor", [ReversedPairs(), Pool(), Threads(2)], ids=name_of)
def test_the_last_trial_is_run_again_although_no_other_is_left(tmp_path, executor):
    class Once(Toy):
        def run_trial(self, trial, *args, **kwargs):
            score = super().run_trial(trial)
            if trial.trial_id == "1" and [each for each, *_ in self.ran].count("1") == 1:
                raise ValueError("once")
            return score

    tuner = Once(tmp_path, executor=executor, max_trials=2, max_retries_per_trial=1)
    tuner.search()
    assert sorted(trial for trial, *_ in tuner.ran) == ["0", "1", "1"]
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}


def test_a_promotion_waits_for_its_parent_whoever_runs_it(tmp_path):
    tuners = [
        search(
            kt.Hyperband(
                build,
                "val_loss",
                max_epochs=2,
                factor=2,
                hyperband_iterations=1,
                seed=1,
                directory=tmp_path,
                project_name=str(number),
                executor=executor,
            )
        )
        for number, executor in enumerate([None, ReversedPairs()])
    ]
    one, other = (
        sorted(
            (sorted((k, v) for k, v in t.hyperparameters.values.items() if k != PARENT), t.score)
            for t in tuner.oracle.trials.values()
        )
        for tuner in tuners
    )
    assert one == other
    assert any(PARENT in t.hyperparameters.values for t in tuners[1].oracle.trials.values())


def test_an_error_that_ends_the_search_reaches_the_caller(tmp_path):
    class Fatal(Toy):
        def run_trial(self, trial, *args, **kwargs):
            raise kt.errors.FatalError("stop it all")

    for number, executor in enumerate([ReversedPairs(), Pool()]):
        with pytest.raises(kt.errors.FatalError, match="stop it all"):
            Fatal(tmp_path, executor=executor, project_name=str(number)).search()


@pytest.mark.parametrize(
    "executor", [None, "serial", "threads", Pool(), ReversedPairs()], ids=name_of
)
def test_a_tuner_with_its_own_training_takes_an_executor_too(tmp_path, executor):
    class Own(BaseTuner):
        def run_trial(self, trial, *args, **kwargs):
            return trial.hyperparameters.get("x")

    oracle = kt.oracles.RandomSearch(kt.Objective("loss", "min"), max_trials=5, seed=1)
    tuner = Own(oracle, declare, directory=tmp_path, executor=executor)
    tuner.search()
    assert len(tuner.oracle.end_order) == 5


@pytest.mark.service
def test_scikit_learn_models_are_validated_in_processes(tmp_path):
    linear = pytest.importorskip("sklearn.linear_model")

    def ridge(hp):
        return linear.Ridge(alpha=hp.Float("alpha", 1e-3, 1.0))

    data = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    tuners = []
    for name, executor in {"here": None, "there": Processes(1)}.items():
        oracle = kt.oracles.RandomSearch(kt.Objective("score", "max"), max_trials=2, seed=1)
        tuners.append(
            kt.SklearnTuner(oracle, ridge, directory=tmp_path, project_name=name, executor=executor)
        )
        tuners[-1].search(*data, verbose=0)
    assert found(tuners[0]) == found(tuners[1])


@pytest.mark.parametrize("make", [lambda: Threads(3), ReversedPairs, Pool])
def test_taking_turns_keeps_what_the_executor_promises(make):
    check_executor(lambda: InTurns(make()))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"executor": "thread"},
            'executor: must be "serial", "threads", "processes", "ray" or an object',
        ),
        ({"executor": Serial}, r"Pass an instance: Serial\(...\)"),
        ({"executor": 3}, "executor: must be"),
        ({"executor": "serial", "workers": 2}, 'workers: must be "auto" unless executor is None'),
        ({"executor": Serial(), "workers": 2}, "The executor decides how many"),
        ({"executor": "threads", "group_trials": 4}, "executor: must be None where group_trials"),
    ],
)
def test_options_that_cannot_be_are_refused_when_the_tuner_is_made(tmp_path, options, told):
    with pytest.raises(ArgumentError, match=told):
        Toy(tmp_path, **options)


# -- stores ---------------------------------------------------------------------------------------


def test_a_store_of_somebody_else_s_keeps_the_trials(tmp_path):
    store = Counting()
    tuner = search(random_search(tmp_path, store=store))
    assert store.finished == len(store.trials()) == 3
    files = {path.name for path in (tmp_path / "untitled_project").rglob("*") if path.is_file()}
    assert not any(name.endswith((".sqlite", ".db")) for name in files)
    assert tuner.get_best_models()[0].predict(X[:2], verbose=0).shape == (2, 2)
    again = random_search(tmp_path, store=store)
    assert found(again) == found(tuner)
    assert again.oracle.study.store is store


@pytest.mark.parametrize("form", ["url", "path", "text"])
def test_a_store_may_be_a_folder(tmp_path, form):
    place = tmp_path / "elsewhere"
    store = {"url": f"sqlite:///{place}", "path": place, "text": str(place)}[form]
    Toy(tmp_path, store=store, project_name="first").search()
    kept = open_store(place)
    assert isinstance(kept, SqliteStore)
    assert len(kept.trials()) == 4
    assert not open_store(tmp_path / "first").trials()
    assert len(Toy(tmp_path, store=store, project_name="second").oracle.trials) == 4


def test_trials_in_memory_are_gone_with_the_tuner(tmp_path):
    tuner = Toy(tmp_path, store="memory:")
    tuner.search()
    tuner.reload()
    assert len(tuner.oracle.trials) == 4, "reload reads the same store"
    assert not Toy(tmp_path, store="memory:").oracle.trials


def test_the_search_after_it_is_kept_in_a_project_of_its_own(tmp_path):
    store = MemoryStore()
    tuner = Toy(tmp_path, store=store, max_trials=12)
    tuner.search(None)
    again = tuner.search_again(max_trials=2)
    assert len(store.trials()) == 12
    assert again.oracle.study.store is not store
    assert len(again.oracle.trials) == 2


def test_overwrite_does_not_empty_a_store(tmp_path):
    store = MemoryStore()
    Toy(tmp_path, store=store, overwrite=True).search()
    mark = tmp_path / "untitled_project" / "mine.txt"
    mark.write_text("keep")
    with pytest.raises(
        ArgumentError, match="overwrite: must be False where a store of this kind holds a search"
    ):
        Toy(tmp_path, store=store, overwrite=True)
    assert mark.exists(), "nothing was deleted"
    assert len(store.trials()) == 4


def test_overwrite_deletes_a_search_in_a_folder_that_storage_names(tmp_path):
    trials = tmp_path / "trials"
    Toy(tmp_path, storage=trials).search()
    with pytest.raises(ArgumentError, match="overwrite: must be True or False"):
        Toy(tmp_path, storage=trials, overwrite="no")
    assert len(Toy(tmp_path, storage=trials).oracle.trials) == 4
    assert not Toy(tmp_path, storage=trials, overwrite=True).oracle.trials


def test_a_store_that_cannot_be_is_refused_before_anything_is_deleted(tmp_path):
    Toy(tmp_path).search()
    for store, told in [
        ("redis://host", '"memory:", "sqlite:///folder" or "postgresql://'),
        (3, "TrialStore"),
    ]:
        with pytest.raises(ArgumentError, match=told):
            Toy(tmp_path, store=store, overwrite=True)
    assert len(Toy(tmp_path).oracle.trials) == 4


def test_the_store_of_an_oracle_that_is_used_by_hand_may_be_given(tmp_path):
    oracle = kt.oracles.RandomSearch(kt.Objective("loss", "min"), max_trials=2, seed=1)
    oracle.given_store = store = MemoryStore()
    hp = kt.HyperParameters()
    hp.Float("x", -1.0, 1.0)
    oracle.update_space(hp)
    assert oracle.create_trial("tuner0").status == "RUNNING"
    assert len(store.trials()) == 1
