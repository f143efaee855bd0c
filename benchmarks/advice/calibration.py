"""Is the advice as sure as it should be, and does following it find better results?

    AFINA_DATA=... python benchmarks/advice/calibration.py --store claims.jsonl --seeds 1
    python benchmarks/advice/calibration.py --report --store claims.jsonl

A case is a problem whose results are all known, a space, and a first search of 40 trials by random
search, Bayesian optimization or `Auto`. The space is all that is recorded ("wide"), three fifths of
each range around the best configuration ("apt"), or three fifths that leave it out where that is
possible ("narrow"). Three things are written down:

- each claim of a cut ("nothing better lies in the rest"), of the advice itself and of each half of
  each hyperparameter that matters, with its probability and whether it is so;
- each claim of a bound ("better results lie beyond"), of the advice and of both ends of each such
  range, in the same way;
- the best of 20 more trials by `search_again`, beside that of the same model that simply goes on
  with all trials in the old space. After a random search both go on with Bayesian optimization.

"Better" is by more than 1 % of the distance from the median of the recorded results to the best.
TaskSet records a sample, of which a part of the ranges would leave too little: "wide" only.
Problems named `planted_` are functions with two idle hyperparameters and a little noise.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search_quality"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from problems import load

from afina.advice import Visibility, advice
from afina.advice.belief import believe
from afina.advice.claims import better_beyond, keeps_best
from afina.advice.evidence import gather
from afina.advice.resize import widened
from afina.advice.sample import cells_of, is_ordered, sample_of
from afina.search import Auto, BayesianOptimization, Informed, Random
from afina.space import Choice, Float, HyperParameter, Space, Value
from afina.space.parameters import Numerical
from afina.trials import Trial
from run import Case, best_of, case_of, recorded, searched

FIRST: dict[str, Callable[[int], Any]] = {
    "random": Random,
    "bayesian": BayesianOptimization,
    "auto": lambda seed: Auto(seed=seed),
}
KINDS = ("wide", "apt", "narrow")
PART = 0.6
MORE = 20
TOLERANCE = 0.01
PLANTED = {"planted_bowl": True, "planted_kink": True, "planted_valley": False}
"""Whether a function may be looked at while the advice is made."""


@dataclass(frozen=True)
class Known:
    """A problem whose results are all known."""

    case: Case
    best: Mapping[str, Value]
    scale: float
    """The distance from the median result to the best."""


# -- problems --------------------------------------------------------------------------------------


def known_of(name: str, seed: int) -> Known:
    """A problem in its whole space."""
    if name in PLANTED:
        return _planted(name, seed)
    case, problem = case_of(name, seed, False), load(name)
    if case.records is not None:
        losses = case.records.losses
        best = case.records.values[int(losses.argmin())]
        return Known(case, best, float(np.median(losses) - losses.min()))
    axes = dict(problem.axes)
    table = problem.table[..., seed % problem.table.shape[-1]]
    place = np.unravel_index(int(table.argmin()), table.shape)
    best = {key: list(axes[key])[at] for key, at in zip(axes, place, strict=True)}
    return Known(case, best, float(np.median(table) - table.min()))


def _planted(name: str, seed: int) -> Known:
    rng = np.random.default_rng([seed, len(name)])
    optimum = 0.05 + 0.9 * rng.random(3)
    worse = rng.permutation([0.0, 0.05, 0.3])
    names = ("a", "b", "c")
    entries: tuple[HyperParameter, ...] = (
        *(Float(each, 0, 1) for each in names),
        Choice("kind", ["x", "y", "z"]),
        Float("idle", 0, 1),
        Choice("mode", ["p", "q"]),
    )

    def exact(points: Any) -> Any:
        gaps = np.abs(points - optimum)
        if name == "planted_valley":
            return 4 * (gaps[..., 0] - gaps[..., 1]) ** 2 + gaps[..., 0] + 0.3 * gaps[..., 2]
        weights = np.array([1.0, 0.5, 0.2])
        return (weights * (gaps**2 if name == "planted_bowl" else gaps)).sum(axis=-1)

    def loss(values: Mapping[str, Value]) -> float:
        point = np.array([values[each] for each in names], dtype=float)
        shift = float(worse["xyz".index(str(values["kind"]))])
        noise = random.Random(repr((seed, sorted(values.items())))).gauss(0, 0.01)
        return float(exact(point)) + shift + noise

    def left(space: Space) -> float:
        new = {entry.name: entry for entry in space}
        axes = []
        for each, best in zip(names, optimum, strict=True):
            entry = new[each]
            ends = (min(entry.values), max(entry.values))
            if isinstance(entry, Float):
                ends = (entry.min_value, entry.max_value)
            nearest = min(max(float(best), ends[0]), ends[1])
            axes.append(np.append(np.linspace(*ends, 41), nearest))
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        shift = min(float(worse["xyz".index(str(each))]) for each in new["kind"].values)
        return float(exact(grid).min()) + shift

    limits = {entry.name: (0.0, 1.0) for entry in entries if isinstance(entry, Float)}
    best = dict(zip(names, optimum.tolist(), strict=True))
    case = Case(name, loss, Space(entries), limits, left, None, 0.0, PLANTED[name])
    return Known(case, best, float(np.median(exact(rng.random((1000, 3)))) + 0.05))


def space_of(known: Known, kind: str, seed: int) -> Space:
    """The space of the first search; its default is a draw, which tells nothing."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    found = []
    for entry in known.case.space:
        config = {**entry.get_config(), "default": None}
        if kind != "wide" and isinstance(entry, Float) and entry.name in known.best:
            best = entry.value_to_prob(entry.clip(known.best[entry.name]))
            start = min(max(best - PART / 2, 0.0), 1 - PART)
            if kind == "narrow":
                start = 0.0 if best > PART else 1 - PART
                start = float(rng.choice([0.0, 1 - PART])) if 1 - PART <= best <= PART else start
            config["min_value"] = entry.prob_to_value(start)
            config["max_value"] = entry.prob_to_value(min(start + PART, math.nextafter(1, 0)))
        smaller = type(entry).from_config(config)
        config["default"] = smaller.prob_to_value(rng.random())
        found.append(type(entry).from_config(config))
    return Space(tuple(found))


