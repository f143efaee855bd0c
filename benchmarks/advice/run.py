"""Does a second search find better models where the advice says than where the first one was?

    AFINA_DATA=... python benchmarks/advice/run.py --seeds 5 --store runs.jsonl
    python benchmarks/advice/run.py --report --store runs.jsonl        # Markdown, from what is kept

A case is a recorded problem, a seed and a first search of 40 trials. Then, with the same seed and
budget, a second search in the space that the advice draws, and one in the old space:

- `random`: random search; the better of the two second searches wins. `of 100`: the same pair with
  100 seeds, so that the luck of one draw does not count; the share that is won.
- `bayesian, anew`: a fresh Bayesian optimization in each space, which both begin with the best
  configuration known; judged by the best of both searches.
- `bayesian, told`: it is told the first search: all of it in the old space, the trials that lie in
  the new one there; judged by the best of both searches.

TaskSet is a random sample of 1,000 configurations, so a search chooses among these: random search
any that was not chosen yet, a Bayesian one that which is nearest to its proposal. A space with
fewer than 40 of them gives a shorter search. `--nearest` looks the nearest one up instead, for
any configuration, however far away it is: in eight dimensions it often lies in another part of
the range, so that what is found in a narrowed space comes from outside of it.

An advised space has *cut off* the best region where none of the recorded configurations in it is
as good as the best 1 in 1000 of a grid, the best 1 in 100 of a random sample. *Lost the best*:
something better is left in the old space.

The `narrow` cases begin in a part of the recorded ranges (the lower or the upper 60 % of each), so
that widening can be seen. Losses are looked up, nothing is trained.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search_quality"))

import numpy as np
from problem import Problem
from problems import load, names

from afina.advice import advice
from afina.search import BayesianOptimization, Random
from afina.search.base import Situation, Suggestion
from afina.space import Choice, Float, HyperParameter, Space, Value
from afina.testing import run
from afina.trials import Trial

TRIALS = 40
NARROW = 0.6
BEST_OF_GRID = 1e-3
BEST_OF_SAMPLE = 1e-2
PAIRS = 100

Loss = Callable[[Mapping[str, Value]], float]


@dataclass(frozen=True)
class Records:
    """Configurations that were drawn at random, and their losses."""

    points: Any
    """(n, entries) in the unit cube."""

    losses: Any
    """(n,) infinite where the training failed."""

    values: tuple[dict[str, Value], ...]
    entries: tuple[HyperParameter, ...]

    def inside(self, space: Space) -> Any:
        """Places of those that lie in a space."""
        found = np.ones(len(self.points), dtype=bool)
        for column, old in enumerate(self.entries):
            new = next(entry for entry in space if entry.name == old.name)
            low, high = min(new.values), max(new.values)
            if isinstance(new, Float):
                low, high = new.min_value, new.max_value
            found &= self.points[:, column] >= old.value_to_prob(low) - 1e-9
            found &= self.points[:, column] <= old.value_to_prob(high) + 1e-9
        return np.flatnonzero(found)

    def nearest(self, values: Mapping[str, Value], places: Any) -> int:
        """The one of some that is nearest to a configuration."""
        point = [entry.value_to_prob(values[entry.name]) for entry in self.entries]  # type: ignore[arg-type]
        return int(places[np.square(self.points[places] - point).sum(axis=1).argmin()])


@dataclass(frozen=True)
class Case:
    """A problem with the space that the first search gets, and the widest that is recorded."""

    name: str
    loss: Loss
    space: Space
    limits: dict[str, tuple[float, float]]
    left: Callable[[Space], float]
    """The lowest recorded loss in a space."""

    records: Records | None
    """What a search chooses among; None where any configuration has a loss."""

    threshold: float
    """Of the best region: loss of the best 1 in 1000 of a grid, 1 in 100 of a random sample."""

    tuning: bool


@functools.lru_cache(maxsize=2)
def case_of(name: str, seed: int, narrow: bool, nearest: bool = False) -> Case:
    """A recorded problem as a case."""
    problem = load(name)
    axes = dict(getattr(problem, "axes", {}))
    if axes:
        return _grid(problem, axes, seed, narrow)
    return _sample(problem, seed, narrow, nearest)


def _grid(problem: Any, axes: dict[str, dict[Any, int]], seed: int, narrow: bool) -> Case:
    table = problem.table[..., seed % problem.table.shape[-1]]
    entries = [_axis(name, list(values), table.ndim) for name, values in axes.items()]
    coordinates = {e.name: np.array([e.value_to_prob(v) for v in axes[e.name]]) for e in entries}

    def places(entry: HyperParameter, values: list[Value]) -> list[int]:
        if not isinstance(entry, Float):
            return [axes[entry.name][value] for value in values]
        own = [entry.value_to_prob(value) for value in values]  # type: ignore[arg-type]
        return [int(np.abs(coordinates[entry.name] - place).argmin()) for place in own]

    def loss(values: Mapping[str, Value]) -> float:
        return float(table[tuple(places(e, [values[e.name]])[0] for e in entries)])

    def left(space: Space) -> float:
        allowed = []
        for old in entries:
            new = next(entry for entry in space if entry.name == old.name)
            values: list[Any] = list(new.values)
            if isinstance(new, Float):
                values = [new.prob_to_value(u) for u in np.linspace(0, 1, 101)]
            allowed.append(sorted(set(places(old, values))))
        return float(table[np.ix_(*allowed)].min())

    limits = {e.name: (e.min_value, e.max_value) for e in entries if isinstance(e, Float)}
    limits |= {
        e.name: (min(e.values), max(e.values))
        for e in entries
        if isinstance(e, Choice) and e.ordered
    }
    threshold = float(np.quantile(table, BEST_OF_GRID, method="lower"))

    space = _begun(problem.name, entries, seed, narrow)
    return Case(problem.name, loss, space, limits, left, None, threshold, problem.tuning)


def _axis(name: str, values: list[Any], axes: int) -> HyperParameter:
    """An axis of a grid; numbers as a range whose values stand for the nearest recorded one."""
    del axes
    numbers = len(values) > 2 and all(isinstance(value, int | float) for value in values)
    if not numbers:
        return Choice(name, values)
    return Float(name, min(values), max(values), sampling="log" if min(values) > 0 else "linear")


def _sample(problem: Any, seed: int, narrow: bool, nearest: bool) -> Case:
    entries = list(problem.space)
    losses = problem.table.min(axis=1)  # NaN where any epoch is
    losses = np.where(np.isfinite(losses), losses, np.inf)
    values = tuple(
        {
            entry.name: entry.prob_to_value(min(float(place), math.nextafter(1, 0)))
            for entry, place in zip(entries, point, strict=True)
        }
        for point in problem.points
    )
    records = Records(problem.points, losses, values, tuple(entries))

    def loss(values: Mapping[str, Value]) -> float:
        return float(losses[records.nearest(values, np.arange(len(losses)))])

    def left(space: Space) -> float:
        return float(losses[records.inside(space)].min(initial=math.inf))

    threshold = float(np.quantile(losses, BEST_OF_SAMPLE, method="lower"))
    limits = {entry.name: (entry.min_value, entry.max_value) for entry in entries}
    space = _begun(problem.name, entries, seed, narrow)
    known = None if nearest else records
    return Case(problem.name, loss, space, limits, left, known, threshold, problem.tuning)


def _begun(name: str, entries: list[HyperParameter], seed: int, narrow: bool) -> Space:
    """The space of the first search; its default is a draw, which tells nothing."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    found = []
    for entry in entries:
        config = {**entry.get_config(), "default": None}
        upper = bool(rng.random() < 0.5)
        if narrow and isinstance(entry, Float):
            config["min_value"] = entry.prob_to_value(1 - NARROW if upper else 0.0)
            config["max_value"] = entry.prob_to_value(1.0 if upper else NARROW)
        smaller = type(entry).from_config(config)
        config["default"] = smaller.prob_to_value(rng.random())
        found.append(type(entry).from_config(config))
    return Space(tuple(found))


