"""How often `Auto` stalls, and how far from the best, beside random search.

    python benchmarks/stalls/run.py --kinds branches --numbers 0 2 4 6 8 --seeds 2
    python benchmarks/stalls/run.py --generated 0 39 --seeds 1
    python benchmarks/stalls/run.py --generated 0 15 --seeds 1 --curves
    python benchmarks/stalls/run.py --generated 0 15 --seeds 1 --curves --crossing

Regret as in `benchmarks/search_quality`. A run has stalled if its regret after 50 trials is above
0.1, and less than 15 % below that after 25. Even numbers of `--kinds` may be looked at while
defaults are chosen; odd ones are held out. Numbers of `--generated` are held out from 100 on. With
`--curves` trainings have 27 epochs that may be paused, and the three points are 5, 10 and 20
trainings' worth of epochs. All losses then fall alike; with `--crossing` some fall faster.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable

import numpy as np
from curved import EPOCHS, crossing, curved
from generated import KINDS as GENERATED
from generated import generated
from stall_problems import KINDS, has_stalled

from peers.afina_peer import Afina, PlainRandom  # isort: skip
from problem import Problem  # isort: skip
from simulate import spend_epochs, spend_trials  # isort: skip

POINTS = (10, 25, 50)
TRAININGS = (5, 10, 20)


def regrets(name: str, problem: Problem, seed: int) -> list[float]:
    """After each number of trials in `POINTS`, or of trainings' worth in `TRAININGS`."""
    if problem.epochs > 1:
        points = [EPOCHS * count for count in TRAININGS]
        pausing = (
            Afina(problem, seed, points[-1], True, name="auto")
            if name == "auto"
            else PlainRandom(problem, seed, points[-1], True)
        )
        trace = spend_epochs(pausing, problem, seed, points[-1])
        return [problem.reference(seed).regret(trace.at(point)) for point in points]
    search = (
        Afina(problem, seed, POINTS[-1], False, name="auto")
        if name == "auto"
        else PlainRandom(problem, seed, POINTS[-1], False)
    )
    trace = spend_trials(search, problem, seed, POINTS[-1])
    return [problem.reference(seed).regret(trace.at(point)) for point in POINTS]


def show(kind: str, problems: Iterable[Problem], seeds: int) -> None:
    """Runs the problems of a kind, and prints a row for each search."""
    runs = list(itertools.product(problems, range(seeds)))
    for name in ("auto", "random"):
        found = np.array([regrets(name, problem, seed) for problem, seed in runs])
        means = "  ".join(f"{mean:.3f}" for mean in found.mean(axis=0))
        share = has_stalled(found).mean()
        print(f"{kind:9} {name:7} n={len(runs):3}  {means}  stalled {share:.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--numbers", nargs="+", type=int, default=[0, 2, 4, 6])
    parser.add_argument("--generated", nargs=2, type=int, metavar=("FIRST", "LAST"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--curves", action="store_true", help="with --generated")
    parser.add_argument("--crossing", action="store_true", help="with --curves")
    options = parser.parse_args()
    if options.generated:
        first, last = options.generated
        for place, kind in enumerate(GENERATED):
            numbers = [n for n in range(first, last + 1) if n % len(GENERATED) == place]
            if numbers:
                falling = crossing if options.crossing else curved
                make = falling if options.curves else generated
                show(kind, map(make, numbers), options.seeds)
        return
    for kind in options.kinds:
        show(kind, map(KINDS[kind], options.numbers), options.seeds)


if __name__ == "__main__":
    main()
