"""How often cross-validation drops a trial that is exactly as good as those before it.

    python benchmarks/folds/equal_trials.py [--searches 500]

Five folds that differ in difficulty, and trials that differ by luck alone. Seconds, no training.
"""

from __future__ import annotations

import argparse

import numpy as np

from afina.trials import Objective
from afina.tuners.fold_run import Rival, residual

FOLDS = 5
DIFFICULTY = 3.0
"""Standard deviation between folds; that between trials on one fold is 1."""


def share_dropped(earlier: int, searches: int) -> float:
    """The share of searches in which the trial after `earlier` equal ones is dropped.

    Args:
        earlier: Trials that were trained on all folds.
        searches: How many searches to simulate.
    """
    objective = Objective("val_loss", "min")
    rng = np.random.default_rng(1)
    dropped = 0
    for _ in range(searches):
        hard = rng.normal(scale=DIFFICULTY, size=FOLDS)
        *before, new = (hard + rng.normal(size=(earlier + 1, FOLDS))).tolist()
        best = min(range(earlier), key=lambda number: sum(before[number]))
        rival = Rival(best, tuple(before[best]), *residual(before))
        looks = range(2, FOLDS)
        dropped += any(rival.beats(new[:folds], objective) for folds in looks)
    return dropped / searches


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--searches", type=int, default=500)
    searches = parser.parse_args().searches
    print("trials before   dropped")
    for earlier in (1, 2, 4, 10):
        print(f"{earlier:13}   {share_dropped(earlier, searches):7.1%}")


if __name__ == "__main__":
    main()
