"""What the shipped prior gains, and what a wrong one costs, on collections that are left out.

    python benchmarks/prior/run.py                 # the table; some minutes
    python benchmarks/prior/run.py --seeds 1 --only hpobench
    python benchmarks/prior/run.py --seeds 2 --only taskset --curves    # in parts of trainings

Three searches by `Auto` on the same problems and seeds, one full training a trial: without a prior,
with what the other collections say of roles, and with a prior turned upside down: each number is
believed to be good where the recorded results say that it is worst. Regret as in
`benchmarks/search_quality`: 0 is the best known loss, 1 what half of all random searches have after
ten trials.
"""

from __future__ import annotations

import argparse
from typing import Any
from unittest import mock

import learn
import numpy as np
from peers.afina_peer import Afina
from problem import Problem
from simulate import spend_epochs, spend_trials

from afina.space import Space
from afina.surrogates import prior

POINTS = (5, 10, 25, 50)
TRAININGS = (1, 2, 5, 10)
"""Where trainings in parts are looked at, in full trainings' worth of epochs."""


def inverted(problem: Problem) -> Space:
    """The space with a prior on each number, where its values do worst."""
    drawn = learn.known(problem)
    losses = np.nan_to_num([problem.loss(each) for each in drawn], nan=np.inf)
    worst = [drawn[place] for place in np.argsort(-losses)[: len(drawn) // 20]]
    entries = []
    for entry in problem.space:
        config = entry.get_config()
        places = [entry.value_to_prob(each[entry.name]) for each in worst]
        middle = entry.prob_to_value(min(float(np.median(places)), 1 - 1e-9))
        if hasattr(entry, "sampling"):
            config["prior"] = middle
        else:
            config["prior"] = [[middle, 5.0]]
        entries.append(type(entry).from_config(config))
    return Space(tuple(entries))


def regrets(
    problem: Problem, seed: int, which: str | None, space: Space | None = None, curves: bool = False
) -> Any:
    """The regret after each of the trials, or full trainings' worth of epochs, looked at."""
    unit = problem.epochs if curves else 1
    points = [point * unit for point in (TRAININGS if curves else POINTS)]
    search = Afina(problem, seed, max(points), curves, name="auto", prior=which)
    search.space = space or search.space
    spend = spend_epochs if curves else spend_trials
    trace = spend(search, problem, seed, max(points))
    reference = problem.reference(seed)
    return [reference.regret(trace.at(point)) for point in points]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", help="one collection")
    parser.add_argument("--curves", action="store_true", help="train in parts")
    options = parser.parse_args()
    for name, some in learn.collections().items():
        if options.only and name != options.only:
            continue
        roles = learn.learnt(without=name)
        found: dict[str, list[Any]] = {"none": [], "roles": [], "inverted": []}
        with mock.patch.object(prior, "shipped", lambda roles=roles: roles):
            for problem in some:
                upside_down = inverted(problem)
                for seed in range(options.seeds):
                    prior.prior_of.cache_clear()
                    for kind, believed, space in (
                        ("none", None, None),
                        ("roles", "roles", None),
                        ("inverted", "given", upside_down),
                    ):
                        row = regrets(problem, seed, believed, space, options.curves)
                        found[kind].append(row)
        for kind, rows in found.items():
            print(
                f"{name:10} {kind:9} n={len(rows):3}  "
                + "  ".join(f"{mean:.3f}" for mean in np.mean(rows, axis=0)),
                flush=True,
            )


if __name__ == "__main__":
    main()
