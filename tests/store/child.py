"""Other processes for the tests: `python child.py ROLE FOLDER`. Each line printed is a fact."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from afina.errors import AfinaError
from afina.store import Header, SqliteStore, open_store
from afina.trials import Report, Status, Trial

HEADER = Header(algorithm="random", settings={}, objective={}, seed=1, space={"last": -1})
REPORTS_PER_TRIAL = 3


def say(*words: object) -> None:
    # One system call: a killed process has said a whole line or nothing.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def attempt(write: Callable[[], None]) -> None:
    """Says how a write ended."""
    try:
        write()
    except AfinaError as error:
        say(type(error).__name__, str(error))
    else:
        say("written")


def finished(number: int) -> Trial:
    return Trial(
        number=number, values={}, status=Status.COMPLETED, score=1.0, loss=1.0, ended=number
    )


def search(folder: Path) -> None:
    """Searches until it is killed; says each change of state after the store has taken it."""
    store = open_store(folder)
    if store.header() is None:
        store.begin(HEADER)
        say("begun")
    done = {trial.number: trial for trial in store.trials()}
    number = sum(trial.status.finished for trial in done.values())
    while True:
        trial = Trial(number=number, values={"number": number})
        if number in done:
            trial = replace(trial, attempt=done[number].attempt + 1)
        store.put(trial)
        say("put", number)
        for step in range(REPORTS_PER_TRIAL):
            metrics = {"loss": float(step)}
            store.report(Report(trial=number, step=step, metrics=metrics, attempt=trial.attempt))
        store.finish(finished(number), {"last": number})
        say("finish", number)
        store.set_note("last", number)
        say("note", number)
        number += 1


def searches(folder: Path) -> None:
    """For each line of input, one process that searches; says its number, and when it died."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            search(folder)
        say("pid", child)
        os.waitpid(child, 0)
        say("dead")


def hold(folder: Path) -> None:
    """Takes the project and keeps it until its input ends."""
    store = open_store(folder)
    store.put(Trial(number=0, values={}))
    say("ready")
    sys.stdin.read()


def fork(folder: Path) -> None:
    """Forks while a report is buffered; the child tries to write and ends in peace."""
    store = SqliteStore(folder)
    store.put(Trial(number=0, values={}))
    store.report(Report(trial=0, step=0, metrics={}))
    child = os.fork()
    if child == 0:
        say("child reads", len(store.trials()), len(store.history(0)))
        attempt(lambda: store.put(Trial(number=1, values={})))
        store.close()
        sys.exit(0)
    os.waitpid(child, 0)
    attempt(lambda: store.put(Trial(number=2, values={})))
    say("parent reads", len(store.trials()), len(store.history(0)))


def fork_and_die(folder: Path) -> None:
    """The owner dies at once; its child lives until its input ends."""
    store = SqliteStore(folder)
    store.put(Trial(number=0, values={}))
    if os.fork() == 0:
        say("child lives")
        sys.stdin.read()
        attempt(lambda: store.put(Trial(number=1, values={})))
        os._exit(0)
    time.sleep(0.2)
    os.kill(os.getpid(), 9)


def read_only(folder: Path) -> None:
    """Looks at, then writes in, a project in which this user may not write."""
    warm = open_store(folder.with_name("warm"))  # imports everything, while root still may
    warm.put(Trial(number=0, values={}))
    warm.close()
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    store = open_store(folder)
    say("reads", len(store.trials()))
    attempt(lambda: store.put(Trial(number=9, values={})))
    attempt(lambda: open_store(folder / "deeper").put(Trial(number=9, values={})))


def full_disk(folder: Path) -> None:
    """Searches until no file may grow, then gets room and goes on with the same store."""
    store = SqliteStore(folder)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store.put(Trial(number=0, values={}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (240_000, hard))
    number = 0
    try:
        while True:
            store.report(Report(trial=number, step=0, metrics={"loss": 0.5}))
            store.finish(replace(finished(number), notes={"long": "x" * 5_000}))
            say("finish", number)
            number += 1
    except AfinaError as error:
        say(type(error).__name__, str(error))
    say("still", sum(trial.status.finished for trial in store.trials()), len(store.history(number)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    attempt(lambda: store.finish(finished(number)))
    say("now", json.dumps([len(store.trials()), len(store.history(number))]))


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
