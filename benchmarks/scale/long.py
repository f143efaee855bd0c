"""A long search of cheap trials: what a trial costs at the start and at the end, and what reads it.

    python benchmarks/scale/long.py [--trials 10000] [--epochs 10] [--store sqlite] [--loop ask]

Random search of four hyperparameters. A trial reports a number in each epoch and returns. Prints
milliseconds a trial and resident memory along the way, and the exponent with which the total time
grows. A new process then opens the project, lists its trials, finds the best, and makes the advice
and the report. Seconds of the clock come first, those of the processor in brackets.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

from click.testing import CliRunner

import afina
from afina.cli import main as afina_command
from afina.search import Random
from afina.training import resident_bytes

ROOT = Path(__file__).resolve().parents[2]
ROWS = 10
"""Rows of the table: each is a tenth of the trials."""


def main() -> None:
    """Runs the search, then reads it in a new process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--loop", choices=["optimize", "ask"], default="optimize")
    parser.add_argument("--read", help="a project that is only read")
    options = parser.parse_args()
    if options.read:
        read(options.read, options.trials)
        return
    with place_of(options.store) as place:
        search(place, options)
        command = [sys.executable, __file__, "--read", place, "--trials", str(options.trials)]
        subprocess.run(command, check=True)


def study_in(place: str, trials: int) -> afina.Study:
    """The search: the same in both processes."""
    hp = afina.HyperParameters()
    for index in range(2):
        hp.Float(f"x{index}", 1e-4, 1.0, sampling="log")
        hp.Int(f"n{index}", 1, 64)
    goal = afina.Objective("loss", "min")
    return afina.Study(
        hp, objective=goal, algorithm=Random(seed=0), storage=place, max_trials=trials
    )


def search(place: str, options: argparse.Namespace) -> None:
    """All trials, with a row for each tenth of them."""
    study = study_in(place, options.trials)
    wall, cpu = [time.perf_counter()], [time.process_time()]

    def run(trial: Any) -> float:
        values = trial.values
        loss = sum(math.log(values[f"x{i}"]) ** 2 + values[f"n{i}"] for i in range(2))
        for epoch in range(options.epochs):
            study.report(trial, {"loss": loss + 1.0 / (1 + epoch)}, epoch)
        done = trial.number + 1
        if done % (options.trials // ROWS) == 0:
            wall.append(time.perf_counter())
            cpu.append(time.process_time())
            each = 1000 * ROWS / options.trials
            print(
                f"to trial {done:>6}: {(wall[-1] - wall[-2]) * each:6.2f} ms a trial, processor "
                f"{(cpu[-1] - cpu[-2]) * each:6.2f} ms; {(resident_bytes() or 0) / 2**20:6.0f} MB",
                flush=True,
            )
        return loss

    if options.loop == "optimize":
        study.optimize(run)
    while study.stop_reason is None and (trial := study.ask()) is not None:
        study.tell(trial, run(trial))
    study.close()
    spent = [moment - cpu[0] for moment in cpu[1:]]
    exponent = math.log(spent[-1] / spent[0]) / math.log(len(spent))
    print(f"the processor time of all trials grows with the exponent {exponent:.2f}")


def read(place: str, trials: int) -> None:
    """Opens the project, and uses it."""
    begun, spent = time.perf_counter(), time.process_time()

    def took(what: str) -> None:
        nonlocal begun, spent
        clock, processor = time.perf_counter() - begun, time.process_time() - spent
        print(f"{what}: {clock:.2f} s ({processor:.2f} s)", flush=True)
        begun, spent = time.perf_counter(), time.process_time()

    study = study_in(place, trials)
    took("opening it again")
    count = len(study.trials)
    took(f"listing {count} trials")
    print(f"the best is trial {study.best_trial.number}")
    took("finding the best")
    study.advice()
    took("advice")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        assert (
            CliRunner().invoke(afina_command, ["report", place, "--output", str(page)]).exit_code
            == 0
        )
    took("report")
    print(f"resident at the end: {(resident_bytes() or 0) / 2**20:.0f} MB")
    study.close()


@contextlib.contextmanager
def place_of(store: str) -> Iterator[str]:
    """A new folder, or the URL of a new database."""
    if store == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "search")
    else:
        sys.path.insert(0, str(ROOT))
        from tests.postgres import running_server

        with running_server() as server:
            yield f"{server.url}&project=long"


if __name__ == "__main__":
    main()
