"""A problem that really trains: a Keras network on a part of Fashion-MNIST, some seconds a trial.

Off unless asked for (`--live`). The peers' interpreters have no Keras, so that Afina's own trains
in a process beside them; each configuration is trained once in the life of that process.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from problem import CurveProblem, Problem, Reference, Values, kept_reference, key_of, unguided

from afina.space import Choice, Float, Int

EPOCHS = 6
ROWS = 3000
"""Pictures; the last fifth of them validates."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Live(CurveProblem):
    """Asks the process that trains."""

    group: str = "live"

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The validation loss after each epoch; all seeds are alike."""
        del seed
        return np.array(_trained(dict(values)), dtype=float)

    def reference(self, seed: int = 0) -> Reference:
        """As kept in `references.json`."""
        del seed
        return kept_reference(self.name)


_PROCESS: list[subprocess.Popen[str]] = []


def _trained(values: dict[str, Any]) -> list[float]:
    if not _PROCESS:
        python = os.environ.get("AFINA_BENCH_PYTHON", sys.executable)
        command = [python, str(Path(__file__).resolve())]
        pipe = subprocess.PIPE
        _PROCESS.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        atexit.register(_PROCESS[0].kill)
    talk = _PROCESS[0]
    assert talk.stdin is not None
    assert talk.stdout is not None
    print(json.dumps(values), file=talk.stdin, flush=True)
    answer = talk.stdout.readline()
    assert answer, "the process that trains has ended"
    return [float(x) for x in json.loads(answer)]


def _space() -> Any:
    return unguided(
        [
            Int("layers", 1, 3),
            Int("units", 16, 256, sampling="log"),
            Float("rate", 1e-5, 1e-1, sampling="log"),
            Float("dropout", 0.0, 0.7),
            Choice("batch", [16, 32, 64, 128]),
            Choice("activation", ["relu", "tanh", "sigmoid"]),
            Choice("optimizer", ["adam", "sgd", "rmsprop"]),
        ]
    )


MAKERS: dict[str, Callable[[], Problem]] = {
    "live_fashion": lambda: Live(name="live_fashion", tuning=True, space=_space(), epochs=EPOCHS)
}


# -- the process that trains -----------------------------------------------------------------------


def serve() -> None:
    """Reads configurations and writes curves, a line of JSON each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    import keras

    from afina.demos.data import SOURCES, load_fashion_mnist

    data = load_fashion_mnist(tuple(source for source in SOURCES if source != "stand-in"))
    x = data.x_train[:ROWS].reshape(ROWS, -1).astype("float32")
    x /= x.max()
    y = np.asarray(data.y_train[:ROWS])
    known: dict[int, list[float]] = {}
    for line in sys.stdin:
        values = json.loads(line)
        key = key_of(values)
        if key not in known:
            keras.utils.set_random_seed(0)
            known[key] = _train(keras, values, x, y)
            keras.utils.clear_session()
        print(json.dumps(known[key]), file=answers, flush=True)


def _train(keras: Any, values: dict[str, Any], x: np.ndarray, y: np.ndarray) -> list[float]:
    layers = [keras.Input(x.shape[1:])]
    for _ in range(values["layers"]):
        layers.append(keras.layers.Dense(values["units"], activation=values["activation"]))
        layers.append(keras.layers.Dropout(values["dropout"]))
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    optimizer = keras.optimizers.get(values["optimizer"])
    optimizer.learning_rate = values["rate"]
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    fitted = model.fit(
        x, y, batch_size=values["batch"], epochs=EPOCHS, validation_split=0.2, verbose=0
    )
    return [float(loss) for loss in fitted.history["val_loss"]]


if __name__ == "__main__":
    serve()
