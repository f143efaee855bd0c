"""How long until a search has the score that Keras Tuner's Hyperband ends with?

    python benchmarks/time_to_target/run.py --short            # small jobs and data: minutes
    python benchmarks/time_to_target/run.py --jobs F R --seeds 3
    python benchmarks/time_to_target/run.py                    # all jobs, 5 seeds: a day
    python benchmarks/time_to_target/run.py --report           # only RESULTS.md from what is kept

Each search runs in a process of its own, one at a time and in turn, and leaves a line of JSON; what
has a line is not run again. The target of a job is the median of the scores that Keras Tuner's
Hyperband (one iteration, factor 3) ends with over the seeds. All others get twice its epochs, and
are stopped when they have the best of these scores. Keras Tuner and Optuna need interpreters of
their own: pass --keras-tuner-python and --optuna-python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import report

HERE = Path(__file__).resolve().parent
WORKSHOP = HERE / ".bench"
FIRST = "kt-hyperband"
OTHERS = ("afina", "optuna", "kt-bayesian")
SHORT_JOBS, SHORT_THIN, SHORT_EPOCHS = ("TABULAR", "REGRESSION"), 20, 9


def main() -> None:
    options = arguments()
    WORKSHOP.mkdir(exist_ok=True)
    pythons = {
        "afina": sys.executable,
        "optuna": options.optuna_python,
        FIRST: options.keras_tuner_python,
        "kt-bayesian": options.keras_tuner_python,
    }
    if not options.report:
        for job in options.jobs:
            compete(job, pythons, options)
    text = report.written(lines(options.store), options.thin)
    print(text)
    if not options.short:
        options.output.write_text(text + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--jobs", nargs="+", choices=list(report.DIRECTIONS), metavar="JOB")
    add("--contestants", nargs="+", choices=OTHERS, default=list(OTHERS), metavar="NAME")
    add("--seeds", type=int, help="how many, from 0; 5 by default, 1 with --short")
    add("--short", action="store_true", help="two jobs on a twentieth of their rows")
    add("--thin", type=int, default=1, help="keep one row in so many")
    add("--report", action="store_true", help="run nothing")
    add("--optuna-python", type=Path, help="an interpreter with Keras, JAX and Optuna")
    add("--keras-tuner-python", type=Path, help="one with Keras, JAX and Keras Tuner")
    add("--store", type=Path, default=WORKSHOP / "runs.jsonl", help="where the lines are kept")
    add("--output", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    if options.short:
        options.thin = SHORT_THIN
    options.jobs = options.jobs or list(SHORT_JOBS if options.short else report.DIRECTIONS)
    options.seeds = options.seeds or (1 if options.short else 5)
    return options


def compete(job: str, pythons: dict[str, Any], options: argparse.Namespace) -> None:
    """All searches of one job that have no line yet: first the one that sets the target."""
    for seed in range(options.seeds):
        run(FIRST, job, seed, pythons, options, None)
    kept = [line for line in lines(options.store) if same(line, FIRST, job, options)]
    if not kept:
        return
    for seed in range(options.seeds):
        for name in options.contestants:
            run(name, job, seed, pythons, options, kept)


def run(
    name: str,
    job: str,
    seed: int,
    pythons: dict[str, Any],
    options: argparse.Namespace,
    first: list[dict[str, Any]] | None,
) -> None:
    """One search, unless it has a line; `first` are those of the search that sets the target."""
    known = [line for line in lines(options.store) if same(line, name, job, options)]
    if any(line["seed"] == seed for line in known):
        return
    if pythons[name] is None:
        print(f"{name} is left out: it needs the interpreter of an environment", flush=True)
        return
    data = WORKSHOP / f"{job}-{options.thin}.npz"
    if not data.exists():
        made = f"**jobs.arrays({job!r}, {options.thin})"
        code = f"import numpy, jobs; numpy.savez({str(data)!r}, {made})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE, env=variables())
    task: dict[str, Any] = {"contestant": name, "job": job, "seed": seed, "thin": options.thin}
    task |= {"data": str(data), "max_epochs": report.EPOCHS[job], "budget": 10**9}
    if options.short:
        task["max_epochs"] = min(report.EPOCHS[job], SHORT_EPOCHS)
    if first:
        task["budget"] = 2 * max(line["epochs"] for line in first)
        task["stop_at"] = report.best([line["steps"][-1][3] for line in first], job)
    command = [str(pythons[name]), str(HERE / "child.py"), json.dumps(task)]
    done = subprocess.run(
        command, env=variables(), cwd=HERE, text=True, capture_output=True, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        print(f"{name} {job} {seed}: failed\n{done.stderr[-2000:]}", flush=True)
        return
    line = done.stdout.strip().splitlines()[-1]
    with options.store.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    found = json.loads(line)
    print(f"{name} {job} {seed}: {found['steps'][-1][3]:.4f}, {found['seconds']} s", flush=True)


def same(line: dict[str, Any], name: str, job: str, options: argparse.Namespace) -> bool:
    return (line["contestant"], line["job"], line["thin"]) == (name, job, options.thin)


def lines(store: Path) -> list[dict[str, Any]]:
    """What is kept."""
    if not store.exists():
        return []
    return [json.loads(line) for line in store.read_text(encoding="utf-8").splitlines()]


def variables() -> dict[str, str]:
    """What each process starts with: Afina from this checkout, and no compiled programs of old."""
    source = str(HERE.parents[1] / "src")
    return {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": source,
        "AFINA_COMPILE_CACHE": "off",
    }


if __name__ == "__main__":
    main()
