"""One search in a fresh process: what `run.py` starts, times from outside, and reads.

    python benchmarks/speed/child.py '{"package": "keras_tuner", "job": "F", ...}'

The settings are those of `run.Search`. Writes a JSON file of what only the process itself knows.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any


def main(settings: dict[str, Any]) -> None:
    kt = importlib.import_module(settings["package"])
    import jobs
    import numpy as np

    clocks = None
    if settings["breakdown"]:
        import breakdown

        clocks = breakdown.start()
    with np.load(settings["data"]) as file:
        data = {name: file[name] for name in file.files if name != "source"}
    begun = time.perf_counter()
    more = {"train_on": settings["train_on"]} if settings["train_on"] else {}
    job, folder, most = settings["job"], settings["folder"], settings["max_epochs"]
    tuner = jobs.create_tuner(kt, job, folder, most, **more)
    replay = None
    if settings["recorded"] is not None:
        recorded = json.loads(Path(settings["recorded"]).read_text(encoding="utf-8"))["trials"]
        let_as_many_run(tuner)
        tuner.oracle.populate_space = replay = jobs.Replay(tuner.oracle, recorded)
    created = time.perf_counter()
    jobs.search(tuner, settings["job"], data, settings["batch"])
    ended = time.perf_counter()
    facts = {
        "setup_s": created - begun,
        "search_s": ended - begun,
        **outcome(tuner.oracle, jobs.JOBS[settings["job"]].epochs),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if replay is None:
        facts["trials"] = jobs.record(tuner.oracle)
    else:
        by_place = sorted(replay.ids.items())
        facts["scores"] = [tuner.oracle.trials[trial_id].score for _, trial_id in by_place]
    if clocks is not None:
        facts["breakdown"] = breakdown.read(clocks, tuner, begun, created, ended)
    Path(settings["result"]).write_text(json.dumps(facts), encoding="utf-8")


def let_as_many_run(tuner: Any) -> None:
    """Has Afina run as many trials side by side as without a replay.

    It cannot know whether an oracle with a `populate_space` of its own looks at results, and runs
    one trial at a time then. A recording does not look at them, and neither does random search.
    """
    import keras

    state = getattr(tuner.oracle, "search_state", None)
    backend = getattr(tuner, "train_on", None) or keras.backend.backend()
    if backend == "jax" and state and state.algorithm.order_independent:
        tuner.workers = len(os.sched_getaffinity(0))


def outcome(oracle: Any, epochs: int | None = None) -> dict[str, Any]:
    """What was trained and what came of it.

    Args:
        oracle: The oracle of a search that has ended.
        epochs: Epochs of each trial; None where the trials say it themselves.

    Raises:
        RuntimeError: A trial failed: such a run measures nothing.
    """
    trials = list(oracle.trials.values())
    for trial in trials:
        if trial.status != "COMPLETED":
            raise RuntimeError(f"Trial {trial.trial_id} {trial.status}: {trial.message}")
    values = [trial.hyperparameters.values for trial in trials]
    if epochs is None:
        planned = sum(each["tuner/epochs"] - each["tuner/initial_epoch"] for each in values)
    else:
        planned = epochs * len(trials)
    trained = epochs_reported(oracle)
    if trained not in (None, planned):
        raise RuntimeError(f"{planned} epochs were to be trained, {trained} were.")
    return {"best": oracle.get_best_trials(1)[0].score, "epochs": planned}


def epochs_reported(oracle: Any) -> int | None:
    """How many epochs the trials' records show; None where no such records are kept."""
    trials = oracle.get_best_trials(len(oracle.trials))
    if not all(hasattr(trial, "history") for trial in trials):
        return None
    return sum(len(trial.history) for trial in trials)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