# -- searches --------------------------------------------------------------------------------------


def searched(
    algorithm: Any, case: Case, space: Space, known: list[Trial], count: int = TRIALS
) -> list[Trial]:
    """Up to `count` trials of an algorithm that is told some trials first."""
    state = algorithm.init()
    for trial in known:
        state = algorithm.tell(state, trial, space)
    free = None if case.records is None else case.records.inside(space)
    found: list[Trial] = []
    for number in range(len(known), len(known) + count):
        answer = algorithm.ask(state, Situation(number=number, space=space))
        if not isinstance(answer, Suggestion) or (free is not None and not len(free)):
            break
        if free is not None and case.records is not None:
            by_chance = isinstance(algorithm, Random)
            rng = np.random.default_rng([algorithm.seed if by_chance else 0, number])
            place = rng.choice(free) if by_chance else case.records.nearest(answer.values, free)
            free = free[free != place]
            answer = Suggestion(values=case.records.values[int(place)])
        done = replace(run(_Once(answer), case.loss, space, 1).trials[0], number=number)
        found.append(done)
        state = algorithm.tell(state, done, space)
    return found


def search(algorithm: Any, case: Case, space: Space, known: list[Trial]) -> float:
    """The lowest loss of what `searched` tries."""
    return best_of(searched(algorithm, case, space, known))