# -- claims ----------------------------------------------------------------------------------------


def _with(space: Space, new: HyperParameter) -> Space:
    return Space(tuple(new if entry.name == new.name else entry for entry in space))


def asked(known: Known, space: Space, trials: list[Trial], told: Any) -> Iterator[dict[str, Any]]:
    """Claims of each half of each hyperparameter that matters, and of both of its ends."""
    sample = sample_of(gather(trials, space))
    belief, rng = believe(sample, 1), np.random.default_rng(0)
    everything = known.case.left(space)
    least = TOLERANCE * known.scale
    for column, effect in enumerate(told.effects.single):
        entry, part = sample.entries[column], sample.geometry.tunable[column]
        if effect.visibility is not Visibility.MATTERS or not isinstance(entry, Numerical):
            continue
        if not is_ordered(part):
            continue
        count = cells_of(part)
        for end in ("low", "high"):
            kept = np.arange(count) < count // 2 if end == "low" else np.arange(count) >= count // 2
            middle = entry.prob_to_value(0.5)
            ends = {"max_value": middle} if end == "low" else {"min_value": middle}
            half = type(entry).from_config({**entry.get_config(), **ends, "default": None})
            true = known.case.left(_with(space, half)) <= everything + least
            yield _claim("half", keeps_best(sample, belief, column, kept, rng), true)
            wider = widened(entry, end, known.case.limits[entry.name])  # type: ignore[arg-type]
            if wider != entry:
                true = known.case.left(_with(space, wider)) < everything - least
                yield _claim("end", better_beyond(sample, belief, column, end), true)  # type: ignore[arg-type]


def _claim(kind: str, sure: float, true: bool) -> dict[str, Any]:
    return {"kind": kind, "sure": round(float(sure), 3), "true": bool(true)}


def advised(known: Known, space: Space, told: Any) -> Iterator[dict[str, Any]]:
    """The claims that the advice makes."""
    everything, least = known.case.left(space), TOLERANCE * known.scale
    for each in told.ranges:
        found = known.case.left(_with(space, each.after))
        if each.verdict.value in ("narrow", "drop"):
            yield _claim("cut", each.confidence, found <= everything + least)
        elif each.verdict.value == "widen":
            yield _claim("widen", each.confidence, found < everything - least)


