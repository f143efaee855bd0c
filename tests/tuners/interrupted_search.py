"""A search that a test starts in a process of its own and kills: argv is folder, kind."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import models

import afina as kt

MAKERS = {
    "random": lambda **k: kt.RandomSearch(models.build, "val_loss", max_trials=6, **k),
    "bayesian": lambda **k: kt.BayesianOptimization(
        models.build, "val_loss", max_trials=6, num_initial_points=2, **k
    ),
    "hyperband": lambda **k: kt.Hyperband(models.build, "val_loss", max_epochs=3, factor=3, **k),
}


def run(folder, kind):
    tuner = MAKERS[kind](seed=3, directory=folder, project_name="p")
    x, y = models.data()
    tuner.search(x, y, epochs=2, validation_split=0.25, verbose=0)
    return tuner


if __name__ == "__main__":
    print("ready", flush=True)
    run(sys.argv[1], sys.argv[2])
