"""How often `Auto` stalls, and how far from the best, beside random search.

    python benchmarks/stalls/run.py --kinds branches --numbers 0 2 4 6 8 --seeds 2

Regret as in `benchmarks/search_quality`. A run has stalled if its regret after 50 trials is above
0.1, and less than 15 % below that after 25. Even numbers may be looked at while defaults are
chosen; odd ones are held out.
"""

from __future__ import annotations

import argparse

import numpy as np
from stall_problems import KINDS

from peers.afina_peer import Afina, PlainRandom  # isort: skip
from simulate import spend_trials  # isort: skip

POINTS = (10, 25, 50)
FAR, GAIN = 0.1, 0.15


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--numbers", nargs="+", type=int, default=[0, 2, 4, 6])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    for kind in options.kinds:
        for name in ("auto", "random"):
            rows = []
            for problem in map(KINDS[kind], options.numbers):
                for seed in range(options.seeds):
                    search = (
                        Afina(problem, seed, 50, False, name="auto")
                        if name == "auto"
                        else PlainRandom(problem, seed, 50, False)
                    )
                    trace = spend_trials(search, problem, seed, 50)
                    reference = problem.reference(seed)
                    rows.append([reference.regret(trace.at(point)) for point in POINTS])
            found = np.array(rows)
            stalled = (found[:, 2] > FAR) & (found[:, 1] - found[:, 2] < GAIN * found[:, 1])
            means = "  ".join(f"{mean:.3f}" for mean in found.mean(axis=0))
            print(f"{kind:9} {name:7} n={len(rows):3}  {means}  stalled {stalled.mean():.0%}")


if __name__ == "__main__":
    main()
