"""Searches whose trials are trained in a process on JAX, whatever this process runs on.

In `make test-services` the same tests run on JAX, TensorFlow and PyTorch.
"""

import gc
import os
import signal
import threading
from pathlib import Path

import cloudpickle
import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError, DataError, FatalError, SearchFailedError
from afina.run import Processes
from afina.trials import FailureKind
from afina.tuners import train_on
from afina.tuners.remote import keras_processes
from afina.tuners.remote_search import RemoteSearch
from tests.tuners import models
from tests.tuners.models import picture

pytestmark = pytest.mark.service

FIT = {"epochs": 3, "validation_split": 0.25, "batch_size": 50, "verbose": 0}


@pytest.fixture(scope="module")
def pool():
    """One process for all tests: starting Keras takes seconds."""
    cloudpickle.register_pickle_by_value(models)
    with keras_processes(1, "jax") as processes:
        yield processes
    cloudpickle.unregister_pickle_by_value(models)


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p", "seed": 3}


def data():
    return models.data(rows=400, columns=6)


def search(tuner, pool, *args, **kwargs):
    """What `BaseTuner.search` does, but for the process that the test lends."""
    tuner._begin_display(0, {})
    assert RemoteSearch(tuner, pool, args, {"verbose": 0, **kwargs}).run() is None
    tuner.oracle.search_state.close()
    return tuner


def random_search(**where):
    return kt.RandomSearch(
        models.build, "val_loss", max_trials=3, executions_per_trial=2, seed=3, **where
    )


def hyperband(**where):
    return kt.Hyperband(models.build, "val_loss", max_epochs=3, factor=3, seed=3, **where)


def bayesian(**where):
    return kt.BayesianOptimization(models.build, "val_loss", max_trials=4, seed=3, **where)


@pytest.mark.parametrize("kind", ["random", "hyperband"])
def test_cross_validated_trials_are_those_of_a_search_on_jax(kind, tmp_path, pool):
    x, y = data()
    found = {}
    for name in ("there", "here"):
        known = {"directory": tmp_path, "project_name": name, "seed": 3, "cv": 3}
        if kind == "hyperband":
            tuner = kt.Hyperband(models.build, "val_loss", max_epochs=2, factor=2, **known)
        else:
            tuner = kt.RandomSearch(models.build, "val_loss", max_trials=2, **known)
        given = {"batch_size": 50, "epochs": 2}
        if name == "there":
            tuner._check_search((x, y), dict(given))
            search(tuner, pool, x, y, **given)
        elif keras.backend.backend() == "jax":
            tuner.search(x, y, **given, verbose=0)
        found[name] = picture(tuner)
        trials = tuner.oracle.search_state.trials.values()
        assert all("fold_scores" in trial.notes for trial in trials)
        assert not any("promotion" in trial.notes for trial in trials)
    if keras.backend.backend() == "jax":
        assert found["here"] == found["there"]
    else:
        assert all("COMPLETED" in each[0] for each in found["there"])


@pytest.mark.parametrize("make", [random_search, hyperband, bayesian])
def test_the_trials_are_those_of_a_search_on_jax(tmp_path, pool, make):
    x, y = data()

    def alone(folder):
        tuner = make(directory=folder, project_name="alone")
        tuner.search(x, y, **FIT)
        return keras.backend.backend(), picture(tuner)

    backend, expected = pool.call(0, alone, str(tmp_path))
    tuner = search(make(directory=tmp_path, project_name="p"), pool, x, y, **FIT)
    assert backend == "jax"
    assert picture(tuner) == expected
    assert {trial.notes["training"] for trial in tuner.oracle.trials.values()} == {"fused"}


def with_dropout(hp):
    model = models.build(hp)
    last = model.layers[-1]
    model.pop()
    model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Dropout(0.3))
    model.add(last)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("build", [models.build, with_dropout], ids=["dense", "dropout"])
def test_the_best_model_is_one_of_this_backend_in_the_state_of_its_best_epoch(place, pool, build):
    x, y = data()
    tuner = kt.RandomSearch(build, "val_accuracy", max_trials=2, **place)
    search(tuner, pool, x, y, **FIT)
    [best] = tuner.oracle.get_best_trials(1)
    [model] = tuner.get_best_models(1)
    _, accuracy = model.evaluate(x[300:], y[300:], verbose=0)
    assert accuracy == pytest.approx(best.score, abs=1e-6)
    assert int(model.optimizer.iterations) == 6 * (best.best_step + 1)
    model.fit(x, y, verbose=0)  # it goes on here
    built = tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])
    assert type(built.weights[0].value) is type(model.weights[0].value)


def test_early_stopping_and_callbacks_of_the_script_work_there(place, pool):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert keras.backend.backend() == "jax"
            self.model.stop_training = epoch == 1

    x, y = data()
    early = keras.callbacks.EarlyStopping("val_loss", patience=5)
    tuner = random_search(directory=place["directory"])
    search(tuner, pool, x, y, callbacks=[Stop(), early], **FIT)
    histories = [tuner.oracle.search_state.history(number) for number in range(3)]
    assert [[r.step for r in history] for history in histories] == [[0, 1, 0, 1]] * 3


