"""Is the advice right where the truth is known? Searches of functions with a planted truth.

    python benchmarks/advice/planted.py --seeds 10

Each truth is searched by random search, by Bayesian optimization and by `Auto`. The table says how
often the advice finds the truth, and how often it says something that is not so.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from afina.advice import Advice, Verdict, Visibility, advice
from afina.advice.recommendation import Action
from afina.search import Auto, BayesianOptimization, Random
from afina.space import Choice, Float, Int, Parent, Space
from afina.testing import run
from afina.trials import Failure, FailureKind, Schedule, Trial

Values = Mapping[str, Any]

RATE = Float("rate", 1e-5, 1.0, sampling="log")
IDLE = (Float("idle", 0, 1), Choice("kind", ["a", "b", "c"]))

FAILURE = Failure(FailureKind.ERROR, "planted")

SEARCHES: dict[str, Callable[[int], Any]] = {
    "random": Random,
    "bayesian": BayesianOptimization,
    "auto": lambda seed: Auto(seed=seed),
}


@dataclass(frozen=True)
class Truth:
    """A function whose right advice is known."""

    space: Space
    loss: Callable[[Values], float]
    found: Callable[[Advice], bool]
    """Whether the advice says what is so."""

    wrong: Callable[[Advice], bool]
    """Whether it says something that is not so."""

    trials: int = 40


def noise_of(values: Values) -> float:
    """A standard normal number that depends on nothing but the values."""
    return random.Random(repr(sorted(values.items()))).gauss(0, 1)


def range_of(told: Advice, name: str) -> Any:
    """The advice on one hyperparameter."""
    return next(each for each in told.ranges if each.name == name)


def seen(told: Advice, name: str) -> Visibility:
    """What the advice sees of an effect."""
    return next(each for each in told.effects.single if each.name == name).visibility


def untouched(told: Advice, *names: str) -> bool:
    """Whether these are neither cut nor widened, nor said to matter."""
    changed = (Verdict.NARROW, Verdict.WIDEN, Verdict.DROP)
    return all(
        range_of(told, name).verdict not in changed and seen(told, name) is not Visibility.MATTERS
        for name in names
    )


def _bowl(values: Values) -> float:
    return (math.log10(values["rate"]) + 3) ** 2 + 0.05 * noise_of(values)


def _slope(values: Values) -> float:
    return -math.log2(values["units"]) + 0.1 * noise_of(values)


def _dead(values: Values) -> float:
    far = {"relu": 0.0, "tanh": 0.1, "step": 3.0}[values["activation"]]
    return far + abs(math.log10(values["rate"]) + 2) + 0.02 * noise_of(values)


def _tail(values: Values) -> float:
    """The slow branch is bad nearly everywhere, and best in a narrow part."""
    if values["optimizer"] == "adam":
        return 0.5 + 0.1 * abs(math.log10(values["rate"]) + 3)
    return 2.0 - 2.0 * math.exp(-(((values["momentum"] - 0.8) / 0.15) ** 2))


def _branch(values: Values) -> float:
    if values["optimizer"] == "adam":
        return 1.0 + 0.1 * abs(math.log10(values["rate"]) + 3)
    return 2.0 * abs(values["momentum"] - 0.5) + 0.1 * abs(math.log10(values["rate"]) + 3)


def _losing(values: Values) -> float:
    worse = 3.0 if values["optimizer"] == "sgd" else 0.0
    return worse + abs(math.log10(values["rate"]) + 2)


def _together(values: Values) -> float:
    """Small batches want small rates: a valley along the diagonal."""
    rate, batch = math.log10(values["rate"]), math.log2(values["batch"])
    return (rate + 5 - 0.7 * (batch - 3)) ** 2 + 0.1 * noise_of(values)


def _chance(values: Values) -> float:
    return noise_of(values)


def _plateau(values: Values) -> float:
    return max(0.0, abs(math.log10(values["rate"]) + 3) - 1.0)


def _failing(values: Values) -> float:
    if values["rate"] > 0.03:
        return math.nan
    return abs(math.log10(values["rate"]) + 3) + 0.05 * noise_of(values)


def _many(values: Values) -> float:
    """Fifteen hyperparameters, of which two matter."""
    return 4 * (values["x0"] - 0.3) ** 2 + 2 * abs(values["x1"] - 0.7) + 0.02 * noise_of(values)


OPTIMIZERS = (
    RATE,
    Choice("optimizer", ["adam", "sgd"]),
    Float("momentum", 0, 0.99, conditions=[Parent("optimizer", "sgd")]),
)
MANY = tuple(f"x{place}" for place in range(2, 15))

TRUTHS: dict[str, Truth] = {
    "irrelevant": Truth(
        Space((RATE, *IDLE)),
        _bowl,
        lambda told: seen(told, "rate") is Visibility.MATTERS and untouched(told, "idle", "kind"),
        lambda told: not untouched(told, "idle", "kind"),
    ),
    "monotone at a bound": Truth(
        Space((Int("units", 8, 256, sampling="log"), *IDLE)),
        _slope,
        lambda told: range_of(told, "units").widen == "high",
        lambda told: not untouched(told, "idle", "kind"),
    ),
    "a choice that never wins": Truth(
        Space((RATE, Choice("activation", ["relu", "tanh", "step"]), IDLE[0])),
        _dead,
        lambda told: seen(told, "activation") is Visibility.MATTERS,
        lambda told: (
            "relu" not in range_of(told, "activation").after.values or not untouched(told, "idle")
        ),
    ),
    "a slow branch with the best tail": Truth(
        Space(OPTIMIZERS),
        _tail,
        lambda told: "sgd" in range_of(told, "optimizer").after.values,
        lambda told: "sgd" not in range_of(told, "optimizer").after.values,
    ),
    "a conditional branch": Truth(
        Space(OPTIMIZERS),
        _branch,
        lambda told: seen(told, "momentum") is Visibility.MATTERS,
        lambda told: (
            "sgd" not in range_of(told, "optimizer").after.values
            or not range_of(told, "momentum").after.contains(0.5)
        ),
    ),
    "a branch that loses": Truth(
        Space(OPTIMIZERS),
        _losing,
        lambda told: seen(told, "optimizer") is Visibility.MATTERS,
        lambda told: "adam" not in range_of(told, "optimizer").after.values,
    ),
    "interaction": Truth(
        Space((RATE, Int("batch", 8, 256, sampling="log"), *IDLE)),
        _together,
        lambda told: [set(pair.names) for pair in told.effects.pairs] == [{"rate", "batch"}],
        lambda told: (
            any({"idle", "kind"} & set(pair.names) for pair in told.effects.pairs)
            or not untouched(told, "idle", "kind")
        ),
    ),
    "noise only": Truth(
        Space((RATE, *IDLE)),
        _chance,
        lambda told: told.recommendation.action is Action.REPEAT,
        lambda told: not untouched(told, "rate", "idle", "kind"),
    ),
    "plateau": Truth(
        Space((RATE, *IDLE)),
        _plateau,
        lambda told: told.recommendation.action is Action.FINISH,
        lambda told: (
            not untouched(told, "idle", "kind") or not range_of(told, "rate").after.contains(1e-3)
        ),
    ),
    "failing region": Truth(
        Space((RATE, *IDLE)),
        _failing,
        lambda told: [each.name for each in told.failing][:1] == ["rate"],
        lambda told: (
            any(each.name != "rate" for each in told.failing) or not untouched(told, "idle", "kind")
        ),
    ),
    "15 hyperparameters, 30 trials": Truth(
        Space(tuple(Float(f"x{place}", 0, 1) for place in range(15))),
        _many,
        lambda told: seen(told, "x0") is Visibility.MATTERS,
        lambda told: not untouched(told, *MANY),
        trials=30,
    ),
}


def epochs(start: int, end: int, parent: int | None = None) -> Schedule:
    """A training of some epochs, from scratch or from another trial."""
    return Schedule(bracket=0, rung=0, start_epoch=start, end_epoch=end, parent=parent)


@functools.cache
def searched(name: str, search: str, seed: int) -> list[Trial]:
    """The trials of a search of one truth."""
    truth = TRUTHS[name]
    return list(run(SEARCHES[search](seed), truth.loss, truth.space, truth.trials).trials)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--truths", nargs="*", default=list(TRUTHS), choices=list(TRUTHS))
    parser.add_argument("--searches", nargs="*", default=list(SEARCHES), choices=list(SEARCHES))
    chosen = parser.parse_args()
    print(f"| truth | {' | '.join(f'{name}: found, wrong' for name in chosen.searches)} |")
    print("|---|" + "---|" * len(chosen.searches))
    for name in chosen.truths:
        truth, cells = TRUTHS[name], []
        for search in chosen.searches:
            tolds = [
                advice(searched(name, search, seed), truth.space, seed=seed, method="ped_anova")
                for seed in range(chosen.first, chosen.first + chosen.seeds)
            ]
            found, wrong = sum(map(truth.found, tolds)), sum(map(truth.wrong, tolds))
            cells.append(f"{found} of {len(tolds)}, {wrong}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
