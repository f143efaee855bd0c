"""Small real models and data for the tests of tuners, and what these ask of a search."""

import keras
import numpy as np

import afina as kt


def data(rows=96, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("int32")


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(hp.Int("units", 4, 12, step=4), activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(hp.Choice("learning_rate", [1e-2, 1e-3])),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def goal():
    return kt.Objective("score", "min")


def trials_of(tuner):
    return list(tuner.oracle.trials.values())


def statuses(tuner):
    return {trial.status for trial in trials_of(tuner)}


def picture(tuner):
    """All that must not depend on where and in which order the trials were trained."""
    found = []
    for trial in trials_of(tuner):
        values = dict(trial.hyperparameters.values)
        parent = values.pop("tuner/trial_id", None)
        before = tuner.oracle.trials[parent].score if parent else None
        curves = [
            (report.execution, report.step, sorted(report.metrics.items()))
            for report in tuner.oracle.search_state.history(int(trial.trial_id))
        ]
        found.append((str(trial.status), str(values), before, trial.score, trial.best_step, curves))
    return sorted(found, key=str)