class Hooked(kt.RandomSearch):
    """Records who calls its hooks; `run_trial` is the test's."""

    def __init__(self, run=None, **where):
        self.run, self.seen = run, []
        super().__init__(models.build, kt.Objective("val_loss", "min"), max_trials=3, **where)

    def on_trial_begin(self, trial):
        self.seen.append(("begin", trial.trial_id, os.getpid()))
        super().on_trial_begin(trial)

    def on_trial_end(self, trial):
        self.seen.append(("end", trial.trial_id, os.getpid()))
        super().on_trial_end(trial)

    def run_trial(self, trial, *args, **kwargs):
        if self.run is None:
            return super().run_trial(trial, *args, **kwargs)
        return self.run(self, trial)


def test_hooks_around_a_trial_run_in_the_script(place, pool):
    x, y = data()
    tuner = search(Hooked(**place), pool, x, y, **FIT)
    here = os.getpid()
    assert tuner.seen == [
        (what, str(number), here) for number in range(3) for what in ("begin", "end")
    ]


def test_a_tuner_that_trains_by_itself_does_so_there(place, pool):
    def run(self, trial):
        trial.notes["process"] = f"{keras.backend.backend()} {os.getpid()}"
        return 1.0 + int(trial.trial_id)

    tuner = search(Hooked(run, **place), pool)
    assert [trial.score for trial in tuner.oracle.trials.values()] == [1.0, 2.0, 3.0]
    [note] = {trial.notes["process"] for trial in tuner.oracle.trials.values()}
    assert note == f"jax {pool.call(0, os.getpid)}"


def test_only_the_models_of_the_best_trials_are_kept(place, pool):
    x, y = data()
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=4, keep_checkpoints=1, **place)
    search(tuner, pool, x, y, **FIT)
    [best] = tuner.oracle.get_best_trials(1)
    left = [path.parent.name for path in Path(tuner.project_dir).glob("*/*.h5")]
    assert left == [f"trial_{best.trial_id}"]


# -- failures -------------------------------------------------------------------------------------


def test_a_failed_trial_keeps_the_reason_and_the_search_goes_on(place, pool):
    def run(self, trial):
        if trial.trial_id == "1":
            raise ValueError("no such layer")
        return 1.0

    tuner = search(Hooked(run, **place), pool)
    trials = tuner.oracle.trials
    assert [trials[n].status for n in "012"] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert 'raise ValueError("no such layer")' in trials["1"].message


def test_too_many_failures_and_fatal_errors_end_the_search(place, pool):
    def run(self, trial):
        raise ValueError("never")

    with pytest.raises(SearchFailedError) as caught:
        search(Hooked(run, **place), pool)
    assert not getattr(caught.value, "__notes__", []), "it was raised here"

    def fatal(self, trial):
        raise FatalError("no disk")

    with pytest.raises(FatalError, match="no disk"):
        search(Hooked(fatal, **{**place, "project_name": "fatal"}), pool)


class Deadly(kt.RandomSearch):
    """Its trial 1 kills its process in its second epoch, `deaths` times."""

    def __init__(self, deaths, **where):
        self.deaths = deaths
        super().__init__(models.build, "val_loss", max_trials=4, workers=2, **where)

    def on_epoch_end(self, trial, model, epoch, logs=None):
        died = Path(self.project_dir, "deaths")
        if trial.trial_id == "1" and epoch == 1:
            before = len(died.read_text()) if died.exists() else 0
            if before < self.deaths:
                died.write_text("x" * (before + 1))
                os.kill(os.getpid(), signal.SIGKILL)


def test_trials_whose_process_is_killed_are_run_again_with_the_same_result(tmp_path, pool):
    x, y = data()
    where = {"directory": tmp_path, "seed": 3}
    calm = search(Deadly(0, project_name="calm", **where), pool, x, y, **FIT)
    tuner = search(Deadly(1, project_name="deadly", **where), pool, x, y, **FIT)
    assert picture(tuner) == picture(calm)
    assert "process that trained it had died" in tuner.oracle.trials["1"].notes["lost_worker"]


def test_only_the_trial_that_kills_its_process_each_time_fails(place, pool):
    x, y = data()
    tuner = search(Deadly(9, **place), pool, x, y, **FIT)
    trials = tuner.oracle.trials
    assert [trials[n].status for n in "0123"] == ["COMPLETED", "FAILED", *["COMPLETED"] * 2]
    assert trials["1"].failure.kind is FailureKind.LOST_WORKER


def test_an_interruption_ends_the_process_and_the_trial_is_run_again(place):
    x, y = data()

    def interrupt(*args):
        raise KeyboardInterrupt

    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=2, **place)
    cloudpickle.register_pickle_by_value(models)
    with keras_processes(1, "jax") as own:
        process = own.call(0, os.getpid)
        tuner.oracle.report_epoch, before = interrupt, tuner.oracle.report_epoch
        with pytest.raises(KeyboardInterrupt):
            search(tuner, own, x, y, **FIT)
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
        tuner.oracle.report_epoch = before
        search(tuner, own, x, y, **FIT)
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * 2


