"""Searches that a test starts in processes of their own and kills.

For each line of input, a folder and a kind, forks a search and prints its process' number; at the
next line waits for its end, and prints its exit code, minus the signal if one killed it. Nothing
has been computed before a fork: no thread of JAX's is lost by it.
"""

import os
import sys
import warnings
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


def fork(folder, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # JAX's, which has no thread yet
        child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # what a search says is no answer to whoever asks here
        run(folder, kind)
        os._exit(0)
    return child


if __name__ == "__main__":
    for line in sys.stdin:
        child = fork(*line.rstrip("\n").split("\t"))
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
