"""The searches, as a user of Keras Tuner writes them.

    F, R       the two case studies: dense networks on pictures and on bags of words, by Hyperband
    CNN        two convolutions on pictures                                    by random search
    GRU        an embedding and a GRU on texts as padded sequences of words    by random search
    TABULAR    dense layers, batch normalization, dropout and Nadam            by random search

Nothing here names Afina: `kt` is whichever package the caller imported, and only Keras Tuner's
public interface is used. That the same code runs in both is half of what this benchmark shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

OBJECTIVE = "val_accuracy"
SEED = 1
FACTOR = 3

layers = keras.layers


def build_fashion(hp: Any) -> keras.Model:
    """Ten kinds of clothing on pictures of 28 by 28 grey pixels."""
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(hp.Int("units", 32, 512, step=32), activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Choice("learning_rate", values=[1e-2, 1e-3, 1e-4])),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def build_reuters(hp: Any) -> keras.Model:
    """46 topics of newswires, each a row of 10,000 zeros and ones."""
    model = keras.Sequential([keras.Input((10_000,)), layers.Dense(128, activation="relu")])
    units = hp.Int("units", 32, 512, step=32)
    for _ in range(hp.Int("layers", 1, 5)):
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(46, activation="softmax"))
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build_cnn(hp: Any) -> keras.Model:
    """The same pictures, by two convolutions."""
    model = keras.Sequential([keras.Input((28, 28)), layers.Reshape((28, 28, 1))])
    for number in (1, 2):
        filters = hp.Int(f"filters_{number}", 16, 64, step=16)
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1)))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build_gru(hp: Any) -> keras.Model:
    """46 topics of newswires, each a sequence of word numbers with zeros before it."""
    model = keras.Sequential(
        [
            keras.Input((80,), dtype="int32"),
            layers.Embedding(10_000, hp.Choice("embedding", [32, 64])),
            layers.GRU(hp.Int("units", 16, 64, step=16)),
            layers.Dense(46, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build_tabular(hp: Any) -> keras.Model:
    """Two classes of rows with 30 columns."""
    model = keras.Sequential([keras.Input((30,))])
    units, rate = hp.Int("units", 32, 256, step=32), hp.Float("dropout", 0.0, 0.5, step=0.1)
    for _ in range(hp.Int("layers", 1, 3)):
        model.add(layers.Dense(units))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        model.add(layers.Dropout(rate))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(
        optimizer=keras.optimizers.Nadam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


@dataclass(frozen=True)
class Job:
    """One search."""

    title: str
    build: Callable[[Any], keras.Model]
    validation: Callable[[Mapping[str, Any]], dict[str, Any]]
    """From the arrays to the argument of `search` that says what is validated on."""

    epochs: int | None = None
    """Epochs of each trial of a random search; None for a search by Hyperband."""

    batch: int = 32


def held_back(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"validation_data": (data["x_val"], data["y_val"])}


JOBS = {
    "F": Job(
        title="Fashion-MNIST, one hidden layer",
        build=build_fashion,
        validation=lambda data: {"validation_split": 0.2},
    ),
    "R": Job(title="Reuters, two to six hidden layers", build=build_reuters, validation=held_back),
    "CNN": Job(
        title="Fashion-MNIST, two convolutions",
        build=build_cnn,
        validation=lambda data: {"validation_split": 0.2},
        epochs=3,
        batch=64,
    ),
    "GRU": Job(
        title="Reuters, an embedding and a GRU",
        build=build_gru,
        validation=held_back,
        epochs=3,
        batch=64,
    ),
    "TABULAR": Job(
        title="A table, dense layers with batch normalization and dropout",
        build=build_tabular,
        validation=lambda data: {"validation_split": 0.2},
        epochs=4,
        batch=64,
    ),
}


def create_tuner(kt: Any, job: str, folder: str, max_epochs: int, **more: Any) -> Any:
    """The tuner, its project in `folder`; `more` are further options of Afina's."""
    settings = {
        **more,
        "objective": OBJECTIVE,
        "seed": SEED,
        "directory": folder,
        "project_name": job,
        "overwrite": True,
    }
    if JOBS[job].epochs is None:
        return kt.Hyperband(JOBS[job].build, max_epochs=max_epochs, factor=FACTOR, **settings)
    return kt.RandomSearch(JOBS[job].build, max_trials=100, **settings)


