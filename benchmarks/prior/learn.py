"""Learns where good values lie by role, from recorded trainings: writes `roles.json`.

    python benchmarks/prior/learn.py                     # into src/afina/surrogates/roles.json
    python benchmarks/prior/learn.py --without fcnet     # prints what the other collections say

Each task of a collection votes with its best configurations, each collection with its tasks, so
that a collection of many tasks does not outvote the others. The width is that of good values
within tasks and between them, and wider than that: a new task is not one of these.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search_quality"))

import problems
import recorded_problems
from problem import Problem

from afina.space.priors import Role
from afina.space.roles import role_of

TARGET = Path(__file__).resolve().parents[2] / "src" / "afina" / "surrogates" / "roles.json"
RECORDED = Path(__file__).with_name("recorded.json")
BEST = 0.02
WIDER = 1.5
NETWORKS: dict[str, Role] = {"depth": "depth"}
"""Names that tell a role here, where all models are networks, and would not elsewhere."""

LINEAR = {"dropout", "depth", "momentum"}
LEAST = 1e-9
"""What stands for 0 on a logarithmic scale."""

DRAWS = 4000


def collection_of(name: str) -> str:
    """The collection that a problem is from."""
    return name.partition("_")[0]


def collections() -> dict[str, list[Problem]]:
    """The recorded problems of each collection."""
    found: dict[str, list[Problem]] = defaultdict(list)
    for name in recorded_problems.names():
        found[collection_of(name)].append(problems.load(name))
    return dict(found)


def votes(problem: Problem) -> dict[str, tuple[float, float]]:
    """By role: the mean and the standard deviation of good values."""
    drawn = known(problem)
    losses = np.nan_to_num([problem.loss(each) for each in drawn], nan=np.inf)
    best = [drawn[place] for place in np.argsort(losses, kind="stable")[: int(BEST * len(drawn))]]
    return of_good(problem, best)


def known(problem: Problem) -> list[dict[str, Any]]:
    """Configurations that have been trained: those recorded, or a sample of a whole grid."""
    if isinstance(problem, recorded_problems.Sampled):
        entries = list(problem.space)
        return [
            {e.name: e.prob_to_value(float(unit)) for e, unit in zip(entries, point, strict=True)}
            for point in problem.points
        ]
    rng = np.random.default_rng(0)
    return [dict(problem.space.sample(rng)) for _ in range(DRAWS)]


def of_good(problem: Problem, best: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """By role: the mean and the standard deviation of the values of good configurations."""
    values: dict[str, list[float]] = defaultdict(list)
    for entry in problem.space:
        role = NETWORKS.get(entry.name, role_of(entry))
        if role is not None:
            own = [float(each[entry.name]) for each in best if entry.name in each]
            values[role] += own if role in LINEAR else list(np.log10(np.maximum(own, LEAST)))
    return {role: (float(np.mean(each)), float(np.std(each))) for role, each in values.items()}


def learnt(without: str | None = None) -> dict[str, dict[str, Any]]:
    """By role: scale, middle and width of good values, from all collections but one."""
    heard: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    for name, some in collections().items():
        if name == without:
            continue
        own: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for problem in some:
            for role, vote in votes(problem).items():
                own[role].append(vote)
        for role, each in own.items():
            heard[role].append(each)
    if RECORDED.exists() and without != "own":
        for role, each in json.loads(RECORDED.read_text(encoding="utf-8"))["votes"].items():
            heard[role].append([tuple(vote) for vote in each])
    return {role: _joined(role, parts) for role, parts in sorted(heard.items())}


def _joined(role: str, parts: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """One belief from the votes of several collections, each of which has the same weight."""
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
    means, widths = np.array([vote for part in parts for vote in part]).T
    middle = float(np.average(means, weights=weights))
    variance = float(np.average(widths**2 + (means - middle) ** 2, weights=weights))
    linear = role in LINEAR
    return {
        "scale": "linear" if linear else "log",
        "middle": round(middle, 3),
        "width": round(WIDER * variance**0.5, 3),
        "tasks": len(means),
        "collections": len(parts),
        **({} if linear else {"least": LEAST}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--without", help="leave a collection out, and write nothing")
    options = parser.parse_args()
    roles = learnt(options.without)
    text = json.dumps({"version": 1, "roles": roles}, indent=1, sort_keys=True) + "\n"
    print(text)
    if options.without is None:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
