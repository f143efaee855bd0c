"""Small searches to look at, and hostile ones."""

import math
import sys
import time

import numpy as np

import afina
from afina.search import Random

HOSTILE = "<img src=x onerror=alert(1)>\"'`{{7*7}}\u202e</script>"


def build(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("layers", 1, 3)
    if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd":
        with hp.conditional_scope("optimizer", "sgd"):
            hp.Float("momentum", 0.0, 0.9)


def value_of(values):
    return 0.9 - 0.05 * (math.log10(values["rate"]) + 2.5) ** 2


def train(study, trial, epochs=4, pause=0.0):
    """Reports some epochs, and ends the trial; those with high rates fail."""
    if trial.values["rate"] > 0.05:
        return study.tell(trial, failed="Traceback\n  in build\nValueError: too fast <b>")
    top, rng = value_of(trial.values), np.random.default_rng(trial.number)
    for epoch in range(trial.start_epoch, trial.end_epoch or epochs):
        share = top * (1 - math.exp(-(epoch + 1) / 2)) + 0.001 * rng.normal()
        logs = {"loss": 1 - share, "val_accuracy": share, "seconds": 3.0 - trial.values["layers"]}
        if study.report(trial, logs, step=epoch) is not afina.Decision.CONTINUE:
            break
        time.sleep(pause)
    return study.tell(trial, notes={"seconds": "build 0.250, train 0.500"})


def search(store, trials, algorithm=None, objective="val_accuracy", pause=0.0, builder=build):
    """A finished search, still open."""
    study = afina.Study(
        builder,
        objective=objective,
        algorithm=algorithm or Random(0),
        store=store,
        max_trials=trials,
    )
    while (trial := study.ask()) is not None:
        train(study, trial, pause=pause)
    return study


def hostile(store):
    """A search whose names, choices, notes and tracebacks attack the page."""

    def dangerous(hp):
        hp.Choice(HOSTILE, [HOSTILE, "=cmd()", "\x1b[31mred"])
        hp.Float("__proto__", 0.0, 1.0)
        hp.Float("constructor", 0.0, 1.0)

    study = afina.Study(
        dangerous,
        objective=afina.Objective(HOSTILE, "min"),
        algorithm=Random(0),
        store=store,
        max_trials=3,
    )
    for number in range(3):
        trial = study.ask()
        if number == 0:
            study.tell(trial, failed=f"Traceback {HOSTILE}\nError: {HOSTILE}")
            continue
        study.report(trial, {HOSTILE: 0.5, "loss": math.nan, "huge": math.inf}, step=0)
        study.report(trial, {HOSTILE: 0.4, "loss": 1.0, "huge": 1e300}, step=1)
        study.tell(trial, notes={HOSTILE: HOSTILE, "seconds": HOSTILE})
    return study


if __name__ == "__main__":  # another process that searches
    search(sys.argv[1], int(sys.argv[2]), pause=float(sys.argv[3])).close()
