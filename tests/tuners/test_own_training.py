"""Trainings that are the user's own: their arguments, their models, and what is kept of them."""

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import CheckpointError, FatalValueError, StoreError
from afina.training import CHECKPOINT
from afina.tuners.overrides import AROUND, TRAINING, first_overridden, is_overridden
from tests.tuners import models

X, Y = models.data(48)


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p"}


def goal():
    return kt.Objective("score", "min")


def trials_of(tuner):
    return list(tuner.oracle.trials.values())


def statuses(tuner):
    return {trial.status for trial in trials_of(tuner)}


# -- what is overridden ---------------------------------------------------------------------------


class Subclass(kt.RandomSearch):
    def _build_and_fit_model(self, trial, *args, **kwargs):
        return super()._build_and_fit_model(trial, *args, **kwargs)


def decorated(method):
    import functools

    @functools.wraps(method)
    def wrapper(*args, **kwargs):
        return method(*args, **kwargs)

    return wrapper


class Decorated(kt.GridSearch):
    _build_and_fit_model = decorated(kt.GridSearch._build_and_fit_model)


def test_an_override_is_found_wherever_it_stands(place):
    assert is_overridden(Subclass, "_build_and_fit_model")
    assert is_overridden(Decorated, "_build_and_fit_model")
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=1, **place)
    assert first_overridden(tuner, (*TRAINING, *AROUND)) is None
    tuner.run_trial = lambda trial, *args, **kwargs: 1.0
    assert first_overridden(tuner, TRAINING) == "RandomSearch overrides run_trial"
    with mock.patch.object(kt.Tuner, "_build_and_fit_model", autospec=True):
        assert is_overridden(kt.Hyperband, "_build_and_fit_model")


def test_what_one_class_of_afina_has_in_place_of_anothers_is_no_override():
    for kind in (kt.RandomSearch, kt.AutoTuner, kt.Hyperband, kt.SklearnTuner, kt.GridSearch):
        assert not is_overridden(kind, "run_trial")
        assert not is_overridden(kind, "_method_that_nobody_has")


@pytest.mark.parametrize("name", [*TRAINING, "fit"])
def test_trainings_of_the_users_own_do_not_share_a_hypermodel_between_threads(name, place):
    def own(self, *args, **kwargs):
        return 1.0

    if name == "fit":
        hypermodel = type("Own", (kt.HyperModel,), {"build": lambda self, hp: models.build(hp)})()
        hypermodel.fit = own
        tuner = kt.RandomSearch(hypermodel, "val_loss", max_trials=1, **place)
    else:
        kind = type("Own", (kt.RandomSearch,), {name: own})
        tuner = kind(models.build, "val_loss", max_trials=1, **place)
    assert tuner._why_not_threads() == f"Own overrides {name}"
    assert tuner._why_one_worker() == f"Own overrides {name}"


@pytest.mark.parametrize("name", AROUND)
def test_hooks_around_a_training_see_one_trial_after_the_other_unless_workers_are_asked_for(
    name, place
):
    tuner = type("Own", (kt.RandomSearch,), {name: lambda self, *args, **kwargs: None})(
        models.build, "val_loss", max_trials=1, **place
    )
    assert tuner._why_one_worker() == f"Own overrides {name}"
    assert tuner._why_not_threads() is None


def test_a_tuner_of_afinas_own_may_train_side_by_side(place):
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=1, **place)
    assert tuner._why_one_worker() is None


# -- arguments ------------------------------------------------------------------------------------


class Spy(kt.HyperModel):
    """Takes what a search without further arguments gives, and nothing else."""

    def __init__(self):
        super().__init__()
        self.arrived = []

    def build(self, hp):
        return models.build(hp)

    def fit(self, hp, model, *args, **kwargs):
        self.arrived.append(sorted(kwargs))
        return model.fit(X, Y, validation_split=0.25, **kwargs)


def test_an_auto_tuner_adds_the_epochs_that_it_plans(place):
    spy = Spy()
    kt.AutoTuner(spy, "val_loss", max_epochs=1, max_trials=2, seed=0, **place).search()
    assert spy.arrived
    for names in spy.arrived:
        assert set(names) <= {"callbacks", "epochs", "initial_epoch"}


