"""How a promoted trial gets its weights: from its segment, and from the names `tuner/...`."""

import numpy as np
import pytest

import afina as kt
from afina.tuners.reserved_keys import PlannedSegment
from tests.tuners import models


@pytest.fixture
def tuner(tmp_path):
    return kt.Hyperband(models.build, "val_loss", max_epochs=2, seed=0, directory=tmp_path)


def trial_of(tuner, values=()):
    hp = tuner.oracle.get_space()
    hp.values |= dict(values)
    return kt.engine.trial.Trial(hp, trial_id="0000")


@pytest.mark.parametrize(
    ("values", "segment"),
    [
        ({}, None),
        ({"tuner/bracket": 1}, None),
        ({"tuner/epochs": 4}, PlannedSegment(0, 4, None)),
        ({"tuner/epochs": 4, "tuner/initial_epoch": 2}, PlannedSegment(2, 4, None)),
        ({"tuner/trial_id": "0007"}, PlannedSegment(0, None, "0007")),
        (
            {"tuner/epochs": 4, "tuner/initial_epoch": 2, "tuner/trial_id": "7"},
            PlannedSegment(2, 4, "7"),
        ),
    ],
)
def test_a_trial_s_segment_follows_from_what_its_values_say_now(tuner, values, segment):
    trial = trial_of(tuner)
    assert trial.segment is None
    trial.hyperparameters.values |= values
    assert trial.segment == segment


def test_a_parent_alone_among_the_values_gives_its_weights_to_the_model(tuner):
    parent = tuner.oracle.create_trial("me")
    model = tuner._try_build(parent.hyperparameters)
    model.set_weights([np.full_like(w, 0.5) for w in model.get_weights()])
    tuner.save_model(parent.trial_id, model)
    child = trial_of(tuner, {**parent.hyperparameters.values, "tuner/trial_id": parent.trial_id})
    built = tuner._try_build(child.hyperparameters)
    assert all((weights == 0.5).all() for weights in built.get_weights())
    again = trial_of(tuner, parent.hyperparameters.values)
    fresh = tuner._try_build(again.hyperparameters)
    assert not all((weights == 0.5).all() for weights in fresh.get_weights())


def test_the_epochs_that_a_run_trial_sets_are_the_ones_that_are_trained(tmp_path):
    trained = []

    class Longer(kt.Hyperband):
        def run_trial(self, trial, *args, **kwargs):
            trial.hyperparameters.values["tuner/epochs"] = 3
            trial.hyperparameters.values["tuner/initial_epoch"] = 1
            return super().run_trial(trial, *args, **kwargs)

        def on_epoch_begin(self, trial, model, epoch, logs=None):
            trained.append(epoch)

    x, y = models.data(rows=8)
    tuner = Longer(models.build, "val_loss", max_epochs=2, seed=0, directory=tmp_path)
    tuner.oracle.max_trials = 1
    tuner.search(x, y, validation_data=(x, y), verbose=0)
    assert trained == [1, 2]
