"""Small models that are trained together, and what came of them."""

import keras
import pytest

import afina as kt
from tests.tuners import models

layers = keras.layers
X, Y = models.data(64)
TOLERANCE = 1e-5


def build(hp, units=None):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(units or hp.Choice("units", [4, 8]), activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(2, activation="softmax"),
        ]
    )
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def like(hp):
    """All of one program."""
    return build(hp, units=5)


def search(tuner, **kwargs):
    tuner.search(X, Y, **{"epochs": 2, "validation_split": 0.25, "verbose": 0, **kwargs})
    return tuner


def random_search(folder, name="p", make=like, **kwargs):
    return kt.RandomSearch(
        make,
        "val_loss",
        **{"max_trials": 3, "seed": 1, "group_trials": 3, **kwargs},
        directory=folder,
        project_name=name,
    )


def trials_of(tuner):
    """What was tried, whatever the order of trials: configuration, status, score, curves."""
    found = []
    for trial in tuner.oracle.get_best_trials(99):
        values = {k: v for k, v in trial.hyperparameters.values.items() if k != "tuner/trial_id"}
        numbers = [(r.execution, r.step, *sorted(r.metrics.items())) for r in trial.history]
        found.append((sorted(values.items()), trial.status, trial.score, numbers))
    return sorted(found, key=lambda each: (str(each[0]), len(each[3])))


def assert_same(one, other):
    assert len(one) == len(other)
    for (values, status, score, curves), mine in zip(one, other, strict=True):
        assert mine[:2] == (values, status)
        assert (mine[2] is None) == (score is None)
        assert score is None or mine[2] == pytest.approx(score, rel=TOLERANCE, abs=TOLERANCE)
        assert len(mine[3]) == len(curves)
        for epoch, own in zip(curves, mine[3], strict=True):
            assert own[:2] == epoch[:2]
            assert dict(own[2:]) == pytest.approx(
                dict(epoch[2:]), rel=TOLERANCE, abs=TOLERANCE, nan_ok=True
            )


def trials(tuner):
    return list(tuner.oracle.trials.values())


def notes(tuner):
    return [tuner.oracle.trials[i].notes["group"] for i in sorted(tuner.oracle.trials)]


def grid(folder, make, **kwargs):
    hps = kt.HyperParameters()
    hps.Fixed("rate", 0.01)
    kwargs = {"group_trials": 3, "seed": 1, **kwargs}
    return kt.GridSearch(make, "val_loss", hyperparameters=hps, directory=folder, **kwargs)
