"""Trials side by side in threads: the same search as one after the other."""

import random
import threading

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError
from afina.tuners import workers
from afina.tuners.workers import check_workers, count_workers
from tests.tuners import models

layers = keras.layers
X, Y = models.data(64)


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(hp.Choice("units", [4, 8]), activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(2, activation="softmax"),
        ]
    )
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


class Drawing(keras.callbacks.Callback):
    """Draws from all streams, and lets them into the weights."""

    def on_epoch_begin(self, epoch, logs=None):
        noise = random.random() + np.random.rand() + float(keras.random.uniform(()))
        kernel = self.model.layers[0].kernel
        kernel.assign(kernel + 1e-2 * noise)


def hyperparameters():
    hps = kt.HyperParameters()
    hps.Choice("rate", [0.01, 0.1])
    hps.Choice("units", [4, 8])
    return hps


TUNERS = {
    "random": lambda **kwargs: kt.RandomSearch(build, "val_loss", max_trials=4, seed=1, **kwargs),
    "grid": lambda **kwargs: kt.GridSearch(
        build, "val_loss", seed=1, hyperparameters=hyperparameters(), **kwargs
    ),
    "hyperband": lambda **kwargs: kt.Hyperband(
        build, "val_loss", max_epochs=2, factor=2, seed=1, **kwargs
    ),
}


def told(tuner):
    """All that a search has found out, whatever the order in which trials ended."""
    return sorted(
        (
            sorted((k, v) for k, v in t.hyperparameters.values.items() if k != "tuner/trial_id"),
            t.status,
            t.score,
            [(r.execution, r.step, sorted(r.metrics.items())) for r in t.history],
        )
        for t in tuner.oracle.get_best_trials(99)
    )


def search(tuner, **kwargs):
    tuner.search(
        X,
        Y,
        **{"epochs": 2, "validation_split": 0.25, "verbose": 0, "callbacks": [Drawing()], **kwargs},
    )
    return tuner


class Batches(kt.HyperModel):
    """Names two hyperparameters in its training, as Keras' guide does."""

    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        batch, order = hp.Choice("batch_size", [4, 8, 16, 32]), hp.Boolean("shuffle")
        return model.fit(*args, batch_size=batch, shuffle=order, **kwargs)


class Arguments(kt.HyperModel):
    """The same by `fit_arguments`."""

    def build(self, hp):
        return build(hp)

    def fit_arguments(self, hp):
        return {"batch_size": hp.Choice("batch_size", [4, 8, 16, 32])}


@pytest.mark.parametrize("kind", [Batches, Arguments])
def test_what_the_first_training_finds_is_searched_from_the_second_trial_on(kind, tmp_path):
    chosen = []
    for count in (1, 3):
        tuner = kt.RandomSearch(
            kind(), "val_loss", max_trials=6, seed=1, workers=count, directory=tmp_path / str(count)
        )
        search(tuner, callbacks=[])
        trials = tuner.oracle.search_state.trials.values()
        chosen.append([trial.values for trial in trials])
    assert chosen[0] == chosen[1]
    assert len({values["batch_size"] for values in chosen[0]}) > 2


@pytest.mark.first("random", "hyperband")
@pytest.mark.parametrize("name", TUNERS)
def test_any_number_of_workers_gives_the_same_trials_to_the_bit(name, tmp_path):
    found = {}
    for count in (1, 2, 3, "auto") if name == "random" else (1, 3):
        random.seed(1)
        keras.utils.set_random_seed(2)
        tuner = TUNERS[name](
            workers=count, executions_per_trial=2, directory=tmp_path, project_name=f"p{count}"
        )
        expected = random.getstate(), np.random.get_state()[1:3]
        found[count] = told(search(tuner))
        assert {t.notes["training"] for t in tuner.oracle.trials.values()} == {"fused"}
        assert random.getstate() == expected[0]
        assert np.array_equal(np.random.get_state()[1], expected[1][0])
        assert np.random.get_state()[2] == expected[1][1]
    assert len(found[1]) == len(tuner.oracle.trials) >= 4
    assert all(curves for *_, curves in found[1])
    assert all(each == found[1] for each in found.values())


