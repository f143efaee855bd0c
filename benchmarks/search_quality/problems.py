"""All problems by name, and which of them may be looked at while defaults are chosen.

>>> from problems import load, select
>>> branin = load("branin")
>>> branin.loss({"x0": 3.14, "x1": 2.28})
>>> [problem.name for problem in select("tuning", groups=["conditional"])]

python benchmarks/search_quality/problems.py                # lists them
python benchmarks/search_quality/problems.py --references   # searches anew for their optima
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict

import curve_families
import curve_problems
import live_problems
import numpy as np
import recorded_problems
import sklearn_problems
import synthetic_problems
from problem import REFERENCES, Problem, reference_of

from afina.space import HyperParameter, Space

GROUPS = ("numeric", "mixed", "categorical", "conditional", "curves", "live")
_MAKERS = {
    **synthetic_problems.MAKERS,
    **sklearn_problems.MAKERS,
    **curve_problems.MAKERS,
    **curve_families.MAKERS,
}
_MADE: dict[str, Problem] = {}


def names() -> list[str]:
    """All problems; without the recorded ones where their data are not there."""
    return [*_MAKERS, *recorded_problems.names(), *live_problems.MAKERS]


def load(name: str) -> Problem:
    """The problem of a name.

    Raises:
        KeyError: There is none.
    """
    if name not in _MADE:
        makers = {**_MAKERS, **live_problems.MAKERS}
        if name in makers:
            _MADE[name] = makers[name]()
        elif name in recorded_problems.names():
            _MADE[name] = recorded_problems.load(name)
        else:
            raise KeyError(f"no problem is called {name!r}; there are {', '.join(names())}")
    return _MADE[name]


def select(*wanted: str, groups: Iterable[str] = (), curves: bool = False) -> list[Problem]:
    """Problems by their names, or by "tuning", "held-out" or "all".

    Args:
        wanted: Names and such words; none means all. What trains live must be named.
        groups: Only of these groups.
        curves: Only those that have curves; else those that are meant for nothing but curves are
            left out unless they are named.
    """
    found = []
    for name in names():
        problem = load(name)
        words = {"all", "tuning" if problem.tuning else "held-out"}
        if name not in wanted and (problem.group == "live" or not words & {*(wanted or words)}):
            continue
        if groups and problem.group not in groups:
            continue
        if problem.epochs == 1 if curves else problem.curves_only and name not in wanted:
            continue
        found.append(problem)
    unknown = set(wanted) - {"all", "tuning", "held-out"} - set(names())
    if unknown:
        raise KeyError(f"no problem is called {sorted(unknown)}; there are {', '.join(names())}")
    return found


# -- optima that no formula tells ------------------------------------------------------------------


def search_reference(name: str, draws: int, steps: int) -> dict[str, float]:
    """Random draws, then small steps from the best: a long search, for `references.json`."""
    problem = load(name)
    rng = np.random.default_rng(1)
    points = [problem.space.sample(rng) for _ in range(draws)]
    losses = [problem.loss(point) for point in points]
    reference = reference_of(losses)
    order = np.argsort(np.nan_to_num(losses, nan=np.inf))[:5]
    best = reference.optimum
    for place in order:
        values, loss = points[place], losses[place]
        for step in range(steps // 5):
            nearby = _neighbour(problem.space, values, rng, 0.3 * 0.98**step)
            found = problem.loss(nearby)
            if found <= loss:
                values, loss = nearby, found
        best = min(best, loss)
    return {"optimum": best, "random": reference.random}


def _neighbour(
    space: Space, values: dict[str, object], rng: np.random.Generator, size: float
) -> dict[str, object]:
    """The configuration with about a third of its values moved a little."""

    def choose(index: int, entry: HyperParameter) -> object:
        del index
        if entry.name not in values:
            return entry.prob_to_value(rng.random())
        if rng.random() < 0.65:
            return values[entry.name]
        if type(entry).__name__ in ("Choice", "Boolean"):
            return entry.prob_to_value(rng.random())
        place = entry.value_to_prob(values[entry.name]) + size * rng.normal()
        return entry.prob_to_value(min(max(place, 0.0), 1 - 1e-12))

    return space.walk(choose)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--references", action="store_true", help="search for the optima anew")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these problems")
    parser.add_argument("--draws", type=int, default=2000, help="at random, before small steps")
    options = parser.parse_args()
    if options.references:
        kept = REFERENCES
        found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        searched = {**sklearn_problems.MAKERS, **curve_families.MAKERS}
        for name in options.only or searched:
            found[name] = search_reference(name, options.draws, options.draws // 2)
            print(name, found[name], flush=True)
            text = json.dumps(found, indent=1, sort_keys=True)
            kept.write_text(text + "\n", encoding="utf-8")
        return
    for problem in select("all"):
        kind = "tuning" if problem.tuning else "held out"
        reference = asdict(problem.reference())
        print(
            f"{problem.name:<42} {problem.group:<12} {kind:<9} {len(problem.space):>3} entries "
            f"{problem.epochs:>3} epochs  optimum {reference['optimum']:.4g}, "
            f"random {reference['random']:.4g}"
        )


if __name__ == "__main__":
    main()