def best_of(trials: list[Trial]) -> float:
    """The lowest loss; infinite where there is none."""
    return min((t.loss for t in trials if t.loss is not None), default=math.inf)


def by_chance(case: Case, space: Space, seed: int) -> list[float]:
    """The best of `TRIALS` random trials, `PAIRS` times."""
    rng = np.random.default_rng([seed, 9])
    if case.records is not None:
        losses = case.records.losses[case.records.inside(space)]
        count = min(TRIALS, len(losses))
        drawn = [rng.choice(losses, count, replace=False) for _ in range(PAIRS)]
        return [float(some.min(initial=math.inf)) for some in drawn]
    return [min(case.loss(space.sample(rng)) for _ in range(TRIALS)) for _ in range(PAIRS)]


@dataclass(frozen=True)
class _Once:
    """Proposes one thing: turns `run` into "train this"."""

    answer: Suggestion

    def init(self) -> None:
        return None

    def ask(self, state: None, situation: Situation) -> Suggestion:
        return self.answer

    def tell(self, state: None, trial: Trial, space: Space) -> None:
        return None


def with_defaults(space: Space, values: Mapping[str, Value]) -> Space:
    """The space with these values as its default."""
    return Space(
        tuple(
            type(e).from_config({**e.get_config(), "default": e.clip(values[e.name])})
            for e in space
        )
    )


def play(
    name: str, seed: int, first: str, narrow: bool, bayesian: bool, nearest: bool
) -> dict[str, Any]:
    """One case: what the second searches found."""
    case = case_of(name, seed, narrow, nearest)
    make = {"random": Random, "bayesian": BayesianOptimization}
    trials = searched(make[first](seed), case, case.space, [])
    found = advice(trials, case.space, limits=case.limits)
    new = found.after
    old = with_defaults(case.space, found.best.values) if found.best else case.space
    begun, again = best_of(trials), 1000 + seed
    result: dict[str, Any] = {
        "problem": name,
        "seed": seed,
        "first": first,
        "narrow": narrow,
        "tuning": case.tuning,
        "cut": bool(case.left(case.space) <= case.threshold < case.left(new)),
        "reached": bool(case.left(new) < case.left(case.space)),
        "missed": bool(case.left(new) > case.left(case.space)),
        "same": not found.changes,
        "verdicts": [each.verdict.value for each in found.ranges],
        "random": [search(Random(again), case, space, []) for space in (new, old)],
    }
    pairs = list(zip(by_chance(case, new, again), by_chance(case, old, again + 1), strict=True))
    result["won"] = sum(a < b for a, b in pairs) / PAIRS if found.changes else 0.0
    result["lost"] = sum(a > b for a, b in pairs) / PAIRS if found.changes else 0.0
    if bayesian:
        result["anew"] = [
            min(begun, search(BayesianOptimization(again), case, space, [])) for space in (new, old)
        ]
        known = ((new, found.carry_over(trials)), (old, trials))
        result["told"] = [
            min(begun, search(BayesianOptimization(again), case, space, some))
            for space, some in known
        ]
    return result