@pytest.mark.service  # two whole searches, half by plain fit
def test_trials_by_plain_fit_between_fused_ones_do_not_disturb_them(tmp_path):
    def make(hp):
        model = build(hp)
        if hp.Choice("eager", [False, True]):
            model.run_eagerly = True
        return model

    hps = kt.HyperParameters()
    hps.Fixed("rate", 0.01)
    found = []
    for count in (1, 2):
        tuner = kt.GridSearch(
            make,
            "val_loss",
            seed=1,
            hyperparameters=hps,
            workers=count,
            directory=tmp_path,
            project_name=f"p{count}",
        )
        found.append(told(search(tuner, epochs=1)))
        ways = [t.notes["training"] for t in tuner.oracle.trials.values()]
        assert sorted(way[:5] for way in ways) == ["fit: ", "fit: ", "fused", "fused"]
    assert found[0] == found[1]


def test_settings_of_keras_hold_in_all_workers_and_afterwards(tmp_path):
    seen = []

    def double(x):
        return 2 * x

    def make(hp):
        seen.append((threading.get_ident(), keras.config.dtype_policy().name))
        assert keras.saving.get_registered_object("double") is double
        if threading.current_thread() is not threading.main_thread():
            keras.utils.clear_session()  # as many examples do, which empties all threads' sessions
        hidden = layers.Dense(hp.Int("units", 2, 9), activation="relu")
        model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    first = keras.config.dtype_policy().name
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with keras.saving.custom_object_scope({"double": double}):
            tuner = kt.RandomSearch(
                make, "val_loss", max_trials=4, seed=1, workers=2, directory=tmp_path
            )
            seen.clear()
            search(tuner, epochs=1, callbacks=[])
            assert keras.saving.get_registered_object("double") is double
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(first)
    assert [policy for _, policy in seen] == ["mixed_bfloat16"] * len(seen)
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert all(t.status == "COMPLETED" for t in tuner.oracle.trials.values())


def test_what_one_workers_build_raises_fails_that_trial_only(tmp_path):
    def make(hp):
        if hp.Choice("kind", [0, 1, 2, 3]) == 2:
            raise ZeroDivisionError("two")
        return build(hp)

    hps = kt.HyperParameters()
    hps.Fixed("rate", 0.01), hps.Fixed("units", 4)
    tuner = kt.GridSearch(
        make, "val_loss", hyperparameters=hps, workers=2, directory=tmp_path, max_trials=4
    )
    search(tuner, epochs=1)
    trials = {t.hyperparameters.get("kind"): t for t in tuner.oracle.trials.values()}
    assert {kind: t.status for kind, t in trials.items()} == {
        0: "COMPLETED",
        1: "COMPLETED",
        2: "FAILED",
        3: "COMPLETED",
    }
    assert "ZeroDivisionError: two" in trials[2].message


def test_an_error_that_ends_the_search_keeps_the_trials_that_were_trained(tmp_path):
    from afina.errors import FatalValueError

    def make(hp):
        model = build(hp)
        if hp.Choice("kind", [0, 1, 2, 3]) == 3:
            model.run_eagerly = True
        return model

    hps = kt.HyperParameters()
    hps.Fixed("rate", 0.01), hps.Fixed("units", 4)
    place = {"directory": tmp_path, "hyperparameters": hps, "max_trials": 4}
    tuner = kt.GridSearch(make, "val_loss", workers=2, training="fused", **place)
    with pytest.raises(FatalValueError, match="run_eagerly"):
        search(tuner, epochs=1)
    again = kt.GridSearch(make, "val_loss", **place)
    done = [t for t in again.oracle.trials.values() if t.status == "COMPLETED"]
    assert {t.hyperparameters.get("kind") for t in done} <= {0, 1, 2}
    assert len(done) >= 2
    assert again.get_best_models()


