"""`Auto` beside random search on the held-out problems of `search_quality`, by class.

    AFINA_DATA=... python benchmarks/stalls/held_out.py --seeds 30 31 32 33
    AFINA_DATA=... python benchmarks/stalls/held_out.py --seeds 30 --curves

Regret after 10, 25 and 50 full trainings, and the share of runs that have stalled: their regret at
50 is above 0.1, and less than 15 % below that at 25. With `--curves`: regret after 1, 2, 5, 10 and
20 trainings' worth of epochs, where trainings may be paused. Take seeds that nothing was chosen by.
"""

from __future__ import annotations

import argparse

import numpy as np
from stall_problems import has_stalled

import problems  # isort: skip
from peers.afina_peer import Afina, PlainRandom  # isort: skip
from problem import Problem  # isort: skip
from simulate import spend_epochs, spend_trials  # isort: skip

TRIALS = (10, 25, 50)
TRAININGS = (1, 2, 5, 10, 20)


def regrets(name: str, problem: Problem, seed: int, curves: bool) -> list[float]:
    """After each number of trials, or of trainings' worth of epochs."""
    points = [problem.epochs * count for count in TRAININGS] if curves else list(TRIALS)
    search = (
        Afina(problem, seed, points[-1], curves, name="auto")
        if name == "auto"
        else PlainRandom(problem, seed, points[-1], curves)
    )
    spend = spend_epochs if curves else spend_trials
    trace = spend(search, problem, seed, points[-1])
    return [problem.reference(seed).regret(trace.at(point)) for point in points]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--curves", action="store_true")
    options = parser.parse_args()
    some = problems.select("held-out", curves=options.curves)
    runs = [(problem, seed) for problem in some for seed in options.seeds]
    groups = np.array([problem.group for problem, _ in runs])
    found = {
        name: np.array([regrets(name, *run, options.curves) for run in runs])
        for name in ("auto", "random")
    }
    for group in ("all", *dict.fromkeys(groups.tolist())):
        chosen = (groups == group) | (group == "all")
        for name, rows in found.items():
            means = "  ".join(f"{mean:.3f}" for mean in rows[chosen].mean(axis=0))
            share = f"stalled {has_stalled(rows[chosen][:, -3:]).mean():.0%}"
            print(f"{group:12} {name:7} n={chosen.sum():3}  {means}  {share}", flush=True)


if __name__ == "__main__":
    main()
