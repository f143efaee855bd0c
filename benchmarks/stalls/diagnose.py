"""Why do searches stall: the model, the acquisition, or its maximiser?

    python benchmarks/stalls/diagnose.py 0 39

For each run of `Auto` on a generated problem with families that has stalled, after 25 trials: how
many of them are in the best family, what the Gaussian process of all families expects at the
optimum, in deviations from the optimum's true loss, and the logarithm of the expected improvement
there and at the point that the maximiser finds. The cause is

- the model, if it puts the optimum more than three deviations off;
- the maximiser, if the optimum is worth more than the point found;
- else the acquisition.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from generated import CONDITIONAL, KINDS, Generated, generated
from stall_problems import has_stalled

from peers.afina_peer import Afina  # isort: skip
from afina.search import BayesianOptimization
from afina.search.bayesian import BayesianState
from afina.surrogates.acquisition import LogExpectedImprovement, maximise
from afina.surrogates.geometry import geometry_of

WHEN, TRIALS = 25, 50
OFF = 3.0


@dataclass(frozen=True)
class Finding:
    """What the model says after `WHEN` trials."""

    there: int
    """Trials in the best family."""

    off: float
    """Deviations of the posterior at the optimum, above the true loss."""

    at_optimum: float
    at_found: float

    @property
    def cause(self) -> str:
        """What is to blame."""
        if self.off > OFF:
            return "model"
        return "maximiser" if self.at_optimum > self.at_found else "acquisition"


def target(losses: np.ndarray, targets: np.ndarray, loss: float) -> float:
    """The target that a lower loss would have, from a line through those of the best third."""
    best = np.argsort(losses)[: max(3, len(losses) // 3)]
    if not np.ptp(losses[best]) > 0:
        return float(targets.min())
    slope = max(float(np.polyfit(losses[best], targets[best], 1)[0]), 1e-9)
    return float(targets.min() + slope * (loss - losses.min()))


def examined(problem: Generated, state: BayesianState, seed: int) -> Finding:
    """What the process of all families says of the optimum."""
    geometry = geometry_of(problem.space)
    fitted = BayesianOptimization(seed=seed)._fitted(geometry, state.observations)
    losses = np.array([each.cost for each in state.observations])
    optimum = geometry.embed(geometry.encode([problem.best]))
    mean, variance = fitted.process.predict(optimum)
    wanted = target(losses, fitted.targets, problem.known.optimum)
    worth = LogExpectedImprovement(fitted.process, float(fitted.process.fitted().min()))
    found = maximise(worth, geometry, fitted.best_first, np.random.default_rng(0))[:1]
    family = ("kind", problem.best["kind"])
    return Finding(
        there=sum(family in each.values for each in state.observations),
        off=float((mean[0] - wanted) / np.sqrt(variance[0])),
        at_optimum=float(worth.value(optimum)[0]),
        at_found=float(worth.value(geometry.embed(found))[0]),
    )


def finding(problem: Generated, seed: int) -> Finding | None:
    """Of a run that stalls; None of any other."""
    search: Any = Afina(problem, seed, TRIALS, False, name="auto")
    best, regrets, kept = np.inf, [], None
    for number in range(TRIALS):
        if number == WHEN:
            kept = search.state.inner[0]
        job = search.ask()
        loss = problem.loss(job.values)
        search.tell(job, [loss], False)
        best = min(best, loss)
        regrets.append(problem.known.regret(best))
    row = np.array([[regrets[9], regrets[WHEN - 1], regrets[-1]]])
    assert kept is not None
    return examined(problem, kept, seed) if has_stalled(row)[0] else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    causes: Counter[str] = Counter()
    for number in range(options.first, options.last + 1):
        if KINDS[number % len(KINDS)] not in CONDITIONAL:
            continue
        problem = generated(number)
        for seed in range(options.seeds):
            found = finding(problem, seed)
            if found is None:
                continue
            causes[found.cause] += 1
            print(
                f"{problem.name:10} seed {seed}: {found.there:2} trials there, optimum "
                f"{found.off:5.1f} deviations off, worth {found.at_optimum:7.1f}, "
                f"found {found.at_found:5.1f}: {found.cause}",
                flush=True,
            )
    print(dict(causes))


if __name__ == "__main__":
    main()
