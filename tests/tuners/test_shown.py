"""What a tuner tells its display."""

import keras
import numpy as np
import pytest

import afina as kt
from afina.progress import SearchStarted, TrialStarted
from afina.search import Grid, Hyperband, Random
from afina.space import HyperParameters


def build(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-1)), "mse")
    return model


@pytest.fixture
def events(monkeypatch):
    """The events that a display gets."""
    found = []

    class Recorder:
        def handle(self, event):
            found.append(event)

        def close(self):
            pass

    monkeypatch.setattr("afina.tuners.base_tuner.create_display", lambda *_, **__: Recorder())
    return found


def test_hyperband_tells_its_total_before_the_first_trial_and_keeps_it(events, tmp_path):
    tuner = kt.Hyperband(build, objective="val_loss", max_epochs=2, seed=0, directory=tmp_path)
    x = np.ones((4, 2), "float32")
    tuner.search(x, x[:, 0], validation_data=(x, x[:, 0]))
    trials = list(tuner.oracle.search_state.trials.values())
    [begun] = [event for event in events if isinstance(event, SearchStarted)]
    assert begun.total == len(trials)
    assert begun.total_epochs == sum(len(trial.curve) for trial in trials)
    starts = [event for event in events if isinstance(event, TrialStarted)]
    assert {event.total for event in starts} == {len(trials)}


def space(**choices):
    hp = HyperParameters()
    for name, count in choices.items():
        hp.Choice(name, list(range(count)))
    return hp.to_space()


@pytest.mark.parametrize(
    ("algorithm", "known"),
    [
        (Hyperband(max_epochs=9), space(a=100)),
        (Hyperband(max_epochs=9, iterations=2), space(a=100)),
        (Hyperband(max_epochs=9), space(a=2)),  # brackets shrink
        (Grid(), space(a=3, b=4)),
    ],
)
def test_a_search_with_an_end_of_its_own_knows_its_length(algorithm, known):
    hp = HyperParameters.from_config({"space": known.get_config(), "values": {}})
    study = kt.Study(hp, objective="loss", algorithm=algorithm, seed=0)
    epochs = 0
    while (trial := study.ask()) is not None:
        epochs += (trial.end_epoch or 0) - trial.start_epoch
        study.tell(trial, 1.0 / (trial.number + 1))
    plan = algorithm.planned(known)
    assert (plan.trials, plan.epochs or 0) == (len(study.trials), epochs)


def test_a_search_without_an_end_has_no_length():
    assert Hyperband(max_epochs=9, iterations=None).planned(space(a=9)) is None
    assert Random().planned(space(a=9)) is None