# -- text ------------------------------------------------------------------------------------------


def report(rows: list[dict[str, Any]]) -> str:
    """Wins, ties and losses as Markdown."""
    lines = []
    for narrow in (False, True):
        for tuning in (True, False):
            some = [r for r in rows if r["narrow"] is narrow and r["tuning"] is tuning]
            if some:
                kind = "sub-ranges" if narrow else "whole ranges"
                part = "tuning problems" if tuning else "held-out problems"
                lines += [f"## {kind}, {part}", "", *_table(some), ""]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    head = ["problem", "first search", "cases", "random", "of 100: won (of those decided)"]
    head += ["bayesian, anew", "bayesian, told", "no change", "cut off", "lost the best"]
    lines = [_line(head)]
    lines.append("|---|---" + "|---:" * (len(head) - 2) + "|")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["problem"], row["first"]].append(row)
        groups["all", row["first"]].append(row)
        groups["all", "both"].append(row)
    for (name, first), some in sorted(groups.items(), key=lambda pair: (pair[0][0] == "all", pair)):
        scores = [_score(some, kind) for kind in ("random", "anew", "told")]
        won, lost = (sum(row[key] for row in some) / len(some) for key in ("won", "lost"))
        share = won / (won + lost) if won + lost else math.nan
        scores.insert(1, f"{won:.0%} ({share:.0%})")
        cuts = [f"{sum(row.get(key, False) for row in some)}" for key in ("same", "cut", "missed")]
        lines.append(_line([name, first, str(len(some)), *scores, *cuts]))
    return lines


def _score(rows: list[dict[str, Any]], kind: str) -> str:
    pairs = [row[kind] for row in rows if kind in row]
    wins = sum(new < old for new, old in pairs)
    losses = sum(new > old for new, old in pairs)
    if not pairs:
        return ""
    share = wins / (wins + losses) if wins + losses else math.nan
    return f"{wins}-{len(pairs) - wins - losses}-{losses} ({share:.0%})"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def recorded() -> list[str]:
    """The recorded problems, those for tuning first."""

    def is_recorded(problem: Problem) -> bool:
        return problem.name.startswith(("fcnet", "hpobench", "taskset"))

    found = [load(name) for name in names()]
    return [p.name for p in sorted(found, key=lambda p: not p.tuning) if is_recorded(p)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--bayesian", type=int, default=2, help="seeds with the Bayesian second searches"
    )
    parser.add_argument("--problems", nargs="*", default=None)
    parser.add_argument("--tuning", action="store_true", help="only the problems for tuning")
    parser.add_argument("--narrow", action="store_true", help="begin in sub-ranges")
    parser.add_argument("--nearest", action="store_true", help="look up nearest configurations")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    kept = chosen.store.read_text(encoding="utf-8") if chosen.store.exists() else ""
    rows = [json.loads(line) for line in kept.splitlines()]
    if chosen.report:
        print(report(rows))
        return
    done = {(r["problem"], r["seed"], r["first"], r["narrow"]) for r in rows}
    for seed in range(chosen.seeds):
        for name in chosen.problems or recorded():
            if chosen.tuning and not load(name).tuning:
                continue
            for first in ("random", "bayesian"):
                if (name, seed, first, chosen.narrow) in done:
                    continue
                row = play(name, seed, first, chosen.narrow, seed < chosen.bayesian, chosen.nearest)
                with chosen.store.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
