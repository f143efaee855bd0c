"""Trainings that are the user's own: what is overridden, their arguments, their callbacks."""

import os
import subprocess
import sys
import textwrap
import warnings
from unittest import mock

import keras
import numpy as np
import pytest

import afina as kt
from afina.tuners.overrides import AROUND, TRAINING, first_overridden, is_overridden
from tests.tuners import models
from tests.tuners.models import goal, statuses, trials_of

X, Y = models.data(48)


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p"}


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


@pytest.mark.first("single-fused", "tuple-own fit", "nested-fused", "callback list-own fit")
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
