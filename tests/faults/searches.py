"""Searches that are killed: cheap ones, in forks of a process that has imported everything.

The process reads commands, one a line, and answers each with one line:

    start JSON  ->  the number of a fork that searches; JSON holds the arguments of `search`
    wait PID    ->  how that fork ended, minus the signal if one killed it

A search appends a line to its log when a trial begins, and when its result has been kept:
"begun NUMBER" and "ended NUMBER SCORE". Each is one system call, so that a kill leaves it whole.
"""

import itertools
import json
import os
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

import afina as kt
from afina.search import TPE, Random
from afina.store import open_store

TRIALS = 24
"""Trials of a search whose algorithm does not say itself how many."""


def score_of(values):
    """What a trial comes to: it follows from its values alone."""
    return round(values["x"] ** 2 + values["n"] / 100, 9)


def build(hp):
    hp.Float("x", -1.0, 1.0)
    hp.Int("n", 1, 100)


class Recorded:
    """Mixed into a tuner: trials without models, and a log."""

    log = ""
    pause = 0.0

    def run_trial(self, trial, *args, **kwargs):
        number = self.oracle.number_of(trial.trial_id)
        say(self.log, "begun", number)
        for epoch in range(2):
            time.sleep(self.pause / 2)
            self.oracle.report_epoch(trial.trial_id, 0, epoch, {"val_loss": 1.0 + epoch})
        values = trial.hyperparameters.values
        return {"val_loss": score_of(values)}

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        state = self.oracle.search_state
        ended = state.trials[self.oracle.number_of(trial.trial_id)]
        if ended.status.finished:
            say(self.log, "ended", ended.number, ended.score)


class RandomSearch(Recorded, kt.RandomSearch):
    pass


class Hyperband(Recorded, kt.Hyperband):
    pass


class Bayesian(Recorded, kt.BayesianOptimization):
    pass


class AutoTuner(Recorded, kt.AutoTuner):
    pass


def small_network(hp):
    import keras

    layers = [keras.layers.Dense(hp.Int("units", 2, 8)), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("adam", "mse")
    return model


class Trained(Recorded, kt.RandomSearch):
    """Trains real models: each death loses a model in the middle of its training."""

    def run_trial(self, trial, *args, **kwargs):
        say(self.log, "begun", self.oracle.number_of(trial.trial_id))
        return kt.RandomSearch.run_trial(self, trial, *args, **kwargs)

    def search(self, **kwargs):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(64, 3)).astype("float32")
        y = x.sum(axis=1, keepdims=True)
        super().search(x, y, validation_data=(x, y), epochs=3, batch_size=16, **kwargs)


TUNERS = {
    "random": lambda **k: RandomSearch(build, "val_loss", max_trials=TRIALS, **k),
    "hyperband": lambda **k: Hyperband(build, "val_loss", max_epochs=9, factor=3, **k),
    "bayesian": lambda **k: Bayesian(build, "val_loss", max_trials=TRIALS, **k),
    "keras": lambda **k: Trained(small_network, "val_loss", max_trials=8, **k),
    "auto": lambda **k: AutoTuner(build, "val_loss", max_trials=TRIALS, **k),
}


def say(log, *words):
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


def search(
    folder,
    kind,
    log,
    executor="serial",
    url=None,
    machine="",
    pause=0.0,
    die_at=None,
    clock=0.0,
    room=None,
):
    """Searches to the end.

    Args:
        folder: The tuner's directory.
        kind: One of `TUNERS`, or "study" for a loop of one's own.
        log: The file of what was acknowledged.
        executor: "serial", "threads" or "processes".
        url: Of a database.
        machine: Pretends that this process is on another machine than those of another name.
        pause: Seconds that a trial takes.
        die_at: How many writes to do before this process kills itself.
        clock: Seconds by which this process' clock is wrong, more and more with each look.
        room: The greatest size of a file, in bytes.
    """
    warnings.simplefilter("ignore")
    if clock:
        looks, right = itertools.count(1), time.time
        time.time = lambda: right() + clock * next(looks)
    if room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    store = open_store(url or Path(folder, "p"), project="p")
    if machine:
        pretend(store, machine)
    if die_at is not None:
        from tests.faults.writes import die_after

        die_after(die_at)
    if kind == "study":
        return own_loop(store, log, pause)
    tuner = TUNERS[kind](
        seed=3,
        directory=folder,
        project_name="p",
        store=store,
        executor=executor,
        workers="auto" if executor == "serial" else 3,
    )
    tuner.log, tuner.pause = log, pause
    tuner.search(verbose=0)
    store.close()
    return tuner


def own_loop(store, log, pause=0.0, trials=6, algorithm=None):
    hp = kt.HyperParameters()
    build(hp)
    study = kt.Study(
        hp,
        objective=kt.Objective("val_loss", "min"),
        algorithm=algorithm or Random(seed=3),
        storage=store,
        max_trials=trials,
    )
    while study.stop_reason is None:
        trial = study.ask()
        if trial is None:
            time.sleep(0.02)
            continue
        say(log, "begun", trial.number)
        for step in range(2):
            time.sleep(pause / 2)
            study.report(trial, {"val_loss": 1.0 + step}, step)
        told = study.tell(trial, {"val_loss": score_of(trial.values)})
        say(log, "ended", trial.number, score_of(trial.values))
        del told
    study.close()
    return study


def pretend(store, machine):
    """Has this process count as one of another machine: its death is known by its silence."""
    from afina.store import postgres

    store.lease = 1.5
    postgres.process_mark = lambda: f"{machine}.1"
    store._begin_anew()


def serve():
    me = os.getpid()
    for line in sys.stdin:
        command, _, given = line.rstrip("\n").partition(" ")
        if command == "wait":
            code = os.waitstatus_to_exitcode(os.waitpid(int(given), 0)[1])
            print(code, flush=True)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            code = 1
            try:
                sys.stdin.close()
                os.dup2(2, 1)  # what a search says is no answer to whoever asks here
                search(**json.loads(given))
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            os._exit(code)
        assert os.getpid() == me
        print(child, flush=True)


if __name__ == "__main__":
    TPE(seed=0), open_store(None)
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import afina.store.sqlite

    print("ready", flush=True)
    serve()
