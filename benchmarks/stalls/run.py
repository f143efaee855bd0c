"""How often `Auto` stalls, and how far from the best, beside random search.

    python benchmarks/stalls/run.py --kinds branches --numbers 0 2 4 6 8 --seeds 2
    python benchmarks/stalls/run.py --generated 0 39 --seeds 1

Regret as in `benchmarks/search_quality`. A run has stalled if its regret after 50 trials is above
0.1, and less than 15 % below that after 25. Even numbers of `--kinds` may be looked at while
defaults are chosen; odd ones are held out. Numbers of `--generated` are held out from 100 on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable

import numpy as np
from generated import KINDS as GENERATED
from generated import generated
from stall_problems import KINDS, has_stalled

from peers.afina_peer import Afina, PlainRandom  # isort: skip
from problem import Problem  # isort: skip
from simulate import spend_trials  # isort: skip

POINTS = (10, 25, 50)


def regrets(name: str, problem: Problem, seed: int) -> list[float]:
    """After each number of trials in `POINTS`."""
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
    options = parser.parse_args()
    if options.generated:
        first, last = options.generated
        for place, kind in enumerate(GENERATED):
            numbers = [n for n in range(first, last + 1) if n % len(GENERATED) == place]
            if numbers:
                show(kind, map(generated, numbers), options.seeds)
        return
    for kind in options.kinds:
        show(kind, map(KINDS[kind], options.numbers), options.seeds)


if __name__ == "__main__":
    main()
