"""Which way each trial of a search is trained, and what is told of it."""

import re

import keras
import numpy as np
import pytest

import afina as kt
from afina import training
from afina.errors import ArgumentError, FatalValueError
from tests.tuners import models

layers = keras.layers


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p"}


def build(hp):
    model = models.build(hp)
    hp.Int("number", 0, 99)
    return model


def compiled(**kwargs):
    def make(hp):
        hp.Int("number", 0, 99)
        model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
        model.compile("sgd", "mse", **kwargs)
        return model

    return make


class OwnFit(kt.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.evaluate(kwargs["x"], kwargs["y"], return_dict=True)["loss"]


class OwnEvaluate(keras.Sequential):
    def evaluate(self, *args, **kwargs):
        return super().evaluate(*args, **kwargs)


class Untraceable(keras.Sequential):
    """Its step gives back other types than it was given."""

    def train_step(self, state, data):
        logs, (trainable, *rest) = super().train_step(state, data)
        return logs, ([each.astype("float16") for each in trainable], *rest)


def own(kind):
    def make(hp):
        hp.Int("number", 0, 99)
        model = kind([keras.Input((6,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    return make


class Batches(keras.utils.PyDataset):
    def on_epoch_end(self):
        """May change the data."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        x, y = models.data(8)
        return x, y


X, Y = models.data(48)
ARRAYS = {"x": X, "y": Y, "validation_split": 0.25}
REASONS = {
    "own fit": (OwnFit(), ARRAYS, "OwnFit overrides fit"),
    "own loop": (own(OwnEvaluate), ARRAYS, "OwnEvaluate overrides evaluate"),
    "eager": (compiled(run_eagerly=True), ARRAYS, "the model is compiled with run_eagerly=True"),
    "not traceable": (own(Untraceable), ARRAYS, "the train step cannot become one program: .+"),
    "batches": (
        build,
        {**ARRAYS, "callbacks": [keras.callbacks.TerminateOnNaN()]},
        "callback TerminateOnNaN overrides on_batch_end",
    ),
    "steps": (build, {**ARRAYS, "steps_per_epoch": 2}, "steps_per_epoch is given"),
    "dataset": (
        build,
        {"x": X, "y": Y, "validation_data": Batches()},
        "validation_data is a Batches, and Batches overrides on_epoch_end",
    ),
}


def tuner_of(hypermodel, place, **kwargs):
    kwargs = {"max_trials": 2, "seed": 0, **kwargs, **place}
    return kt.RandomSearch(hypermodel, kt.Objective("val_loss", "min"), **kwargs)


def notes_of(tuner):
    return [trial.notes["training"] for trial in tuner.oracle.trials.values()]


@pytest.mark.parametrize("name", REASONS)
def test_auto_trains_by_fit_what_cannot_be_fused_and_notes_why(name, place, capsys):
    hypermodel, kwargs, reason = REASONS[name]
    tuner = tuner_of(hypermodel, place, workers=1)
    tuner.search(**kwargs, epochs=1, verbose=2)
    for note in notes_of(tuner):
        assert re.fullmatch(f"fit: {reason}", note)
    assert notes_of(tuner_of(hypermodel, place)) == notes_of(tuner)  # the project, opened again
    assert capsys.readouterr().out.count("Trained by plain fit: ") == 1  # not for each trial


@pytest.mark.parametrize("name", ["own fit", "not traceable", "batches"])
def test_fused_ends_the_search_with_the_reason(name, place):
    hypermodel, kwargs, reason = REASONS[name]
    tuner = tuner_of(hypermodel, place, training="fused", workers=1)
    with pytest.raises(FatalValueError, match=f'training: "fused" needs .*{reason}'):
        tuner.search(**kwargs, epochs=1, verbose=0)


def test_fused_keeps_the_trials_that_were_trained_before(place):
    def make(hp):
        return compiled(run_eagerly=hp.Choice("eager", [False, True]))(hp)

    hps = kt.HyperParameters()
    hps.Choice("eager", [False, True])
    tuner = kt.GridSearch(
        make, "val_loss", training="fused", workers=1, hyperparameters=hps, **place
    )
    with pytest.raises(FatalValueError, match="run_eagerly"):
        tuner.search(**ARRAYS, epochs=1, verbose=0)
    again = kt.GridSearch(make, "val_loss", hyperparameters=hps, **place)
    done = [t for t in again.oracle.trials.values() if t.status == "COMPLETED"]
    assert done
    assert all(t.notes["training"] == "fused" for t in done)
    assert len(again.get_best_models()) == 1


@pytest.mark.first("auto")
@pytest.mark.parametrize("mode", ["auto", "fused"])
def test_a_search_over_plain_models_is_fused_and_says_where_its_time_went(mode, place):
    tuner = tuner_of(build, place, training=mode)
    tuner.search(**ARRAYS, epochs=2, verbose=0)
    assert notes_of(tuner) == ["fused", "fused"]
    for trial in tuner.oracle.trials.values():
        assert "train " in trial.notes["seconds"]


def test_fused_and_plain_trials_have_the_same_scores(tmp_path):
    scores = []
    for mode in ("fit", "fused"):
        place = {"directory": tmp_path, "project_name": mode}
        tuner = tuner_of(models.build, place, training=mode, executions_per_trial=2)
        tuner.search(
            **ARRAYS,
            epochs=3,
            verbose=0,
            callbacks=[keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)],
        )
        scores.append([trial.score for trial in tuner.oracle.trials.values()])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert notes_of(tuner) == ["fused", "fused"]


@pytest.mark.service  # a kind of promotion
def test_promoted_trials_go_on_from_their_parents_also_with_averaged_weights(tmp_path):
    def make(hp):
        model = models.build(hp)
        optimizer = keras.optimizers.AdamW(1e-2, use_ema=True, ema_momentum=0.6)
        model.compile(optimizer, model.loss)
        return model

    scores = []
    for mode in ("fit", "fused"):
        tuner = kt.Hyperband(
            make,
            "val_loss",
            max_epochs=2,
            factor=2,
            seed=0,
            training=mode,
            workers=1,
            directory=tmp_path,
            project_name=mode,
        )
        tuner.search(**ARRAYS, verbose=0)
        scores.append([trial.score for trial in tuner.oracle.trials.values()])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_hooks_of_a_tuner_are_called_and_those_of_batches_stand_against_fusing(place):
    called = []

    class Hooked(kt.RandomSearch):
        def on_epoch_begin(self, trial, model, epoch, logs=None):
            called.append(("begin", epoch))

        def on_epoch_end(self, trial, model, epoch, logs=None):
            called.append(("end", epoch, sorted(logs)))

    tuner = Hooked(models.build, "val_loss", max_trials=1, seed=0, **place)
    tuner.search(**ARRAYS, epochs=2, verbose=0)
    logs = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert called == [("begin", 0), ("end", 0, logs), ("begin", 1), ("end", 1, logs)]
    assert notes_of(tuner) == ["fused"]

    class Batchwise(kt.RandomSearch):
        def on_batch_end(self, trial, model, batch, logs=None):
            called.append(batch)

    tuner = Batchwise(models.build, "val_loss", max_trials=1, overwrite=True, workers=1, **place)
    tuner.search(**ARRAYS, epochs=1, verbose=0)
    assert notes_of(tuner) == ["fit: callback TunerCallback overrides on_batch_begin"]
    assert called[-1] == 1


def test_what_a_callback_raises_fails_the_trial_and_not_the_search(place):
    class Failing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if self.model.layers[0].units == 8:
                raise ZeroDivisionError("eight")

    hps = kt.HyperParameters()
    hps.Fixed("learning_rate", 1e-2)
    tuner = kt.GridSearch(models.build, "val_loss", hyperparameters=hps, training="fused", **place)
    tuner.search(**ARRAYS, epochs=1, verbose=0, callbacks=[Failing()])
    trials = {t.hyperparameters.get("units"): t for t in tuner.oracle.trials.values()}
    assert {units: t.status for units, t in trials.items()} == {
        4: "COMPLETED",
        8: "FAILED",
        12: "COMPLETED",
    }
    assert "ZeroDivisionError: eight" in trials[8].message


def test_a_diverging_trial_fails_and_the_search_goes_on(place):
    def make(hp):
        model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [1e-3, 1e30])), "mse")
        return model

    tuner = kt.GridSearch(make, "val_loss", training="fused", **place)
    tuner.search(**ARRAYS, epochs=3, verbose=0)
    failed = [t for t in tuner.oracle.trials.values() if t.status == "FAILED"]
    assert len(failed) == 1
    assert failed[0].failure.kind.value == "not-a-number"


def test_data_that_were_changed_between_searches_are_read_again(tmp_path):
    x, y = models.data(48)

    def scores(name):
        tuner = kt.RandomSearch(
            models.build, "val_loss", max_trials=1, seed=0, directory=tmp_path, project_name=name
        )
        tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
        first = [t.score for t in tuner.oracle.trials.values()]
        y[5] = 1 - y[5]  # a single label
        tuner.oracle.max_trials = 2
        tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
        assert not tuner._trainer.engine.data._arrays  # nothing is held between searches
        return [*first, *[t.score for t in tuner.oracle.trials.values()][1:]]

    once = scores("a")
    y[5] = 1 - y[5]
    assert scores("b") == once
    y[5] = 1 - y[5]
    fresh = kt.RandomSearch(
        models.build, "val_loss", max_trials=2, seed=0, directory=tmp_path, project_name="c"
    )
    y[5] = 1 - y[5]
    fresh.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    assert [t.score for t in fresh.oracle.trials.values()][1] == once[1]


def test_sparse_inputs_may_be_switched_off(place):
    x = np.zeros((40, 1200), "float32")
    x[np.arange(40), np.arange(40) * 7] = 1
    y = np.arange(40) % 2

    def make(hp):
        model = keras.Sequential([keras.Input((1200,)), layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        hp.Int("number", 0, 9)
        return model

    seen = []
    for sparse in (True, False):
        tuner = tuner_of(make, place, sparse_inputs=sparse, overwrite=True, max_trials=1)

        class Looking(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None, engine=tuner._trainer.engine):
                seen.append([arrays.is_sparse for _, arrays in engine.data._arrays.values()])

            def __deepcopy__(self, memo):
                return self

        tuner.search(x, y, validation_split=0.25, epochs=1, verbose=0, callbacks=[Looking()])
    assert seen == [[True, True], [False, False]]


@pytest.mark.parametrize("bad", [{"training": "quick"}, {"training": None}])
def test_other_ways_of_training_are_refused(bad, place):
    with pytest.raises(ArgumentError, match="training: must be one of"):
        kt.RandomSearch(models.build, "val_loss", **bad, **place)


# -- a trainer of somebody else's -------------------------------------------------------------


class Small:
    """Trains models of few units by a loop of its own."""

    name = "small"

    def why_not(self, model, args, kwargs):
        units = model.layers[0].units
        return None if units < 12 else f"{units} units are too many"

    def fit(self, model, args, kwargs, account):
        with account.counted("train"):
            history = model.fit(*args, **kwargs)
        history.history["by_small"] = [1.0]
        return history


class Late(Small):
    """Sees only at the last moment that it cannot."""

    def fit(self, model, args, kwargs, account):
        raise training.CannotTrainError("it rains")


def grid_of(trainer, place, hypermodel=models.build, **kwargs):
    hps = kt.HyperParameters()
    hps.Fixed("learning_rate", 1e-2)
    return kt.GridSearch(
        hypermodel, "val_loss", training=trainer, seed=0, hyperparameters=hps, **place, **kwargs
    )


def test_a_trainer_of_ones_own_trains_what_it_can_and_notes_say_why_not_the_rest(place):
    tuner = grid_of(Small(), place, workers=1)
    tuner.search(**ARRAYS, epochs=1, verbose=0)
    trials = {t.hyperparameters.get("units"): t for t in tuner.oracle.trials.values()}
    assert {units: t.notes["training"] for units, t in trials.items()} == {
        4: "small",
        8: "small",
        12: "fused: small: 12 units are too many",
    }
    assert not re.search(r"train 0\.000", trials[4].notes["seconds"])
    assert all(t.status == "COMPLETED" for t in trials.values())


def test_what_nobody_else_can_train_is_trained_by_fit_with_all_reasons(place, capsys):
    tuner = grid_of(Late(), place, workers=1)
    tuner.search(**ARRAYS, steps_per_epoch=1, epochs=1, verbose=2)
    reason = "fit: small: it rains; fused: steps_per_epoch is given"
    assert notes_of(tuner)[:2] == [reason, reason]
    assert f"Trained by plain {reason}." in capsys.readouterr().out


def test_a_trainer_of_ones_own_gives_the_trials_the_scores_of_fit(tmp_path):
    scores = []
    for number, trainer in enumerate((Small(), "fit")):
        tuner = grid_of(trainer, {"directory": tmp_path, "project_name": str(number)}, workers=1)
        tuner.search(**ARRAYS, epochs=1, verbose=0)
        scores.append([t.score for t in tuner.oracle.trials.values()])
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


@pytest.mark.service
def test_a_trainer_of_ones_own_travels_to_worker_processes(place):
    tuner = grid_of(Small(), place, workers=2)
    tuner.search(**ARRAYS, epochs=1, verbose=0)
    assert notes_of(tuner) == ["small", "small", "fused: small: 12 units are too many"]


class NamedLikeOurs(Small):
    name = "fit"


@pytest.mark.parametrize("bad", [object(), Small, NamedLikeOurs()])
def test_what_is_no_trainer_is_refused(bad, place):
    with pytest.raises(ArgumentError, match="training: must"):
        kt.RandomSearch(models.build, "val_loss", training=bad, **place)


def test_trials_with_a_trainer_of_ones_own_are_not_trained_together(place):
    tuner = grid_of(Small(), place, group_trials=2)
    tuner.search(**ARRAYS, epochs=1, verbose=0)
    notes = {trial.notes["group"] for trial in tuner.oracle.trials.values()}
    assert notes == {"alone: the trainer small is asked first"}
    assert notes_of(tuner)[:2] == ["small", "small"]


def test_epochs_without_a_validation_are_not_scored(place):
    tuner = tuner_of(build, place, max_trials=1)
    tuner.search(**ARRAYS, epochs=5, validation_freq=2, verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED"
    assert trial.best_step in (1, 3)  # the second and the fourth epoch
