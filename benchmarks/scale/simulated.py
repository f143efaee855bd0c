"""A thousand workers on virtual time: how busy each algorithm keeps them, and at what cost.

    python benchmarks/scale/simulated.py [--workers 1000] [--trials 4000]

Each search runs twice, and must be the same to the last bit. The cost is processor time of the
search itself for each trial: a trial takes no time.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from typing import Any

from afina.search import (
    TPE,
    Algorithm,
    AsynchronousHalving,
    Auto,
    Hyperband,
    QuasiRandom,
    Random,
)
from afina.space import HyperParameters
from afina.store import MemoryStore
from afina.study.state import SearchState
from afina.testing.simulated import Simulation, simulate
from afina.trials import Objective, Trial

ALGORITHMS: dict[str, Algorithm[Any]] = {
    "Random": Random(seed=0),
    "QuasiRandom": QuasiRandom(seed=0),
    "AsynchronousHalving": AsynchronousHalving(seed=0, max_epochs=81),
    "Hyperband": Hyperband(seed=0, max_epochs=81, iterations=20),  # one has 211 trials
    "TPE": TPE(seed=0),
    "Auto": Auto(seed=0),
}


def search(algorithm: Algorithm[Any], workers: int, trials: int) -> Simulation:
    """One search of a space of four numbers."""
    hp = HyperParameters()
    for index in range(4):
        hp.Float(f"x{index}", -1.0, 1.0)
    state = SearchState(
        algorithm=algorithm,
        objective=Objective("loss", "min"),
        hp=hp,
        store=MemoryStore(),
        seed=0,
        max_trials=trials,
    )

    def loss(trial: Trial) -> float:
        return sum(float(x) ** 2 for x in trial.values.values()) + 1.0 / (
            1 + (trial.end_epoch or 1)
        )

    return simulate(state, loss, workers=workers)


def main() -> None:
    """Prints a row for each algorithm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--only", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    options = parser.parse_args()
    print("| algorithm | trials | busy | ms a trial | the same twice |")
    print("|---|---|---|---|---|")
    for name in options.only:
        began = time.process_time()
        first = search(ALGORITHMS[name], options.workers, options.trials)
        cost = 1000 * (time.process_time() - began) / len(first.trials)
        again = search(ALGORITHMS[name], options.workers, options.trials)
        same = _digest(first) == _digest(again)
        said = f"| {name} | {len(first.trials)} | {first.busy:.1%} | {cost:.1f} | {same} |"
        print(said, flush=True)


def _digest(done: Simulation) -> str:
    return hashlib.sha256(repr(done).encode()).hexdigest()


if __name__ == "__main__":
    main()