def search(tuner: Any, job: str, data: Mapping[str, Any], batch: int) -> None:
    """The search itself."""
    settings = dict(JOBS[job].validation(data), batch_size=batch, verbose=0)
    if JOBS[job].epochs is not None:
        settings["epochs"] = JOBS[job].epochs
    tuner.search(data["x"], data["y"], **settings)


def drawn(job: str, trials: int) -> list[dict[str, Any]]:
    """The trials of a random search, to be replayed: each draws its values by its own number."""
    hp, found = Draws(), []
    for number in range(trials):
        hp.rng = np.random.default_rng([SEED, number])
        hp.values = {}
        JOBS[job].build(hp)
        found.append({"values": hp.values, "parent": None})
    return found


class Draws:
    """A stand-in for Keras Tuner's `hp` that draws each value, with NumPy only."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.values: dict[str, Any] = {}

    def Choice(self, name: str, values: Sequence[Any]) -> Any:
        return self._kept(name, values[int(self.rng.integers(len(values)))])

    def Int(self, name: str, low: int, high: int, step: int = 1) -> int:
        return int(self._kept(name, low + step * int(self.rng.integers((high - low) // step + 1))))

    def Float(
        self,
        name: str,
        low: float,
        high: float,
        step: float | None = None,
        sampling: str | None = None,
    ) -> float:
        if step is not None:
            value = low + step * int(self.rng.integers(round((high - low) / step) + 1))
        elif sampling == "log":
            value = float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
        else:
            value = float(self.rng.uniform(low, high))
        return float(self._kept(name, round(value, 10)))

    def _kept(self, name: str, value: Any) -> Any:
        return self.values.setdefault(name, value)


class Replay:
    """Takes the place of an oracle's `populate_space`: hands out recorded trials.

        tuner.oracle.populate_space = Replay(tuner.oracle, recorded)

    They come in the order of the recording. One whose parent has not ended yet lets a later one
    go first, so that several may run at once. What the trials are, whose weights they go on from
    and how long they train is then the same whoever runs them.

    Args:
        oracle: Whose trials they become.
        recorded: What `record` returned.
    """

    def __init__(self, oracle: Any, recorded: Sequence[Mapping[str, Any]]) -> None:
        self.oracle = oracle
        self.left = dict(enumerate(recorded))
        self.ids: dict[int, str] = {}
        """This run's id of each recorded trial that was handed out, by its place."""

    def __call__(self, trial_id: str) -> dict[str, Any]:
        """The next trial that can start, as `populate_space` returns it.

        Raises:
            RuntimeError: A trial has failed that others were to go on from.
        """
        for place, trial in self.left.items():
            if not self._can_start(trial):
                continue
            del self.left[place]
            self.ids[place] = trial_id
            values = dict(trial["values"])
            if "bracket" in trial:
                values |= {
                    "tuner/epochs": trial["epochs"],
                    "tuner/initial_epoch": trial["initial_epoch"],
                    "tuner/bracket": trial["bracket"],
                    "tuner/round": trial["round"],
                }
            if trial["parent"] is not None:
                values["tuner/trial_id"] = self.ids[trial["parent"]]
            return {"status": "RUNNING", "values": values}
        return {"status": "IDLE" if self.left else "STOPPED"}

    def _can_start(self, trial: Mapping[str, Any]) -> bool:
        if trial["parent"] is None:
            return True
        if trial["parent"] not in self.ids:
            return False
        parent = self.oracle.trials[self.ids[trial["parent"]]]
        if parent.status == "FAILED":
            raise RuntimeError(f"Trial {parent.trial_id} failed: {parent.message}")
        return bool(parent.status == "COMPLETED")


def record(oracle: Any) -> list[dict[str, Any]]:
    """The trials of a finished Hyperband search in the order in which they were begun."""
    places = {trial_id: place for place, trial_id in enumerate(oracle.start_order)}
    found = []
    for trial_id in oracle.start_order:
        trial = oracle.trials[trial_id]
        values = dict(trial.hyperparameters.values)
        parent = values.get("tuner/trial_id")
        found.append(
            {
                "values": {k: v for k, v in values.items() if not k.startswith("tuner/")},
                "epochs": values["tuner/epochs"],
                "initial_epoch": values["tuner/initial_epoch"],
                "bracket": values["tuner/bracket"],
                "round": values["tuner/round"],
                "parent": None if parent is None else places[parent],
                "score": trial.score,
            }
        )
    return found
