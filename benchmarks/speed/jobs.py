"""The two searches, as a user of Keras Tuner writes them.

Nothing here names Afina: `kt` is whichever package the caller imported, and only Keras Tuner's
public interface is used. That the same code runs in both is half of what this benchmark shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

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


@dataclass(frozen=True)
class Job:
    """One search."""

    title: str
    build: Callable[[Any], keras.Model]
    validation: Callable[[Mapping[str, Any]], dict[str, Any]]
    """From the arrays to the argument of `search` that says what is validated on."""


JOBS = {
    "F": Job(
        title="Fashion-MNIST, one hidden layer",
        build=build_fashion,
        validation=lambda data: {"validation_split": 0.2},
    ),
    "R": Job(
        title="Reuters, two to six hidden layers",
        build=build_reuters,
        validation=lambda data: {"validation_data": (data["x_val"], data["y_val"])},
    ),
}


def create_tuner(kt: Any, job: str, folder: str, max_epochs: int) -> Any:
    """The tuner, its project in `folder`."""
    return kt.Hyperband(
        JOBS[job].build,
        objective=OBJECTIVE,
        max_epochs=max_epochs,
        factor=FACTOR,
        seed=SEED,
        directory=folder,
        project_name=job,
        overwrite=True,
    )


def search(tuner: Any, job: str, data: Mapping[str, Any], batch: int) -> None:
    """The search itself."""
    tuner.search(
        data["x"],
        data["y"],
        batch_size=batch,
        verbose=0,
        **JOBS[job].validation(data),
    )


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
            values = {
                **trial["values"],
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
