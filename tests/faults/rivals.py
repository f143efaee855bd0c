"""The same kills on other tuners: `python tests/faults/rivals.py keras-tuner --kills 100`.

Run it with the Python in which the package is installed. Each start is a fork of this process, with
everything imported. As in `run.py`, it is killed at a random moment after a trial has begun; then
another fork opens the project and compares it with what was acknowledged. A project that cannot be
opened is counted, and the search begins anew.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
TRIALS = 24
PAUSE = 0.02  # seconds a trial takes


def say(log, *words):
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


class KerasTuner:
    """Keras Tuner's random search."""

    def __init__(self):
        import keras_tuner

        self.kt = keras_tuner

    def tuner(self, folder, log):
        class Search(self.kt.RandomSearch):
            def run_trial(self, trial, *args, **kwargs):
                say(log, "begun", trial.trial_id)
                time.sleep(PAUSE)
                return trial.hyperparameters.get("x") ** 2

            def on_trial_end(self, trial):
                super().on_trial_end(trial)
                say(log, "ended", trial.trial_id)

        objective = self.kt.Objective("loss", "min")
        options = {"max_trials": TRIALS, "seed": 3, "directory": folder, "project_name": "p"}
        return Search(lambda hp: None, objective, hyperparameters=self.space(), **options)

    def space(self):
        hp = self.kt.HyperParameters()
        hp.Float("x", -1.0, 1.0)
        hp.Int("n", 1, 100)
        return hp

    def search(self, folder, log):
        self.tuner(folder, log).search(verbose=0)

    def finished(self, folder, log):
        trials = self.tuner(folder, log).oracle.trials.values()
        return [trial.trial_id for trial in trials if trial.status == "COMPLETED"]


class Optuna:
    """Optuna's random sampler on SQLite."""

    def __init__(self):
        import optuna

        self.optuna = optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def study(self, folder):
        return self.optuna.create_study(
            storage=f"sqlite:///{folder}/o.db",
            study_name="s",
            sampler=self.optuna.samplers.RandomSampler(seed=3),
            load_if_exists=True,
        )

    def search(self, folder, log):
        study = self.study(folder)
        while len(self.finished(folder, log)) < TRIALS:
            trial = study.ask()
            say(log, "begun", trial.number)
            x = trial.suggest_float("x", -1.0, 1.0)
            trial.suggest_int("n", 1, 100)
            time.sleep(PAUSE)
            study.tell(trial, x**2)
            say(log, "ended", trial.number)

    def finished(self, folder, log):
        trials = self.study(folder).get_trials(deepcopy=False)
        return [str(trial.number) for trial in trials if trial.state.name == "COMPLETE"]


PACKAGES = {"keras-tuner": KerasTuner, "optuna": Optuna}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    package, rng, counts = PACKAGES[options.package](), random.Random(options.seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        while counts["kills"] < options.kills:
            project = Path(folder, f"search{counts['searches']}")
            counts["searches"] += 1
            counts += one_search(package, project, rng, options.kills - counts["kills"])
            print(time.strftime("%H:%M:%S"), options.package, dict(counts), flush=True)


def one_search(package, project, rng, kills):
    """Kills one search until it ends, or cannot be opened."""
    counts, log, out = Counter(), project / "log", project / "out"
    project.mkdir()
    log.touch()
    while counts["kills"] < kills:
        child = forked(lambda: package.search(project, log))
        if not begun(log, rng.randint(1, 6), child):
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            counts["ended in an error"] += code != 0
            break
        time.sleep(rng.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        counts["kills"] += 1
        checker = forked(lambda: out.write_text(json.dumps(package.finished(project, log))))
        if os.waitpid(checker, 0)[1]:
            counts["unopenable"] += 1
            break
        there = set(json.loads(out.read_text()))
        lines = [line.split() for line in log.read_text().splitlines()]
        ended = [number for word, number in lines if word == "ended"]
        lost = set(ended) - there
        again = [n for i, (w, n) in enumerate(lines) if w == "begun" and ["ended", n] in lines[:i]]
        counts["lost"] += len(lost)
        counts["doubled"] += len(again)
        if lost or again:
            break
    shutil.rmtree(project)
    return counts


def begun(log, count, child):
    """Waits until so many trials more have begun; False if the search ends before."""
    seen = log.read_text().count("begun")
    while log.read_text().count("begun") < seen + count:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.005)
    return True


def forked(work):
    """The number of a fork that does some work."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            work()
            code = 0
        finally:
            os._exit(code)
    return child


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
