"""Measures the rules of thumb that the pages under "Learn" teach, each on small real data.

    AFINA_DATA=... python benchmarks/learn/run.py [--only depth width ...]

Each experiment varies one hyperparameter in a grid, with everything else fixed, and trains each
value with three seeds. The figure of a value is the best validation accuracy of its epochs. The
results go to `results.json`, and `draw.py` makes the pictures and the tables of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import afina as kt  # before Keras, so that it can choose an installed backend
import keras
import numpy as np
from afina.demos import load_fashion_mnist, load_reuters
from afina.demos.data import multi_hot

RESULTS = Path(__file__).with_name("results.json")
SAMPLES = 2000
SEEDS = 3
EPOCHS = 8
RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0]
BATCHES = [8, 16, 32, 64, 128, 256, 512]


@dataclass(frozen=True)
class Data:
    """Samples to train on, and as many others to validate with."""

    name: str
    x: Any
    y: Any
    x_val: Any
    y_val: Any
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])


def clothes(samples: int = SAMPLES) -> Data:
    every = load_fashion_mnist()
    x, y = every.x_train.reshape(len(every.x_train), -1), every.y_train
    return Data("fashion-mnist", *_halves(x, y, samples), 10)


def newswires(samples: int = SAMPLES) -> Data:
    every = load_reuters()
    x = multi_hot(every.x_train[: 2 * samples])
    return Data("reuters", *_halves(x, every.y_train, samples), len(every.topics))


def _halves(x: Any, y: Any, samples: int) -> tuple[Any, Any, Any, Any]:
    return x[:samples], y[:samples], x[samples : 2 * samples], y[samples : 2 * samples]


def network(
    data: Data, widths: Sequence[int], optimizer: Any = None, activation: str | None = "relu"
) -> Any:
    """A dense network, compiled; Adam with a rate of 0.001 unless another optimizer is given."""
    hidden = [keras.layers.Dense(width, activation=activation) for width in widths]
    last = keras.layers.Dense(data.classes, activation="softmax")
    model = keras.Sequential([keras.Input(data.shape), *hidden, last])
    model.compile(optimizer or keras.optimizers.Adam(1e-3), LOSS, metrics=["accuracy"])
    return model


LOSS = "sparse_categorical_crossentropy"


class Varied(kt.HyperModel):
    """One hyperparameter, named "value"; the rest is fixed."""

    def __init__(self, values: Sequence[Any], build: Callable[[Any], Any], batch: bool) -> None:
        super().__init__()
        self.values, self.make, self.batch = list(values), build, batch

    def build(self, hp: Any) -> Any:
        return self.make(hp.Choice("value", self.values))

    def fit_arguments(self, hp: Any) -> dict[str, Any]:
        return {"batch_size": int(hp.get("value")) if self.batch else 32}


def grid(
    data: Data,
    values: Sequence[Any],
    build: Callable[[Any], Any],
    *,
    epochs: int = EPOCHS,
    batch: bool = False,
) -> list[dict[str, Any]]:
    """The mean best validation accuracy of each value, and the spread of its seeds."""
    with tempfile.TemporaryDirectory() as folder:
        tuner = kt.GridSearch(
            Varied(values, build, batch),
            "val_accuracy",
            executions_per_trial=SEEDS,
            seed=0,
            directory=folder,
        )
        validation = (data.x_val, data.y_val)
        tuner.search(data.x, data.y, epochs=epochs, validation_data=validation, verbose=0)
        rows = []
        for trial in tuner.oracle.get_best_trials(len(values)):
            best: dict[int, float] = {}
            for report in trial.history:
                score = report.metrics["val_accuracy"]
                best[report.execution] = max(best.get(report.execution, 0.0), score)
            scores = list(best.values())
            rows.append(
                {
                    "value": trial.hyperparameters.values["value"],
                    "accuracy": round(statistics.fmean(scores), 4),
                    "spread": round(statistics.stdev(scores), 4) if len(scores) > 1 else 0.0,
                }
            )
    return sorted(rows, key=lambda row: values.index(row["value"]))


def depth() -> Any:
    return {
        data.name: grid(data, [1, 2, 3, 4, 5], lambda n, d=data: network(d, [64] * n))
        for data in (clothes(), newswires())
    }


def width() -> Any:
    widths = [8, 16, 32, 64, 128, 256, 512]
    return {
        data.name: grid(data, widths, lambda n, d=data: network(d, [n]))
        for data in (clothes(), newswires())
    }


def shape() -> Any:
    shapes = {"equal": [256, 256, 256], "pyramid": [256, 128, 64], "widening": [64, 128, 256]}
    return {
        data.name: grid(data, list(shapes), lambda name, d=data: network(d, shapes[name]))
        for data in (clothes(), newswires())
    }


def rate() -> Any:
    found = {}
    for data in (clothes(), newswires()):
        rows = grid(
            data, RATES, lambda rate, d=data: network(d, [128], keras.optimizers.Adam(rate))
        )
        keras.utils.set_random_seed(0)
        curve = kt.lr_range_test(network(data, [128]), data.x, data.y)
        found[data.name] = {
            "grid": rows,
            "rates": [float(f"{value:.4g}") for value in curve.lrs],
            "smoothed": [round(float(value), 4) for value in curve.smoothed],
            "suggestion": float(f"{curve.suggestion:.3g}"),
            "bounds": [float(f"{bound:.3g}") for bound in curve.bounds],
        }
    return found


def optimizer() -> Any:
    made: dict[str, Callable[[float], Any]] = {
        "sgd": lambda rate: keras.optimizers.SGD(rate),
        "sgd, momentum 0.9": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "rmsprop": lambda rate: keras.optimizers.RMSprop(rate),
        "adam": lambda rate: keras.optimizers.Adam(rate),
    }
    data = clothes()
    return {
        name: grid(data, RATES[2:10], lambda rate, m=make: network(data, [128], m(rate)))
        for name, make in made.items()
    }


def batch() -> Any:
    return {
        data.name: grid(data, BATCHES, lambda _, d=data: network(d, [128]), batch=True)
        for data in (clothes(), newswires())
    }


def activation() -> Any:
    names = ["relu", "tanh", "sigmoid", "linear"]
    return {
        data.name: grid(data, names, lambda name, d=data: network(d, [64] * 3, activation=name))
        for data in (clothes(), newswires())
    }


def overfitting() -> Any:
    data = clothes(1000)
    keras.utils.set_random_seed(0)
    model = network(data, [256, 256])
    fitted = model.fit(
        data.x, data.y, epochs=40, validation_data=(data.x_val, data.y_val), verbose=0
    )
    return {name: [round(float(v), 4) for v in values] for name, values in fitted.history.items()}


def transfer() -> Any:
    """The first k of four layers kept as five other classes taught them; 100 pictures to learn."""
    every = load_fashion_mnist()
    pictures = every.x_train[..., None]
    old = every.y_train < 5
    new = np.flatnonzero(~old)
    few, others = new[:100], new[1000:3000]
    rows = []
    for seed in range(SEEDS):
        keras.utils.set_random_seed(seed)
        base = convolutional()
        base.fit(
            pictures[old][:6000], every.y_train[old][:6000], epochs=5, batch_size=64, verbose=0
        )
        for kept in ("none", 0, 1, 2, 3):
            keras.utils.set_random_seed(100 + seed)
            model = convolutional()
            learnt = [layer for layer in model.layers if layer.weights][:-1]
            if kept != "none":
                taught = [layer for layer in base.layers if layer.weights][:-1]
                for layer, teacher in zip(learnt, taught, strict=True):
                    layer.set_weights(teacher.get_weights())
                for layer in learnt[: int(kept)]:
                    layer.trainable = False
            model.compile("adam", LOSS, metrics=["accuracy"])
            fitted = model.fit(
                pictures[few],
                every.y_train[few] - 5,
                epochs=20,
                validation_data=(pictures[others], every.y_train[others] - 5),
                verbose=0,
            )
            rows.append((str(kept), max(fitted.history["val_accuracy"])))
    by_kept: dict[str, list[float]] = {}
    for name, score in rows:
        by_kept.setdefault(name, []).append(score)
    return [
        {
            "frozen": name,
            "accuracy": round(statistics.fmean(scores), 4),
            "spread": round(statistics.stdev(scores), 4),
        }
        for name, scores in by_kept.items()
    ]


def convolutional() -> Any:
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, activation="relu", padding="same"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(5, activation="softmax"))
    model.compile("adam", LOSS, metrics=["accuracy"])
    return model


def rules() -> Any:
    """What each rule of the range test suggests, and what a whole training loses with that rate.

    The grids are those of `rate` and `optimizer`; one more network belongs to no other experiment.
    """
    known = json.loads(RESULTS.read_text(encoding="utf-8"))
    pictures, news = clothes(), newswires()
    momentum = lambda rate: keras.optimizers.SGD(rate, momentum=0.9)  # noqa: E731
    unseen = grid(news, RATES[2:10], lambda rate: network(news, [128], momentum(rate)))
    networks = [
        ("Fashion-MNIST, Adam", pictures, keras.optimizers.Adam, known["rate"]["fashion-mnist"]),
        ("Reuters, Adam", news, keras.optimizers.Adam, known["rate"]["reuters"]),
        ("Fashion-MNIST, RMSprop", pictures, keras.optimizers.RMSprop, "rmsprop"),
        ("Fashion-MNIST, SGD", pictures, keras.optimizers.SGD, "sgd"),
        ("Fashion-MNIST, SGD with momentum", pictures, momentum, "sgd, momentum 0.9"),
        ("Reuters, SGD with momentum", news, momentum, {"grid": unseen}),
    ]
    found = []
    for name, data, make, rows in networks:
        rows = known["optimizer"][rows] if isinstance(rows, str) else rows["grid"]
        best = max(rows, key=lambda row: row["accuracy"])
        suggested: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            keras.utils.set_random_seed(seed)
            curve = kt.lr_range_test(network(data, [128], make(1e-3)), data.x, data.y)
            for rule, value in curve.suggestions.items():
                suggested.setdefault(rule, []).append(float(value))
            suggested.setdefault("low", []).append(curve.bounds[0])
            suggested.setdefault("high", []).append(curve.bounds[1])
        ends = {end: sorted(suggested.pop(end)) for end in ("low", "high")}
        found.append(
            {
                "network": name,
                "best": best["value"],
                "inside": sum(
                    low <= best["value"] <= high
                    for low, high in zip(ends["low"], ends["high"], strict=True)
                ),
                "rules": {
                    rule: {
                        "rate": float(f"{statistics.geometric_mean(values):.2g}"),
                        "lost": round(
                            best["accuracy"]
                            - statistics.fmean(accuracy_at(value, rows) for value in values),
                            4,
                        ),
                    }
                    for rule, values in suggested.items()
                },
            }
        )
    return found


def accuracy_at(rate: float, rows: Sequence[dict[str, Any]]) -> float:
    """The accuracy at a rate between two rates of a grid: on a line, over the logarithm."""
    at = np.log([row["value"] for row in rows])
    return float(np.interp(np.log(rate), at, [row["accuracy"] for row in rows]))


EXPERIMENTS: dict[str, Callable[[], Any]] = {
    "depth": depth,
    "width": width,
    "shape": shape,
    "rate": rate,
    "optimizer": optimizer,
    "batch": batch,
    "activation": activation,
    "overfitting": overfitting,
    "transfer": transfer,
    "rules": rules,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    chosen = parser.parse_args()
    for name in chosen.only:
        found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        found[name] = EXPERIMENTS[name]()
        ordered = {key: found[key] for key in EXPERIMENTS if key in found}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: done", flush=True)


if __name__ == "__main__":
    main()