@pytest.mark.parametrize("given", [{}, {"verbose": "auto"}, {"verbose": 2}])
def test_keras_draws_no_bar_beside_the_display_unless_it_is_asked_for(given, place, capsys):
    for hypermodel in (Spy(), models.build):
        tuner = kt.RandomSearch(
            hypermodel, "val_loss", max_trials=1, training="fit", overwrite=True, **place
        )
        tuner.search(
            *(() if hypermodel is not models.build else (X, Y)),
            **{
                **({} if hypermodel is not models.build else {"validation_split": 0.25}),
                **given,
            },
        )
        printed = capsys.readouterr().out
        assert ("/2 - " in printed or "loss: " in printed.split("Trial 0 Complete")[0]) == (
            given.get("verbose") == 2
        )


def test_a_verbose_that_was_given_by_place_is_not_given_twice(place):
    tuner = kt.RandomSearch(models.build, "loss", max_trials=1, **place)
    tuner.search(X, Y, 16, 1, 0)
    assert statuses(tuner) == {"COMPLETED"}


def test_a_model_with_a_fit_of_its_own_gets_no_argument_that_it_does_not_know(place):
    class Own(keras.Model):
        def fit(self, x, y, callbacks=None):
            return {"score": 1.0}

    tuner = kt.RandomSearch(lambda hp: Own(), goal(), max_trials=1, **place)
    tuner.search(X, Y)
    assert statuses(tuner) == {"COMPLETED"}