def play(name: str, seed: int, first: str, kind: str) -> dict[str, Any]:
    """One case."""
    known = known_of(name, seed)
    space = space_of(known, kind, seed)
    case = replace(known.case, space=space)
    trials = searched(FIRST[first](seed), case, space, [])
    told = advice(trials, space, limits=case.limits, method="ped_anova")
    claims = [*advised(known, space, told), *asked(known, space, trials, told)]
    model = (BayesianOptimization if first == "random" else FIRST[first])(1000 + seed)
    whole = told.whole_space().to_space()
    begun = best_of(trials)
    again = Informed(model, tuple(told.carry_over_all(trials)), whole)
    plain = Informed(model, tuple(trials), space)
    found = [
        min(begun, best_of(more(algorithm, case, area)))
        for algorithm, area in ((again, whole), (plain, space))
    ]
    return {
        "problem": name,
        "seed": seed,
        "first": first,
        "space": kind,
        "tuning": case.tuning,
        "action": told.recommendation.action.value,
        "verdicts": {each.name: each.verdict.value for each in told.ranges},
        "claims": claims,
        "begun": begun,
        "found": found,
        "scale": known.scale,
        "least": case.left(known.case.space),
    }


def more(algorithm: Any, case: Case, space: Space) -> list[Trial]:
    """`MORE` trials of an algorithm that knows the earlier ones."""
    return searched(algorithm, case, space, [], MORE)


# -- text ------------------------------------------------------------------------------------------


def report(rows: list[dict[str, Any]]) -> str:
    """The tables, as Markdown."""
    lines: list[str] = []
    for tuning in (True, False):
        some = [row for row in rows if row["tuning"] is tuning]
        if some:
            lines += [f"## {'tuning' if tuning else 'held-out'} problems: {len(some)} cases", ""]
            lines += [*_reliability(some), "", *_pairs(some), ""]
    return "\n".join(lines)


BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.01)


def _reliability(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| claim | stated | claims | mean stated | true |", "|---|---|---:|---:|---:|"]
    names = {
        "half": "of a half",
        "cut": "advised cut",
        "end": "of an end",
        "widen": "advised widening",
    }
    for kind, words in names.items():
        claims = [each for row in rows for each in row["claims"] if each["kind"] == kind]
        for low, high in itertools.pairwise(BINS):
            some = [each for each in claims if low <= each["sure"] < high]
            if some:
                stated = np.mean([each["sure"] for each in some])
                true = np.mean([each["true"] for each in some])
                bounds = f"{low:.0%} to {min(high, 1):.0%}"
                lines.append(f"| {words} | {bounds} | {len(some)} | {stated:.0%} | {true:.0%} |")
    return lines


def _pairs(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| first search | space | advised to | won-tied-lost | of decided |",
        "|---|---|---|---|---:|",
    ]
    groups = (
        {(row["first"], row["space"], row["action"]) for row in rows}
        | {("all", "all", row["action"]) for row in rows}
        | {("all", "all", "all")}
    )
    for group in sorted(groups):
        some = [
            row["found"]
            for row in rows
            if all(
                want in ("all", row[key])
                for want, key in zip(group, ("first", "space", "action"), strict=True)
            )
        ]
        won = sum(new < old for new, old in some)
        lost = sum(new > old for new, old in some)
        share = f"{won / (won + lost):.0%}" if won + lost else ""
        cells = [*group, f"{won}-{len(some) - won - lost}-{lost}", share]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Plays the cases that the store lacks, or reports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--begin", type=int, default=0, help="the first seed")
    parser.add_argument("--problems", nargs="*", default=None)
    parser.add_argument("--held-out", action="store_true", help="only the problems kept aside")
    parser.add_argument("--tuning", action="store_true", help="only the others")
    parser.add_argument("--first", nargs="*", default=list(FIRST), choices=list(FIRST))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    kept = chosen.store.read_text(encoding="utf-8") if chosen.store.exists() else ""
    rows = [json.loads(line) for line in kept.splitlines()]
    if chosen.report:
        print(report(rows))
        return
    done = {(row["problem"], row["seed"], row["first"], row["space"]) for row in rows}
    for seed in range(chosen.begin, chosen.begin + chosen.seeds):
        for name in chosen.problems or [*PLANTED, *recorded()]:
            tuning = PLANTED[name] if name in PLANTED else load(name).tuning
            if (chosen.tuning and not tuning) or (chosen.held_out and tuning):
                continue
            for first in chosen.first:
                for kind in ("wide",) if name.startswith("taskset") else KINDS:
                    if (name, seed, first, kind) in done:
                        continue
                    row = play(name, seed, first, kind)
                    with chosen.store.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
