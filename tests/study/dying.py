"""Searches that end as their trials say: for each line of input, one search in a fork of its own.

A line holds the folder, the number of the trial that ends its process (or EVERY), how, how many
trials are handed out at a time, how often a failed one is run again, and whether a trial comes one
epoch further with each attempt. The answer: how the process ended, minus the signal if one killed
it.
"""

import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import afina
from afina.search import Random
from afina.store import SqliteStore

EVERY = -2
"""In place of a trial's number: each of them."""


def end(how: str) -> None:
    """Ends this process."""
    if how == "exit":
        os._exit(1)
    if how == "error":
        raise ZeroDivisionError("of the user's own loop")
    os.kill(os.getpid(), getattr(signal, how))


def search(
    folder: str, bad: int, how: str, at_once: int, max_retries: int, *, farther: bool = False
) -> None:
    warnings.simplefilter("ignore")
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    study = afina.Study(
        hp,
        objective=afina.Objective("loss", "min"),
        algorithm=Random(seed=0),
        storage=SqliteStore(Path(folder), report_delay=0.0 if farther else 5.0),
        max_trials=5,
        max_retries=max_retries,
    )
    while True:
        asked = [study.ask() for _ in range(at_once)]
        trials = [trial for trial in asked if trial is not None]
        if not trials:
            return
        for trial in trials:
            for step in range(trial.attempt + 1 if farther else 1):
                study.report(trial, {"loss": 0.5}, step=step)
            if bad in (trial.number, EVERY):
                end(how)
        for trial in trials:
            study.tell(trial, {"loss": trial.values["x"]})


def fork(line: str) -> int:
    folder, bad, how, at_once, max_retries, farther = line.rstrip("\n").split("\t")
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what Python says of an error that is meant
    search(folder, int(bad), how, int(at_once), int(max_retries), farther=farther == "True")
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
