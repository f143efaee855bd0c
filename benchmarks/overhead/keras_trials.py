"""What a tuner adds to trials that really train: all but `build` and `model.fit`.

    python benchmarks/overhead/keras_trials.py [--trials 60]

The model is tiny and of one shape, so that the tuner's own work (choosing, seeding, copying
callbacks, checkpoints, storing, giving back memory) is what there is to see.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import afina as kt

inside = [0.0]


class Tiny(kt.HyperModel):
    def build(self, hp: Any) -> Any:
        begun = time.perf_counter()
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
        model.compile(keras.optimizers.Adam(rate), loss="mse")
        inside[0] += time.perf_counter() - begun
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        history = model.fit(*args, **kwargs)
        inside[0] += time.perf_counter() - begun
        return history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(128, 8)).astype("float32"), rng.normal(size=128).astype("float32")
    marks: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        tuner = kt.RandomSearch(
            Tiny(), "val_loss", max_trials=arguments.trials, seed=0, directory=folder
        )
        tuner.pre_create_trial = lambda: marks.append(  # type: ignore[method-assign]
            (time.perf_counter(), inside[0])
        )
        tuner.search(x, y, epochs=2, validation_split=0.25, verbose=0)
    own = [
        1000 * ((later[0] - earlier[0]) - (later[1] - earlier[1]))
        for earlier, later in itertools.pairwise(marks)
    ]
    for begin in range(0, len(own), 20):
        part = own[begin : begin + 20]
        print(f"trials {begin:>4}-{begin + len(part):<4} median {np.median(part):6.1f} ms a trial")


if __name__ == "__main__":
    main()
