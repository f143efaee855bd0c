"""Searches that end as their trials say: for each line of input, one search in a fork of its own.

A line holds the folder, the number of the trial that ends its process, how, and how many trials are
handed out at a time. The answer: how the process ended, minus the signal if one killed it.
"""

import os
import signal
import sys
import tempfile
import warnings

import afina
from afina.search import Random


def end(how: str) -> None:
    """Ends this process."""
    if how == "exit":
        os._exit(1)
    if how == "error":
        raise ZeroDivisionError("of the user's own loop")
    os.kill(os.getpid(), getattr(signal, how))


def search(folder: str, bad: int, how: str, at_once: int, max_retries: int) -> None:
    warnings.simplefilter("ignore")
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    study = afina.Study(
        hp,
        objective=afina.Objective("loss", "min"),
        algorithm=Random(seed=0),
        storage=folder,
        max_trials=5,
        max_retries=max_retries,
    )
    while True:
        asked = [study.ask() for _ in range(at_once)]
        trials = [trial for trial in asked if trial is not None]
        if not trials:
            return
        for trial in trials:
            study.report(trial, {"loss": 0.5}, step=0)
            if trial.number == bad:
                end(how)
        for trial in trials:
            study.tell(trial, {"loss": trial.values["x"]})


def fork(line: str) -> int:
    folder, bad, how, at_once, max_retries = line.rstrip("\n").split("\t")
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what Python says of an error that is meant
    search(folder, int(bad), how, int(at_once), int(max_retries))
    return 0


if __name__ == "__main__":
    me = os.getpid()
    with tempfile.TemporaryDirectory() as warm:  # imports everything, once for all
        search(warm, -1, "", 1, 0)
    for line in sys.stdin:
        code = fork(line)
        if os.getpid() != me:
            break
        os.write(1, f"{code}\n".encode())