@pytest.mark.service
def test_worker_processes_pass_on_the_same(tmp_path):
    script = textwrap.dedent(
        """
        import sys, afina as kt

        class Own(kt.RandomSearch):
            def run_trial(self, trial, x, y, batch_size=32, epochs=1):
                trial.notes["arrived"] = repr((x, y, batch_size, epochs))
                return {"score": trial.hyperparameters.Float("a", 0.0, 1.0)}

        if __name__ == "__main__":
            tuner = Own(objective=kt.Objective("score", "min"), max_trials=2, workers=2,
                        directory=sys.argv[1])
            tuner.search("x", "y", batch_size=8)
            print({t.notes["arrived"] for t in tuner.oracle.trials.values()})
        """
    )
    (tmp_path / "search.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "search.py", "projects"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert """{"('x', 'y', 8, 1)"}""" in done.stdout


def test_the_final_training_gives_a_fit_of_ones_own_only_what_it_takes(place):
    arrived = []

    class Own(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, x, y, callbacks):
            arrived.append(len(x))
            return model.fit(x, y, callbacks=callbacks, verbose=0)

    tuner = kt.RandomSearch(Own(), "loss", max_trials=1, **place)
    tuner.search(X, Y)
    final = tuner.retrain_best(X, Y)
    assert len(final.history["loss"]) == 1
    assert arrived == [len(X)] * 2


def test_a_last_fit_that_is_well_outranks_one_that_diverged_before(place):
    class Careful(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, x, y, callbacks=None):
            for rate in (float("nan"), 1e-3):
                model = self.build(hp)
                model.optimizer.learning_rate = rate
                history = model.fit(x, y, epochs=1, callbacks=callbacks, verbose=0)
            return history

    tuner = kt.RandomSearch(Careful(), "loss", max_trials=1, **place)
    tuner.search(X, Y)
    assert statuses(tuner) == {"COMPLETED"}


# -- compiled again -------------------------------------------------------------------------------


def head_first(hp):
    """The first layer is frozen, as the base of a transferred model is."""
    model = models.build(hp)
    model.layers[0].trainable = False
    model.compile("adam", model.loss, metrics=["accuracy"])
    return model


class FineTuning(kt.HyperModel):
    """Trains the head, then all of it."""

    def __init__(self, optimizer="adam"):
        super().__init__()
        self.optimizer = optimizer

    def build(self, hp):
        return head_first(hp)

    def fit(self, hp, model, x, y, **kwargs):
        model.fit(x, y, epochs=1, verbose=0)
        model.layers[0].trainable = True
        model.compile(
            keras.optimizers.get(self.optimizer),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model.fit(x, y, **kwargs)


def left_out(caught):
    return [w for w in caught if "optimizer state is left out" in str(w.message)]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_the_best_models_of_a_fit_that_compiles_again_have_their_weights_and_one_warning_is_given(
    optimizer, place
):
    def make():
        return kt.RandomSearch(FineTuning(optimizer), "val_loss", max_trials=2, seed=0, **place)

    tuner = make()
    tuner.search(X, Y, validation_split=0.25, epochs=2, verbose=0)
    for each in (tuner, make()):  # the project, opened again
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = each.get_best_models(2)
        assert len(left_out(caught)) == 1
        for model, trial in zip(found, each.oracle.get_best_trials(2), strict=True):
            loss, _ = model.evaluate(X[36:], Y[36:], verbose=0)
            assert loss == pytest.approx(trial.score, rel=1e-4)


def test_hyperband_goes_on_with_the_weights_of_a_fit_that_compiles_again(place):
    tuner = kt.Hyperband(FineTuning("sgd"), "val_loss", max_epochs=2, factor=2, seed=0, **place)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuner.search(X, Y, validation_split=0.25, verbose=0)
    assert len(left_out(caught)) == 1
    assert statuses(tuner) == {"COMPLETED"}
    assert not any("promotion" in trial.notes for trial in trials_of(tuner))


def test_a_model_that_only_fit_compiles_goes_on_without_a_warning(place):
    class Late(kt.HyperModel):
        def build(self, hp):
            return keras.Sequential([keras.Input((6,)), keras.layers.Dense(hp.Choice("n", [1, 2]))])

        def fit(self, hp, model, x, y, **kwargs):
            model.compile("adam", "mse")
            return model.fit(x, np.zeros((len(x), model.output_shape[-1])), **kwargs)

    tuner = kt.Hyperband(Late(), "val_loss", max_epochs=2, factor=2, seed=0, **place)
    tuner.search(X, Y, validation_split=0.25, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    assert tuner.get_best_models()


# -- checkpoints ----------------------------------------------------------------------------------


class Unsavable(keras.layers.Dense):
    def save_own_variables(self, store):
        raise NotImplementedError("no way to save me")


def unsavable(hp):
    model = keras.Sequential([keras.Input((6,)), Unsavable(hp.Int("units", 1, 3))])
    model.compile("sgd", "mse")
    return model


class Numbers(kt.HyperModel):
    """Returns a number and does not look at callbacks."""

    def __init__(self):
        super().__init__()
        self.given = []

    def build(self, hp):
        return models.build(hp)

    def fit(self, hp, model, *args, callbacks, **kwargs):
        self.given.append((kwargs["initial_epoch"], kwargs["epochs"]))
        return float(hp.get("units"))


class Gan(keras.Model):
    """Two models inside of one that is never called, hence never built."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)])
        self.critic = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        self.critic.compile("sgd", "mse")

    def fit(self, x, y=None, callbacks=(), **kwargs):
        loss = self.critic.train_on_batch(self.generator(x), np.zeros((len(x), 1)))
        listing = keras.callbacks.CallbackList(callbacks, add_history=True, model=self)
        listing.on_train_begin()
        listing.on_epoch_end(0, {"loss": float(loss)})
        listing.on_train_end()
        return self.history


def gan(hp):
    hp.Int("number", 0, 9)
    return Gan()


UNSAVED = {
    "a layer that cannot be saved": (unsavable, "no way to save me"),
    "a model that is never built": (gan, "must be built"),
}


@pytest.mark.parametrize("kind", UNSAVED)
def test_a_model_that_cannot_be_saved_keeps_its_score_and_the_trial_notes_it(kind, place):
    build, why = UNSAVED[kind]
    tuner = kt.RandomSearch(build, "loss", max_trials=2, seed=0, workers=1, **place)
    tuner.search(X, X[:, :1] * 0, epochs=1, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    again = kt.RandomSearch(build, "loss", max_trials=2, seed=0, workers=1, **place)
    for trial in (*trials_of(tuner), *trials_of(again)):
        assert trial.score is not None
        assert trial.notes["checkpoint"].startswith("none: ")
        assert why in trial.notes["checkpoint"]
    with pytest.raises(CheckpointError, match=f"trial . must have left a model|{why}"):
        again.get_best_models()


@pytest.mark.parametrize("workers", [1, 2])
def test_promotions_of_models_that_cannot_be_saved_start_from_scratch(workers, place):
    tuner = kt.Hyperband(
        unsavable, "loss", max_epochs=2, factor=2, seed=0, workers=workers, **place
    )
    tuner.search(X, X[:, :1] * 0, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    promoted = [t for t in trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    for trial in promoted:
        assert trial.notes["promotion"].startswith("from scratch: ")
        assert "no way to save me" in trial.notes["promotion"]
        steps = [report.step for report in tuner.oracle.study.history(int(trial.trial_id))]
        assert steps == [0, 1]  # all its epochs, not only those after the promotion


def test_a_fit_that_tells_the_callbacks_nothing_is_promoted_from_scratch(place, capsys):
    hypermodel = Numbers()
    tuner = kt.Hyperband(hypermodel, goal(), max_epochs=4, factor=2, seed=0, **place)
    tuner.search(X, Y)
    assert statuses(tuner) == {"COMPLETED"}
    assert {initial for initial, _ in hypermodel.given} == {0}
    assert {epochs for _, epochs in hypermodel.given} == {1, 2, 4}
    assert capsys.readouterr().out.count("A promoted trial starts from scratch") == 1
    promoted = [t for t in trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert all("told of no epoch" in trial.notes["promotion"] for trial in promoted)


@pytest.mark.parametrize("damage", ["gone", "damaged", "another model's"])
def test_a_promotion_whose_checkpoint_cannot_be_loaded_starts_from_scratch(damage, place):
    class Damaging(kt.Hyperband):
        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            path = Path(self.get_trial_dir(trial.trial_id)) / CHECKPOINT
            if damage == "gone":
                path.unlink()
            elif damage == "damaged":
                path.write_bytes(b"half of a file")
            else:
                other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(99)])
                other.save_weights(path)

    tuner = Damaging(models.build, "val_loss", max_epochs=2, factor=2, seed=0, **place)
    tuner.search(X, Y, validation_split=0.25, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    promoted = [t for t in trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    assert all(t.notes["promotion"].startswith("from scratch: ") for t in promoted)


def test_a_build_and_fit_model_of_ones_own_gets_the_parents_weights_from_try_build(place):
    weights = {}

    class Own(kt.Hyperband):
        def _build_and_fit_model(self, trial, *args, **kwargs):
            model = self._try_build(trial.hyperparameters)
            parent = trial.hyperparameters.values.get("tuner/trial_id")
            if parent is not None:
                assert all(map(np.array_equal, model.get_weights(), weights[parent]))
            history = self.hypermodel.fit(trial.hyperparameters, model, *args, **kwargs)
            weights[trial.trial_id] = model.get_weights()
            return history

    tuner = Own(models.build, "val_loss", max_epochs=2, factor=2, seed=0, **place)
    kwargs = {"epochs": 1, "validation_split": 0.25, "verbose": 0}
    tuner.search(X, Y, **kwargs)
    assert statuses(tuner) == {"COMPLETED"}


def test_trouble_of_the_store_still_ends_the_search(place):
    def broken(hp):
        raise StoreError("the database is gone")

    class Broken(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            broken(trial.hyperparameters)

    tuner = Broken(objective=goal(), max_trials=2, **place)
    with pytest.raises(StoreError, match="database"):
        tuner.search(verbose=0)


def test_a_checkpoint_that_a_trial_asks_for_in_vain_is_the_trials_failure(place):
    class Loading(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            if trial.trial_id == "0":
                self.load_model(trial)
            return 1.0

    tuner = Loading(models.build, goal(), max_trials=2, **place)
    tuner.search(verbose=0)
    assert [trial.status for trial in trials_of(tuner)] == ["FAILED", "COMPLETED"]


# -- models that are hardly models ----------------------------------------------------------------


class Counting(keras.Model):
    """Has no variables, learns nothing and counts its calls, as a stand-in in tests does."""

    calls = 0

    def __init__(self, loss):
        super().__init__()
        self.loss_told = loss
        self.optimizer = True

    def call(self, inputs):
        return inputs

    def fit(self, *args, callbacks, **kwargs):
        type(self).calls += 1
        for callback in callbacks:
            callback.set_model(self)
            callback.on_epoch_begin(0)
            callback.on_epoch_end(0, {"loss": self.loss_told})
        history = keras.callbacks.History()
        history.history = {"loss": [self.loss_told]}
        return history


class SavingItself(Counting):
    saved = 0

    def save_weights(self, path, **kwargs):
        type(self).saved += 1
        Path(path).touch()

    def load_weights(self, path, **kwargs):
        """There is nothing to load."""


@pytest.mark.parametrize("kind", [Counting, SavingItself])
@pytest.mark.parametrize("tuner_class", [kt.RandomSearch, kt.Hyperband])
def test_a_model_without_variables_is_searched_and_scored(kind, tuner_class, place):
    def build(hp):
        return kind(float(hp.Int("loss", 1, 9)))

    own = {"max_trials": 3} if tuner_class is kt.RandomSearch else {"max_epochs": 2, "factor": 2}
    before = kind.calls
    tuner = tuner_class(build, "loss", seed=0, **own, **place)
    tuner.search(X, Y, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    assert kind.calls - before == len(trials_of(tuner))
    for trial in trials_of(tuner):
        assert trial.score == trial.hyperparameters.get("loss")
        assert trial.notes.get("checkpoint") == (
            "none: the model has no variables" if kind is Counting else None
        )
    assert isinstance(tuner.get_best_models()[0], kind)


def test_a_mock_of_a_model_is_searched(place):
    model = mock.Mock(spec=keras.Model)
    model.fit.return_value = 0.5

    def build(hp):
        hp.Int("number", 0, 9)
        return model

    tuner = kt.RandomSearch(build, goal(), max_trials=2, **place)
    tuner.search(X, epochs=1, verbose=0)
    assert [trial.message for trial in trials_of(tuner)] == [None, None]
    assert [trial.score for trial in trials_of(tuner)] == [0.5, 0.5]
    assert model.fit.call_count == 2


def uncompiled(hp):
    hp.Int("number", 0, 9)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])


def test_a_model_that_is_never_compiled_is_not_refused_where_somebody_else_trains(place):
    class Fit(kt.HyperModel):
        def build(self, hp):
            return uncompiled(hp)

        def fit(self, hp, model, *args, **kwargs):
            return 1.0

    class Run(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            self._try_build(trial.hyperparameters)
            return 1.0

    class BuildAndFit(kt.RandomSearch):
        def _build_and_fit_model(self, trial, *args, **kwargs):
            self._try_build(trial.hyperparameters)
            return 1.0

    for kind, hypermodel in (
        (kt.RandomSearch, Fit()),
        (Run, uncompiled),
        (BuildAndFit, uncompiled),
    ):
        tuner = kind(hypermodel, goal(), max_trials=1, overwrite=True, **place)
        tuner.search(X, Y, verbose=0)
        assert statuses(tuner) == {"COMPLETED"}
    plain = kt.RandomSearch(uncompiled, goal(), max_trials=1, overwrite=True, **place)
    with pytest.raises(FatalValueError, match="compiled"):
        plain.search(X, Y, verbose=0)


# -- callbacks ------------------------------------------------------------------------------------


class Single(keras.callbacks.Callback):
    """Cannot be copied."""

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1

    def __reduce_ex__(self, protocol):
        raise TypeError("one of me")


def test_a_callback_that_cannot_be_copied_is_shared_by_all_trials_with_one_warning(place):
    single = Single()
    tuner = kt.RandomSearch(
        models.build, "loss", max_trials=2, executions_per_trial=2, seed=0, **place
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuner.search(X, Y, epochs=2, verbose=0, callbacks=[single])
    assert len([w for w in caught if "Single cannot be copied" in str(w.message)]) == 1
    assert statuses(tuner) == {"COMPLETED"}
    assert single.epochs == 8


class Counter(keras.callbacks.Callback):
    seen = 0

    def on_epoch_end(self, epoch, logs=None):
        type(self).seen += 1


FORMS = {
    "single": lambda: Counter(),
    "tuple": lambda: (Counter(),),
    "nested": lambda: [[Counter()]],
    "callback list": lambda: keras.callbacks.CallbackList([Counter()]),
}


@pytest.mark.parametrize("hypermodel", [models.build, Spy()], ids=["fused", "own fit"])
@pytest.mark.parametrize("form", FORMS)
def test_callbacks_are_taken_in_every_form(form, hypermodel, place):
    before = Counter.seen
    tuner = kt.RandomSearch(hypermodel, "loss", max_trials=1, **place)
    data = (X, Y) if hypermodel is models.build else ()
    tuner.search(*data, epochs=1, verbose=0, callbacks=FORMS[form]())
    assert statuses(tuner) == {"COMPLETED"}
    assert Counter.seen == before + 1


@pytest.mark.parametrize("result", [{"score": 2.0}, 2.0, 2, np.float32(2)])
def test_fit_may_return_a_dict_or_a_number(result, place):
    class Returning(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, *args, **kwargs):
            return result

    tuner = kt.RandomSearch(Returning(), goal(), max_trials=1, **place)
    tuner.search(verbose=0)
    assert trials_of(tuner)[0].score == 2.0


def test_fit_may_report_to_the_oracle_and_return_nothing(place):
    class Reporting(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, callbacks, **kwargs):
            trial = next(c.trial for c in callbacks if hasattr(c, "trial"))
            tuner.oracle.update_trial(trial.trial_id, {"score": 3.0}, step=1)

    tuner = kt.RandomSearch(Reporting(), goal(), max_trials=1, **place)
    with pytest.warns(DeprecationWarning, match="update_trial"):
        tuner.search(verbose=0)
    (trial,) = trials_of(tuner)
    assert (trial.score, trial.best_step) == (3.0, 1)
