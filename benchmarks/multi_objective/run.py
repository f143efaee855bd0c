"""How good a Pareto front searches find: hypervolume at equal numbers of trials.

    python benchmarks/multi_objective/run.py [--trials 60] [--seeds 10]
        [--peers PYTHON] [--samplers nsga2 tpe gp]

PYTHON is an interpreter that has Optuna. Prints for each problem and search the hypervolume that is
still missing, in percent of the largest there is: the median over the seeds after a third, two
thirds and all of the trials. The last column is CPU milliseconds a trial. Less is better.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from problems import PROBLEMS, Problem

from afina.search import Algorithm, ParetoSearch, QuasiRandom, Random, Situation, Suggestion
from afina.space import Choice, Float, HyperParameter, Int, Parent, Space
from afina.trials import Status, Trial
from afina.trials.pareto import hypervolume

SEARCHES: dict[str, Callable[[int], Algorithm[Any]]] = {
    "random": lambda seed: Random(seed),
    "quasi-random": lambda seed: QuasiRandom(seed),
    "pareto": lambda seed: ParetoSearch(seed),
}


def space_of(problem: Problem) -> Space:
    entries: list[HyperParameter] = []
    for entry in problem.entries:
        conditions = (Parent(entry.parent, list(entry.when)),) if entry.parent else ()
        common: dict[str, Any] = {"default": entry.default, "conditions": conditions}
        sampling = "log" if entry.log else "linear"
        if entry.options:
            entries.append(Choice(entry.name, list(entry.options), **common))
        elif entry.whole:
            low, high = int(entry.low), int(entry.high)
            entries.append(Int(entry.name, low, high, sampling=sampling, **common))
        else:
            entries.append(Float(entry.name, entry.low, entry.high, sampling=sampling, **common))
    return Space(tuple(entries))


def search(algorithm: Algorithm[Any], problem: Problem, trials: int) -> tuple[np.ndarray, float]:
    """The losses of all trials, (trials, objectives), and the CPU seconds that it took."""
    space, state = space_of(problem), algorithm.init()
    found, begun = [], time.process_time()
    for number in range(trials):
        answer = algorithm.ask(state, Situation(number=number, space=space, max_trials=trials))
        assert isinstance(answer, Suggestion)
        losses = problem.losses(answer.values)
        trial = Trial(
            number=number,
            values=answer.values,
            status=Status.COMPLETED,
            score=sum(losses),
            loss=sum(losses),
            losses=losses,
        )
        state = algorithm.tell(state, trial, space)
        found.append(losses)
    return np.array(found), time.process_time() - begun


def ours(names: list[str], problems: list[str], trials: int, seeds: int) -> Iterator[Any]:
    for problem in PROBLEMS:
        for name in names if problem.name in problems else ():
            for seed in range(seeds):
                yield name, problem.name, *search(SEARCHES[name](seed), problem, trials)


def theirs(python: str, samplers: list[str], problems: list[str], options: list[str]) -> Any:
    here = Path(__file__).parent
    script = here / "peers" / "optuna_search.py"
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    extra = {**dict.fromkeys(threads, "1"), "PYTHONPATH": str(here)}
    for sampler in samplers:
        with subprocess.Popen(
            [python, str(script), sampler, *options, "--problems", *problems],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **extra},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found = json.loads(line)
                losses = np.array(found["losses"], dtype=float)
                yield f"optuna {sampler}", found["problem"], losses, found["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--searches", nargs="*", choices=SEARCHES, default=list(SEARCHES))
    parser.add_argument("--problems", nargs="*", default=[problem.name for problem in PROBLEMS])
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has Optuna")
    parser.add_argument("--samplers", nargs="*", default=["nsga2", "tpe", "gp"])
    chosen = parser.parse_args()
    marks = sorted({max(1, round(chosen.trials * part / 3)) for part in (1, 2, 3)})
    runs = [ours(chosen.searches, chosen.problems, chosen.trials, chosen.seeds)]
    if chosen.peers:
        options = ["--trials", str(chosen.trials), "--seeds", str(chosen.seeds)]
        runs.append(theirs(chosen.peers, chosen.samplers, chosen.problems, options))
    missing: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    known = {problem.name: problem for problem in PROBLEMS}
    for each in runs:
        for name, problem, losses, spent in each:
            reference = np.array(known[problem].reference)
            volumes = [hypervolume(losses[:mark], reference) for mark in marks]
            missing[problem, name].append([1 - v / known[problem].best for v in volumes])
            seconds[problem, name].append(spent)
    trials = ", ".join(map(str, marks))
    print(f"hypervolume missing after {trials} trials, median of {chosen.seeds} seeds")
    for (problem, name), rows in missing.items():
        parts = [f"{100 * statistics.median(column):8.2f} %" for column in zip(*rows, strict=True)]
        spent = 1000 * statistics.mean(seconds[problem, name]) / chosen.trials
        print(f"{problem:20} {name:14} {' '.join(parts)}  {spent:8.1f} ms")


if __name__ == "__main__":
    main()