# -- what is refused before the first trial -------------------------------------------------------


def fails_elsewhere(home):
    def build(hp):
        if os.getpid() != home:
            raise AttributeError("module 'jax.numpy' has no attribute 'relu6'")
        return models.build(hp)

    return build


def test_a_model_that_cannot_be_built_there_is_refused_in_one_sentence(place, pool):
    tuner = kt.RandomSearch(fails_elsewhere(os.getpid()), "val_loss", max_trials=2, **place)
    with pytest.raises(ArgumentError, match=r"train_on: needs models .* on JAX, but got .*relu6"):
        search(tuner, pool, *data())
    assert tuner.oracle.trials == {}


def test_what_cannot_travel_is_said_before_the_first_trial(place, pool):
    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=2, **place)
    with pytest.raises(ArgumentError, match=r"\[0\]\.lock: .* or leave train_on out"):
        search(tuner, pool, *data(), callbacks=[Locked()])
    assert tuner.oracle.trials == {}


# -- with the tuner's own process -----------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch):
    """On JAX, too, trials are trained in another process."""
    monkeypatch.setattr("afina.tuners.train_on.is_elsewhere", lambda name: name is not None)


def children():
    """The processes that this one has started and that live."""
    tasks = Path("/proc/self/task").glob("*/children")
    return sorted(number for task in tasks for number in task.read_text().split())


def test_a_search_starts_the_process_and_ends_it(place, elsewhere):
    x, y = data()
    x, y = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
    before = children()
    seen = []
    cloudpickle.register_pickle_by_value(models)
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=2, train_on="jax", **place)
    tuner.on_trial_begin = lambda trial: seen.append(len(children()) - len(before))
    tuner.search(x, y, **FIT)
    assert seen == [1, 1]
    assert {trial.notes["training"] for trial in tuner.oracle.trials.values()} == {"fused"}
    assert children() == before
    [model] = tuner.get_best_models(1)
    assert np.isfinite(keras.ops.convert_to_numpy(model(x))).all()


def test_the_process_of_a_new_project_starts_and_ends_with_its_tuner(place, elsewhere):
    before = children()
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=2, train_on="jax", **place)
    assert len(children()) == len(before) + 1
    again = kt.RandomSearch(models.build, "val_loss", max_trials=2, train_on="jax", **place)
    assert len(children()) == len(before) + 1, "a project that is there may be opened to look at it"
    del tuner, again
    gc.collect()
    assert children() == before


def loss_on_jax(true, found):
    assert keras.backend.backend() == "jax"
    return keras.losses.sparse_categorical_crossentropy(true, found)


def test_trainings_that_cannot_share_a_process_get_one_each(place, elsewhere):
    x, y = data()
    tuner = kt.RandomSearch(
        models.build,
        "val_loss",
        max_trials=2,
        train_on="jax",
        workers=2,
        training="fit",
        loss=loss_on_jax,
        **place,
    )
    seen = []
    run_by = tuner._run_by
    tuner._run_by = lambda executor, *args: (seen.append(executor), run_by(executor, *args))
    cloudpickle.register_pickle_by_value(models)
    tuner.search(x, y, **FIT)
    assert seen == [Processes(2)]
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * 2


# -- code that names TensorFlow or PyTorch --------------------------------------------------------


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own")
def test_tf_keras_is_keras_there_and_tf_data_travel_as_arrays(place, pool):
    import tensorflow as tf

    def build(hp):
        model = tf.keras.Sequential(
            [tf.keras.Input((6,)), tf.keras.layers.Dense(hp.Int("n", 2, 9))]
        )
        model.compile(loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    x, y = data()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    tuner = kt.RandomSearch(build, "val_loss", max_trials=2, **place)
    args, kwargs = train_on.without_streams(tuner, (batches,), {"epochs": 2})
    search(tuner, pool, *args, validation_data=(x, y), **kwargs)
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * 2
    assert "jax" not in type(tuner.get_best_models(1)[0].weights[0].value).__module__
    with pytest.raises(DataError, match="train_on: needs data that can leave this process"):
        train_on.as_arrays((batches,), {})


def own_loss(backend):
    if backend == "tensorflow":
        import tensorflow as tf

        return lambda true, found: tf.math.reduce_mean(tf.square(found - true))
    import torch

    return lambda true, found: torch.mean(torch.square(found - true))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="code of another backend's")
def test_a_loss_that_calls_the_backend_is_refused_before_the_first_trial(place, pool):
    loss = own_loss(keras.backend.backend())

    def build(hp):
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(hp.Int("n", 1, 9))])
        model.compile("adam", loss)
        return model

    x, y = data()
    tuner = kt.RandomSearch(build, "val_loss", max_trials=2, **place)
    with pytest.raises(ArgumentError, match=r"train_on: needs models .* on JAX"):
        search(tuner, pool, x, y[:, None].astype("float32"), **FIT)
    assert tuner.oracle.trials == {}