def test_code_of_the_users_runs_in_one_worker_at_a_time(tmp_path):
    inside, most = [], []

    def act():
        inside.append(1)
        most.append(len(inside))
        for _ in range(20000):
            pass
        inside.pop()

    class Acting(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            act()

        def on_epoch_end(self, epoch, logs=None):
            act()

    def make(hp):
        act()
        return build(hp)

    tuner = kt.RandomSearch(make, "val_loss", max_trials=4, seed=1, workers=3, directory=tmp_path)
    search(tuner, callbacks=[Acting()])
    assert set(most) == {1}


def test_programs_and_data_are_shared_by_all_workers(tmp_path):
    def make(hp):
        model = keras.Sequential([keras.Input((6,)), layers.Dense(2, activation="softmax")])
        rate = hp.Float("rate", 1e-3, 1e-1)
        model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
        return model

    tuner = kt.RandomSearch(make, "val_loss", max_trials=5, seed=1, workers=3, directory=tmp_path)
    search(tuner, callbacks=[])
    assert tuner._trainer.engine.programs.compiled == 1


# -- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "all", None])
def test_other_numbers_of_workers_are_refused(bad, tmp_path):
    with pytest.raises(ArgumentError, match="workers: must be"):
        check_workers(bad)
    with pytest.raises(ArgumentError, match="workers: must be"):
        kt.RandomSearch(build, "val_loss", workers=bad, directory=tmp_path)


def test_auto_is_one_for_each_processor_up_to_a_limit_or_one_for_each_gpu(monkeypatch):
    def free():
        return None

    monkeypatch.setattr(workers, "accelerators", list)
    for count, expected in ((1, 1), (2, 2), (64, workers.MOST)):
        monkeypatch.setattr(workers, "processors", lambda count=count: count)
        assert count_workers("auto", why_one=free) == expected
    monkeypatch.setattr(workers, "accelerators", lambda: ["gpu0", "gpu1", "gpu2"])
    assert count_workers("auto", why_one=free) == 3
    assert count_workers("auto", why_one=lambda: "a reason") == 1
    assert count_workers(5, why_one=lambda: "a reason") == 5
    assert workers.processors() >= 1


class OwnFit(kt.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        self.model = model
        return self.model.fit(*args, **kwargs)


class OwnTrial(kt.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        return super().run_trial(trial, *args, **kwargs)


ONE = {
    "bayesian": (lambda **kw: kt.BayesianOptimization(build, "val_loss", **kw), "chosen by what"),
    "own fit": (lambda **kw: kt.RandomSearch(OwnFit(), "val_loss", **kw), "OwnFit overrides fit"),
    "own trial": (lambda **kw: OwnTrial(build, "val_loss", **kw), "OwnTrial overrides run_trial"),
    "fit": (lambda **kw: kt.RandomSearch(build, "val_loss", training="fit", **kw), "as asked for"),
}


@pytest.mark.parametrize("name", [*ONE, *TUNERS])
def test_auto_is_one_where_trials_depend_on_each_other_or_are_not_fused(
    name, tmp_path, monkeypatch
):
    make, reason = ONE.get(name) or (TUNERS[name], None)
    tuner = make(directory=tmp_path)
    told = tuner._why_one_worker()
    assert (told is None) if reason is None else (reason in told)
    monkeypatch.setattr(workers, "processors", lambda: 4)
    monkeypatch.setattr(workers, "accelerators", list)
    expected = 1 if reason else 4
    assert count_workers(tuner.workers, why_one=tuner._why_one_worker) == expected


def test_with_several_gpus_each_worker_computes_on_its_own(monkeypatch):
    import jax

    cpu = jax.devices("cpu")[0]
    entered = []
    monkeypatch.setattr(workers, "accelerators", lambda: ["gpu0", "gpu1"])
    monkeypatch.setattr(workers, "on_device", lambda device: entered.append(device) or _nothing())
    around = workers.surroundings()
    for index in range(3):
        with around(index):
            pass
    assert entered == ["gpu0", "gpu1", "gpu0"]
    monkeypatch.undo()
    with workers.on_device(cpu):
        assert jax.config.jax_default_device == cpu
    with workers.on_device(None):
        assert jax.config.jax_default_device is None


def _nothing():
    import contextlib

    return contextlib.nullcontext()
