"""Who takes part, under which protocols, and in which interpreter."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from problem import Problem
from simulate import Contestant


@dataclass(frozen=True)
class Entry:
    """One search."""

    module: str
    """In `peers/`."""

    kind: str
    """The class there."""

    protocols: str
    """"S", "M" or "SM"."""

    package: str
    """The distribution whose version its results are kept under."""

    home: str = "peers"
    """Whose interpreter: "own", "peers" or "keras-tuner"."""

    most: int = 100
    """Trials it is given at most under protocol S: some take minutes for a hundred."""

    settings: dict[str, Any] = field(default_factory=dict)


def _afina(name: str, protocols: str) -> Entry:
    return Entry("afina_peer", "Afina", protocols, "afina", "own", settings={"name": name})


def _optuna(name: str, protocols: str = "S", most: int = 100, pruner: bool = False) -> Entry:
    settings = {"name": name, "pruner": pruner}
    return Entry("optuna_peer", "Optuna", protocols, "optuna", most=most, settings=settings)


ENTRIES: dict[str, Entry] = {
    "random": Entry("afina_peer", "PlainRandom", "SM", "random", "own"),
    "afina-random": _afina("random", "SM"),
    "afina-bayesian": _afina("bayesian", "SM"),
    "afina-tpe": _afina("tpe", "SM"),
    "afina-cma": _afina("cma", "S"),
    "afina-auto": _afina("auto", "SM"),
    "afina-hyperband": _afina("hyperband", "M"),
    "afina-asha": _afina("asha", "M"),
    "afina-model-halving": _afina("model_halving", "M"),
    "optuna-tpe": _optuna("tpe", "SM"),
    "optuna-cmaes": _optuna("cmaes"),
    "optuna-gp": _optuna("gp", "SM", most=50),  # under protocol M full trainings, without curves
    "optuna-tpe-hyperband": _optuna("tpe", "M", pruner=True),
    "skopt-gp": Entry("skopt_peer", "Skopt", "S", "scikit-optimize", most=50),
    "smac": Entry("smac_peer", "Smac", "S", "smac"),
    "smac-hyperband": Entry("smac_peer", "Smac", "M", "smac"),
    "kt-bayesian": Entry(
        "keras_tuner_peer",
        "KerasTuner",
        "S",
        "keras-tuner",
        "keras-tuner",
        most=50,
        settings={"name": "bayesian"},
    ),
    "kt-hyperband": Entry(
        "keras_tuner_peer",
        "KerasTuner",
        "M",
        "keras-tuner",
        "keras-tuner",
        settings={"name": "hyperband"},
    ),
    "dehb": Entry("dehb_peer", "Dehb", "M", "DEHB"),
    "syne-tune-asha": Entry(
        "syne_tune_peer", "SyneTune", "M", "syne-tune", settings={"name": "ASHA"}
    ),
    "syne-tune-bohb": Entry(
        "syne_tune_peer", "SyneTune", "M", "syne-tune", settings={"name": "BOHB"}
    ),
    "nevergrad": Entry("nevergrad_peer", "Nevergrad", "S", "nevergrad"),
}


def of_protocol(protocol: str) -> list[str]:
    """Names of those who take part in a protocol."""
    return [name for name, entry in ENTRIES.items() if protocol in entry.protocols]


def create(
    name: str, problem: Problem, seed: int, budget: int, protocol: str, **settings: Any
) -> Contestant:
    """The contestant, ready to be asked.

    Raises:
        ModuleNotFoundError: Its package is not in this interpreter, or not written yet.
    """
    entry = ENTRIES[name]
    module = importlib.import_module(f"peers.{entry.module}")
    kind = getattr(module, entry.kind)
    made: Contestant = kind(
        problem, seed, budget, protocol == "M", **{**entry.settings, **settings}
    )
    return made


def version(name: str) -> str:
    """The version of the package in this interpreter; "current" for what lies beside it."""
    package = ENTRIES[name].package
    if package in ("afina", "random"):
        return "current"
    return importlib.import_module("importlib.metadata").version(package)
