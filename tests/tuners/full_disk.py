"""A search whose project lies on a disk that gets full: `python full_disk.py FOLDER`."""

import sys
import warnings
from pathlib import Path

import keras
import numpy as np

import afina as kt
from afina.errors import StoreError


def build(hp):
    units = hp.Int("units", 16, 64, step=16)
    layers = [keras.Input((64,)), keras.layers.Dense(16 * units), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    return model


def run(folder: Path, overwrite: bool = False) -> kt.RandomSearch:
    options = {"directory": folder, "project_name": "p", "overwrite": overwrite}
    tuner = kt.RandomSearch(build, "loss", max_trials=5, seed=0, keep_checkpoints=None, **options)
    x = np.zeros((8, 64), "float32")
    tuner.search(x, x[:, :1], epochs=1, verbose=0)
    return tuner


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    place = Path(sys.argv[1])
    try:
        run(place)
    except StoreError as error:
        print("stopped:", error, flush=True)
    (place / "ballast").unlink(missing_ok=True)
    tuner = run(place)
    print("statuses:", *[trial.status for trial in tuner.oracle.trials.values()], flush=True)
    print("notes:", [trial.notes.get("deaths") for trial in tuner.oracle.trials.values()])
