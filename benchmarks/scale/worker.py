"""The workers of a scale measurement.

    python worker.py PACKAGE PLACE TRIALS EPOCHS GO WORKERS WORKLOAD LOOP

Each is a fork of this process, which has imported the package. Each joins the search and says
"ready". All wait for the file GO, and run trials until there are TRIALS in all: by `optimize`, or
by `ask` and `tell`. Each then prints what it did as a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

LONGEST = 9
"""Epochs of the longest trainings of Hyperband."""


def afina_search(
    place: str, trials: int, epochs: int, go: Path, workload: str, loop: str
) -> dict[str, Any]:
    """Afina, with the folder or URL `place`."""
    import afina
    from afina.search import Hyperband, Random

    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Int("n", 1, 100)
    algorithm: Any = Random(seed=0)
    if workload == "hyperband":
        algorithm = Hyperband(seed=0, max_epochs=LONGEST, iterations=1000)
        for index in range(4):
            hp.Float(f"y{index}", 1e-4, 1.0, sampling="log")
        if hp.Choice("kind", ["plain", "momentum"]) is not None:
            with hp.conditional_scope("kind", ["momentum"]):
                hp.Float("momentum", 0.1, 0.99)
    study = afina.Study(
        hp,
        objective=afina.Objective("loss", "min"),
        algorithm=algorithm,
        storage=place,
        max_trials=trials,
    )
    study.begin()
    wait(go)
    begun = Clock()

    def run(trial: Any) -> dict[str, float]:
        for epoch in range(trial.start_epoch, trial.end_epoch or epochs):
            study.report(trial, {"loss": trial.values["x"] + 1.0 / (1 + epoch)}, epoch)
        begun.mark()
        return {"loss": trial.values["x"]}

    if loop == "optimize":
        study.optimize(run)
    while study.stop_reason is None:
        trial = study.ask()
        if trial is None:
            time.sleep(0.005)
        else:
            study.tell(trial, run(trial))
    facts = begun.facts()
    study.close()
    return facts


def optuna_search(
    place: str, trials: int, epochs: int, go: Path, workload: str, loop: str
) -> dict[str, Any]:
    """Optuna, with a URL, or "journal:FILE"."""
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage: Any
    if place.startswith("journal:"):
        storage = JournalStorage(JournalFileBackend(place.removeprefix("journal:")))
    elif place.startswith("sqlite"):
        # SQLite's own wait of five seconds is too short for many workers.
        options = {"connect_args": {"timeout": 300}}
        storage = RDBStorage(place, engine_kwargs=options)
    else:
        storage = RDBStorage(place)
    study = optuna.create_study(
        storage=storage,
        study_name="s",
        sampler=optuna.samplers.RandomSampler(seed=os.getpid()),
        load_if_exists=True,
        pruner=optuna.pruners.HyperbandPruner(1, LONGEST, 3)
        if workload == "hyperband"
        else optuna.pruners.NopPruner(),
    )
    epochs = LONGEST if workload == "hyperband" else epochs
    wait(go)
    begun = Clock()

    def run(trial: Any) -> float:
        if trial.number >= trials:  # one for each worker
            study.stop()
            raise optuna.TrialPruned
        x = float(trial.suggest_float("x", 0.0, 1.0))
        trial.suggest_int("n", 1, 100)
        if workload == "hyperband":
            for index in range(4):
                trial.suggest_float(f"y{index}", 1e-4, 1.0, log=True)
            if trial.suggest_categorical("kind", ["plain", "momentum"]) == "momentum":
                trial.suggest_float("momentum", 0.1, 0.99)
        for epoch in range(epochs):
            trial.report(x + 1.0 / (1 + epoch), epoch)
            if workload == "hyperband" and trial.should_prune():
                break
        begun.mark()
        return x

    if loop == "optimize":
        study.optimize(run)
    while loop == "ask" and (trial := study.ask()).number < trials:
        study.tell(trial, run(trial))
    return begun.facts()


class Clock:
    """Wall and processor time of this process."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.time(), time.process_time()
        self.done = 0
        self.marks: list[tuple[int, float, float]] = []

    def mark(self) -> None:
        """Counts a trial, and remembers the times at numbers of trials that double."""
        done = self.done = self.done + 1
        if done & (done - 1) == 0:
            self.marks.append((done, time.time() - self.wall, time.process_time() - self.cpu))

    def facts(self) -> dict[str, Any]:
        """All that was measured."""
        now, cpu = time.time(), time.process_time() - self.cpu
        return {"done": self.done, "from": self.wall, "to": now, "cpu": cpu, "marks": self.marks}


def wait(go: Path) -> None:
    """Until all workers are ready."""
    say("ready")
    while not go.exists():
        time.sleep(0.01)


def say(text: str) -> None:
    """Prints a line, whole."""
    os.write(1, f"{text}\n".encode())


def main() -> None:
    """Forks the workers."""
    warnings.simplefilter("ignore")
    package, place, trials, epochs, go, workers, workload, loop = sys.argv[1:]
    importlib.import_module(package)
    if package == "afina":
        importlib.import_module("afina.search")
        importlib.import_module("afina.store.sqlite")
    else:
        importlib.import_module("optuna.storages")
    run = {"afina": afina_search, "optuna": optuna_search}[package]
    for number in range(int(workers)):
        if os.fork() == 0:
            say(json.dumps(run(place, int(trials), int(epochs), Path(go), workload, loop)))
            os._exit(0)
        if place.startswith(("sqlite:", "postgresql+")) and number == 0:
            time.sleep(3.0)  # Optuna's tables must be there before a second worker looks
    codes = {os.wait()[1] for _ in range(int(workers))}
    sys.exit(max(codes) != 0)


if __name__ == "__main__":
    main()
