"""Runs one contestant on problems and seeds, in the interpreter that has its package.

`run.py` starts it with one argument: what to do, as JSON. Each run's trace goes to a file of its
own; a run of the same version on the same problem is not repeated.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import contestants
import problems
from problem import Problem
from simulate import M_TRAININGS, S_TRIALS, fingerprint, spend_epochs, spend_trials


def main() -> None:
    task = json.loads(sys.argv[1])
    for name in task["problems"]:
        problem = problems.load(name)
        mark = fingerprint(problem)
        for seed in task["seeds"]:
            one_run(task, problem, mark, seed)


def one_run(task: dict[str, Any], problem: Problem, mark: str, seed: int) -> None:
    """Runs, unless it is done already, and writes down what came of it."""
    name, protocol = task["contestant"], task["protocol"]
    version = contestants.version(name)
    budget = min(task["budget"] or 10**9, default_budget(name, protocol))
    path = Path(task["store"]) / protocol / task["label"] / problem.name / f"{seed}.json"
    wanted = {"version": version, "problem": problem.name, "mark": mark, "seed": seed}
    wanted |= {"contestant": name, "protocol": protocol, "budget": budget}
    if path.exists() and not task["again"]:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if (
            not kept["error"]
            and kept["budget"] >= budget
            and all(kept[key] == value for key, value in wanted.items() if key != "budget")
        ):
            return
    begun = time.perf_counter()
    error = None
    trace: dict[str, Any] = {}
    try:
        contestant = contestants.create(
            name, problem, seed, budget, protocol, **task.get("settings", {})
        )
        spend = spend_epochs if protocol == "M" else spend_trials
        amount = budget * problem.epochs if protocol == "M" else budget
        found = spend(contestant, problem, seed, amount)
        trace = {**found.__dict__, "steps": [[n, float(f"{x:.7g}")] for n, x in found.steps]}
    except Exception:
        error = traceback.format_exc()
    said = error.strip().splitlines()[-1] if error else f"{trace['seconds']:.1f} s of its own"
    wall = time.perf_counter() - begun
    print(f"{protocol} {task['label']} {problem.name} {seed}: {wall:.1f} s, {said}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({**wanted, **trace, "error": error}), encoding="utf-8")
    fresh.replace(path)


def default_budget(name: str, protocol: str) -> int:
    """Trials, or full trainings' worth of epochs."""
    if protocol == "M":
        return M_TRAININGS[-1]
    return min(S_TRIALS[-1], contestants.ENTRIES[name].most)


if __name__ == "__main__":
    main()
