"""When does it pay to widen a range? Searches in spaces that are too narrow, apt or too wide.

    python benchmarks/advice/wider.py --seeds 6 --store wider.jsonl
    python benchmarks/advice/wider.py --report --store wider.jsonl

Each seed is a problem of its own, drawn anew: a learning rate, layers, units, dropout and a batch
size with their usual ranges and steps, whose effects are bowls, kinks or curves that fall ever
slower, an activation, and two hyperparameters without effect. A space is a part of each range:
"apt" holds the best value, "narrow" ends before it, "wide" is all. After 30 trials by random
search, Bayesian optimization or `Auto`, two things are written down:

- for each end of a range that matters: the probability that something better lies beyond, and
  whether it does;
- what 15 more trials find by going on, by `search_again` as it is, and with all ends widened whose
  probability is at least 50 %: the loss without noise of the best trial.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from calibration import BINS, _with

from afina.advice import Visibility, advice
from afina.advice.belief import believe
from afina.advice.claims import better_beyond
from afina.advice.evidence import gather
from afina.advice.resize import joined, widened
from afina.advice.sample import is_ordered, sample_of
from afina.search import Auto, BayesianOptimization, Informed, Random
from afina.space import Choice, Float, HyperParameter, Int, Space
from afina.testing import run

FIRST: dict[str, Callable[[int], Any]] = {
    "random": Random,
    "bayesian": BayesianOptimization,
    "auto": lambda seed: Auto(seed=seed),
}
KINDS = ("narrow", "apt", "wide")
TRIALS, MORE = 30, 15
TOLERANCE = 0.01

WORLD: tuple[HyperParameter, ...] = (
    Float("learning_rate", 1e-6, 1.0, sampling="log"),
    Int("layers", 1, 9),
    Int("units", 8, 1024, sampling="log", step=2),
    Float("dropout", 0.0, 0.9),
    Choice("batch", [8, 16, 32, 64, 128, 256, 512]),
)
OTHERS = (Choice("activation", ["relu", "tanh", "gelu"]), Float("idle", 0, 1), Int("spare", 1, 64))


@dataclass(frozen=True)
class Problem:
    """Effects of the hyperparameters, each on the unit scale of its whole range."""

    seed: int
    shapes: tuple[tuple[str, float, float], ...]
    """For each one of `WORLD`: its kind, its best place and its weight."""

    worse: Mapping[str, float]
    noise: float

    def exact(self, values: Mapping[str, Any]) -> float:
        """The loss without noise."""
        total = self.worse[values["activation"]]
        for entry, (kind, best, weight) in zip(WORLD, self.shapes, strict=True):
            place = entry.value_to_prob(values[entry.name])
            gap = abs(place - best)
            if kind == "falling":
                total += weight * 0.15 / (0.15 + place)
            else:
                total += weight * (3 * gap * gap if kind == "bowl" else gap)
        return float(total)

    def loss(self, values: Mapping[str, Any]) -> float:
        """The loss with noise that depends on nothing but the values."""
        chance = random.Random(repr((self.seed, sorted(values.items()))))
        return self.exact(values) + chance.gauss(0, self.noise)

    def left(self, space: Space) -> float:
        """The lowest loss without noise in a space: the effects add up."""
        total = min(self.worse.values())
        rest = {entry.name: entry.default for entry in WORLD}
        names = {"activation": min(self.worse, key=lambda each: self.worse[each])}
        for entry in space:
            if entry.name not in rest:
                continue
            values = list(entry.values)
            if entry.count is None:
                values = [entry.prob_to_value(u) for u in np.linspace(0, 0.999999, 201)]
            alone = [self.exact({**rest, **names, entry.name: value}) for value in values]
            total += min(alone) - self.exact({**rest, **names}) + self._own(entry.name, rest)
        return float(total)

    def _own(self, name: str, rest: Mapping[str, Any]) -> float:
        place = [entry.name for entry in WORLD].index(name)
        alone = Problem(self.seed, tuple(
            (kind, best, weight if number == place else 0.0)
            for number, (kind, best, weight) in enumerate(self.shapes)
        ), dict.fromkeys(self.worse, 0.0), 0.0)  # fmt: skip
        return alone.exact({**rest, "activation": "relu"})


def problem_of(seed: int) -> Problem:
    """A problem; each seed another one."""
    rng = np.random.default_rng([seed, 77])
    weights = rng.permutation([1.0, 0.6, 0.3, 0.15, 0.0])
    kinds = [str(rng.choice(["bowl", "kink"])) for _ in WORLD]
    kinds[1], kinds[2] = (str(rng.choice(["falling", "bowl"])) for _ in range(2))
    best = 0.1 + 0.8 * rng.random(len(WORLD))
    shapes = tuple(zip(kinds, best.tolist(), weights.tolist(), strict=True))
    worse = dict(zip(["relu", "tanh", "gelu"], rng.permutation([0, 0.05, 0.2]), strict=True))
    return Problem(seed, shapes, {key: float(v) for key, v in worse.items()}, 0.01)


def space_of(problem: Problem, kind: str) -> Space:
    """The space of the first search."""
    rng = np.random.default_rng([problem.seed, KINDS.index(kind), 5])
    found: list[HyperParameter] = []
    for entry, (_, best, _) in zip(WORLD, problem.shapes, strict=True):
        start, end = 0.0, 1.0
        if kind == "apt":
            start = min(max(best - 0.3, 0.0), 0.4)
            end = start + 0.6
        if kind == "narrow":
            start, end = (0.0, max(best - 0.1, 0.4)) if best > 0.5 else (min(best + 0.1, 0.6), 1.0)
        found.append(_part(entry, start, end, rng.random()))
    return Space((*found, *OTHERS))


def _part(entry: Any, start: float, end: float, default: float) -> HyperParameter:
    low, high = entry.prob_to_value(start), entry.prob_to_value(min(end, math.nextafter(1, 0)))
    config = {**entry.get_config(), "default": None}
    if isinstance(entry, Choice):
        config["values"] = [value for value in entry.values if low <= value <= high]
    else:
        config["min_value"], config["max_value"] = low, high
    part = type(entry).from_config(config)
    return type(entry).from_config({**config, "default": part.prob_to_value(default)})


def play(seed: int, first: str, kind: str) -> dict[str, Any]:
    """One case."""
    problem = problem_of(seed)
    space = space_of(problem, kind)
    limits = {e.name: (min(e.values), max(e.values)) for e in WORLD if e.count}
    limits |= {e.name: (e.min_value, e.max_value) for e in WORLD if isinstance(e, Float)}
    limits |= {"idle": (0.0, 1.0), "spare": (1, 64)}
    trials = list(run(FIRST[first](seed), problem.loss, space, TRIALS).trials)
    told = advice(trials, space, limits=limits, method="ped_anova")
    claims = list(claimed(problem, space, trials, told, limits))
    likely = space
    for each in claims:
        if each["near"] and each["sure"] >= 0.5:
            entry = next(entry for entry in likely if entry.name == each["name"])
            bounds = limits[entry.name]
            likely = _with(likely, joined(entry, widened(entry, each["side"], bounds)))
    model = (BayesianOptimization if first == "random" else FIRST[first])(1000 + seed)
    seen: dict[str, float] = {}

    def after(area: Space) -> float:
        key = repr([entry.get_config() | {"default": None} for entry in area])
        if key not in seen:
            known = Informed(model, tuple(trials), area)
            more = list(run(known, problem.loss, area, MORE).trials)
            best = min([*trials, *more], key=lambda trial: trial.loss)
            seen[key] = problem.exact(best.values)
        return seen[key]

    advised = told.whole_space().to_space()
    wider = [each.name for each in told.ranges if each.widen]
    return {
        "seed": seed,
        "first": first,
        "space": kind,
        "claims": claims,
        "advised": wider,
        "cut": _cuts(problem, space, told),
        "false": [each.name for each in told.ranges if each.name in ("idle", "spare")
                  and each.verdict.value in ("narrow", "widen", "drop")],
        "pairs": [list(pair.names) for pair in told.effects.pairs],
        "matters": {e.name: e.visibility.value for e in told.effects.single},
        "begun": problem.exact(min(trials, key=lambda trial: trial.loss).values),
        "found": [after(advised), after(space), after(likely)],
        "best": problem.left(Space((*WORLD, *OTHERS))),
    }  # fmt: skip


def _cuts(problem: Problem, space: Space, told: Any) -> list[tuple[float, bool]]:
    everything = problem.left(space)
    return [
        (each.confidence, problem.left(_with(space, each.after)) <= everything + TOLERANCE)
        for each in told.ranges
        if each.verdict.value in ("narrow", "drop") and each.name != "activation"
    ]


def claimed(problem: Problem, space: Space, trials: Any, told: Any, limits: Any) -> Any:
    """The claims about the ends."""
    sample = sample_of(gather(trials, space))
    beliefs = [believe(sample, seed) for seed in (0, 1)]
    everything = problem.left(space)
    for column, effect in enumerate(told.effects.single):
        entry = sample.entries[column]
        if effect.visibility is not Visibility.MATTERS:
            continue
        if not is_ordered(sample.geometry.tunable[column]):
            continue
        places = sample.places[:, column]
        best = places[sample.best(1)[0]]
        for side in ("low", "high"):
            wider = widened(entry, side, limits[entry.name])
            if wider == entry:
                continue
            sure = [better_beyond(sample, each, column, side, limits[entry.name])
                    for each in beliefs]  # fmt: skip
            rest = places[~np.isnan(places)]
            yield {
                "name": entry.name,
                "side": side,
                "sure": round(float(np.mean(sure)), 3),
                "near": bool(best > 0.75 if side == "high" else best < 0.25),
                "outermost": bool(best >= rest.max() if side == "high" else best <= rest.min()),
                "true": problem.left(_with(space, wider)) < everything - TOLERANCE,
            }


def report(rows: list[dict[str, Any]]) -> str:
    """The tables."""
    lines = ["| an end | stated | claims | mean stated | true |", "|---|---|--:|--:|--:|"]
    for words, keep in (
        ("any", lambda each: True),
        ("the best trial lies near it", lambda each: each["near"]),
        ("the best trial is the outermost", lambda each: each["outermost"]),
    ):
        claims = [each for row in rows for each in row["claims"] if keep(each)]
        for low, high in itertools.pairwise(BINS):
            some = [each for each in claims if low <= each["sure"] < high]
            if some:
                stated, true = (np.mean([each[key] for each in some]) for key in ("sure", "true"))
                lines.append(f"| {words} | {low:.0%} to {min(high, 1):.0%} | {len(some)} "
                             f"| {stated:.0%} | {true:.0%} |")  # fmt: skip
    lines += ["", "| space | `search_again` against going on | gain | from 50 % against going on "
              "| gain |", "|---|---|--:|---|--:|"]  # fmt: skip
    for kind in (*KINDS, "all"):
        some = [row for row in rows if kind in ("all", row["space"])]
        cells = []
        for place in (0, 2):
            pairs = [(row["found"][place], row["found"][1], row["best"]) for row in some]
            won = sum(new < old for new, old, _ in pairs)
            lost = sum(new > old for new, old, _ in pairs)
            gain = [math.log((old - best + 0.01) / (new - best + 0.01)) for new, old, best in pairs]
            cells += [f"{won}-{len(pairs) - won - lost}-{lost}", f"{math.exp(np.mean(gain)):.2f}"]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    cuts = [each for row in rows for each in row["cut"]]
    lines += ["", f"Cuts: {sum(true for _, true in cuts)} of {len(cuts)} true, stated "
              f"{np.mean([sure for sure, _ in cuts]):.0%}."]  # fmt: skip
    false = sum(len(row["false"]) for row in rows)
    pairs = sum(len(row["pairs"]) for row in rows)
    lines.append(
        f"Idle ones that were cut or widened: {false} of {2 * len(rows)}. Interactions named where "
        f"there is none: {pairs} in {len(rows)} searches."
    )
    return "\n".join(lines)


def main() -> None:
    """Plays the cases that the store lacks, or reports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--begin", type=int, default=0, help="the first seed")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    kept = chosen.store.read_text(encoding="utf-8") if chosen.store.exists() else ""
    rows = [json.loads(line) for line in kept.splitlines()]
    if chosen.report:
        print(report(rows))
        return
    done = {(row["seed"], row["first"], row["space"]) for row in rows}
    for seed in range(chosen.begin, chosen.begin + chosen.seeds):
        for kind in KINDS:
            for first in FIRST:
                if (seed, first, kind) not in done:
                    line = json.dumps(play(seed, first, kind))
                    with chosen.store.open("a", encoding="utf-8") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
