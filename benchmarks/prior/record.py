"""Records trainings of small networks on generated and bundled data, to learn the prior from.

    python benchmarks/prior/record.py --trials 200         # all data sets; hours on two cores
    python benchmarks/prior/record.py --only rings digits --trials 3 --epochs 2

Each data set is one random search of Afina, with full learning curves, in a project below
`.bench/prior`. Run it again to go on where it stopped. When a data set is done, what its best
trainings say of each role goes into `recorded.json`, which `learn.py` reads as one more collection.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import learn
import numpy as np
from problem import Problem
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

import afina
from afina.trials import Status

FOLDER = Path(__file__).resolve().parents[1] / ".bench" / "prior"
BEST = 0.05
"""The part of the trials that votes: there are fewer than in the recorded tables."""

Data = tuple[np.ndarray, np.ndarray]


def _made(seed: int, samples: int, features: int, classes: int, noise: float) -> Data:
    """Clusters of several classes; more noise and fewer useful features make it harder."""
    x, y = datasets.make_classification(
        samples,
        features,
        n_informative=max(features // 2, 4),
        n_redundant=features // 4,
        n_classes=classes,
        flip_y=noise,
        class_sep=1.2 - 2 * noise,
        random_state=seed,
    )
    return x, y


SETS: dict[str, Callable[[], Data]] = {
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "breast_cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "iris": lambda: datasets.load_iris(return_X_y=True),
    "rings": lambda: datasets.make_circles(1500, noise=0.12, factor=0.6, random_state=0),
    "moons": lambda: datasets.make_moons(1500, noise=0.3, random_state=0),
    "quantiles": lambda: datasets.make_gaussian_quantiles(
        n_samples=2000, n_features=8, n_classes=4, random_state=0
    ),
    **{
        f"clusters{seed}": lambda seed=seed: _made(
            seed, 800 + 400 * seed, 8 + 6 * seed, 2 + seed % 4, 0.05 * (seed % 5)
        )
        for seed in range(8)
    },
}
"""Data sets by name: those that scikit-learn brings, and generated ones of varied difficulty."""


def build(hp: Any, features: int, classes: int) -> Any:
    """A dense network with the hyperparameters that have a role."""
    rate = hp.Float("learning_rate", 1e-5, 1.0, sampling="log")
    decay = hp.Float("weight_decay", 1e-7, 1e-1, sampling="log")
    layers = [keras.layers.Input((features,))]
    for _ in range(hp.Int("depth", 1, 4)):
        units = hp.Int("width", 8, 256, step=2, sampling="log")
        layers.append(keras.layers.Dense(units, activation=hp.Choice("act", ["relu", "tanh"])))
        layers.append(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.8, step=0.1)))
    layers.append(keras.layers.Dense(classes, activation="softmax"))
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=decay)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Network(afina.HyperModel):
    """`build` for one data set, and its batch size."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features, self.classes = features, classes

    def build(self, hp: Any) -> Any:
        """See `build`."""
        return build(hp, self.features, self.classes)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains with the batch size of the trial."""
        batch = hp.Int("batch_size", 8, 256, step=2, sampling="log")
        return model.fit(*args, **{**kwargs, "batch_size": batch})


def record(name: str, trials: int, epochs: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Goes on with the search of a data set until it has so many trials; by role what is good."""
    x, y = SETS[name]()
    x = StandardScaler().fit_transform(x)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32"), y[order].astype("int32")
    cut = int(0.7 * len(x))
    tuner = afina.RandomSearch(
        Network(x.shape[1], int(y.max()) + 1),
        objective="val_loss",
        max_trials=trials,
        max_consecutive_failed_trials=trials,
        seed=0,
        directory=folder,
        project_name=name,
    )
    data = (x[cut:], y[cut:])
    tuner.search(x[:cut], y[:cut], validation_data=data, epochs=epochs, verbose=0)
    state = tuner.oracle.search_state
    done = [t for t in state.trials.values() if t.status is Status.COMPLETED and t.loss is not None]
    done.sort(key=lambda trial: trial.loss)
    best = [dict(trial.values) for trial in done[: max(math.ceil(BEST * len(done)), 1)]]
    problem = Problem(name=name, group="recorded", tuning=True, space=state.space)
    return learn.of_good(problem, best)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(SETS), metavar="NAME")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--output", type=Path, default=learn.RECORDED)
    options = parser.parse_args()
    for name in options.only or SETS:
        votes = record(name, options.trials, options.epochs, options.folder)
        kept: dict[str, dict[str, Any]] = {}
        if options.output.exists():
            kept = json.loads(options.output.read_text(encoding="utf-8"))["by_set"]
        kept[name] = votes
        roles = sorted({role for each in kept.values() for role in each})
        joined = {role: [each[role] for each in kept.values() if role in each] for role in roles}
        text = json.dumps({"by_set": kept, "votes": joined}, indent=1, sort_keys=True)
        options.output.write_text(text + "\n", encoding="utf-8")
        print(name, votes, flush=True)


if __name__ == "__main__":
    main()
