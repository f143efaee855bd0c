"""A search from texts, as a command line has them: the build, the data, the kind of tuner.

"train.py:build"  "data.npz"  "auto"  ──> tune ──> Tuned, for people and for programs
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afina.errors import ArgumentError, DataError, wrong
from afina.study import Budget
from afina.trials import MultiObjective, Objective
from afina.tuners.auto_tuner import AutoTuner
from afina.tuners.bayesian_optimization import BayesianOptimization
from afina.tuners.grid_search import GridSearch
from afina.tuners.hyperband import Hyperband
from afina.tuners.random_search import RandomSearch
from afina.tuners.tuner import Tuner

KINDS: Mapping[str, type[Tuner]] = {
    "auto": AutoTuner,
    "bayesian": BayesianOptimization,
    "hyperband": Hyperband,
    "random": RandomSearch,
    "grid": GridSearch,
}
"""The tuners by the names that a command line has for them."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of a unit of time."""

TRAINING = (("x", "x_train"), ("y", "y_train"), ("sample_weight",))
"""Names of arrays in a file of data, by what they are: the first that is there counts."""

VALIDATION = (("x_val", "x_valid", "x_validation"), ("y_val", "y_valid", "y_validation"))

SPLIT = 0.2
"""The share of the rows that validates if the data hold no validation rows."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a search came to."""

    folder: str
    """The project."""

    trials: int
    """How many trials it has."""

    completed: int
    """How many of them have a score."""

    stop_reason: str
    """Why it ended."""

    objective: str
    """Name of the objective, or the names."""

    score: float | None
    """Of the best trial; None if there is none, or if there are several objectives."""

    values: Mapping[str, Any] | None
    """Hyperparameters of the best trial, or of a trial on the front."""

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return asdict(self)


def load_object(text: str) -> Any:
    """What "file.py:name" or "package.module:name" names.

    Raises:
        ArgumentError: There is no such file, module or name.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name.isidentifier():
        rule = "must be FILE.py:NAME or MODULE:NAME"
        raise ArgumentError(wrong("target", rule, text, "For example train.py:build."))
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    if not hasattr(module, name):
        rule = f"{place} must define {name!r}"
        known = sorted(n for n, v in vars(module).items() if callable(v) and n[0] != "_")
        raise ArgumentError(wrong("target", rule, known[:8]))
    found = getattr(module, name)
    return found() if isinstance(found, type) else found


def _module_of_file(path: Path) -> Any:
    if not path.is_file():
        raise ArgumentError(wrong("target", "must name a file that exists", str(path)))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # what a script imports lies beside it
        sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _module(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        rule = "must name a module that can be imported"
        raise ArgumentError(wrong("target", rule, name)) from error


def read_data(text: str) -> dict[str, Any]:
    """The arguments of `search` that hold data.

    Args:
        text: A file of `numpy.savez` with arrays x and y (or x_train and y_train), and x_val and
            y_val if there are validation data; or "file.py:name" of a function that returns
            (x, y), ((x, y), (x_val, y_val)) or a mapping of these arguments.

    Raises:
        DataError: It is not such data.
    """
    if text.endswith(".npz"):
        return _read_file(Path(text))
    found = load_object(text)
    data = found() if callable(found) else found
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, tuple | list) and len(data) == 2:
        first, second = data
        if isinstance(first, tuple) and isinstance(second, tuple):
            return {"x": first[0], "y": first[1], "validation_data": second}
        return {"x": first, "y": second}
    rule = "must return (x, y), ((x, y), (x_val, y_val)) or a dict"
    raise DataError(wrong(text, rule, type(data).__name__))


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        rule = "must be a file that numpy.savez has written"
        raise DataError(wrong("data", rule, str(path), f"{error}.")) from error
    found = {names[0]: _first(arrays, names) for names in TRAINING}
    if found["x"] is None:
        rule = "must hold an array x or x_train"
        raise DataError(wrong(str(path), rule, sorted(arrays)))
    validation = [_first(arrays, names) for names in VALIDATION]
    if validation[0] is not None:
        found["validation_data"] = tuple(part for part in validation if part is not None)
    return {name: part for name, part in found.items() if part is not None}


def _first(arrays: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((arrays[name] for name in names if name in arrays), None)


def seconds_of(text: str) -> float:
    """Seconds of a span such as "90", "30m" or "1h30m".

    Raises:
        ArgumentError: It is no span of time.

    Example:
        >>> seconds_of("1h30m"), seconds_of("90"), seconds_of("1.5m")
        (5400.0, 90.0, 90.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    total = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not total > 0:
        rule = "must be a span of time such as 90s, 30m or 1h30m"
        raise ArgumentError(wrong("time", rule, text))
    return total


def objective_of(text: str | None) -> Any:
    """One objective, or several separated by commas; each may end in :min or :max."""
    parts = [_one_objective(part.strip()) for part in text.split(",")] if text else [None]
    return parts[0] if len(parts) == 1 else parts


def _one_objective(text: str) -> str | Objective:
    name, colon, direction = text.rpartition(":")
    return Objective(name, direction) if colon else text


def tune(
    target: str,
    data: str,
    *,
    objective: str | None,
    kind: str,
    project: Path,
    trials: int | None = None,
    seconds: float | None = None,
    epochs: int = 10,
    batch_size: int | None = None,
    validation_split: float | None = None,
    cv: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    executor: str | None = None,
    narrow: str | None = None,
    points: Path | None = None,
    overwrite: bool = False,
    store: str | None = None,
    verbose: int = 1,
) -> Tuned:
    """Searches, or continues the search in the project.

    Args:
        target: See `load_object`: a function build(hp) or a HyperModel.
        data: See `read_data`.
        objective: See `objective_of`; None takes the model's.
        kind: One of `KINDS`.
        project: The folder of the project.
        trials: How many trials; None for the tuner's own number.
        seconds: Wall time of this call.
        epochs: Of a training; at most so many with "auto" and "hyperband".
        batch_size: Rows of a batch.
        validation_split: Share of the rows that validates; None is `SPLIT` where there are no
            validation rows.
        cv: A number of folds instead.
        seed: Fixes all draws.
        workers: How many trials run side by side.
        executor: Who runs them, as `Tuner` takes it.
        narrow: "auto" or a number, as `Tuner` takes it.
        points: A JSON file with configurations to try first; of "auto" only.
        overwrite: Deletes an existing project.
        store: The URL of a database that keeps the trials.
        verbose: 0 prints nothing.

    Raises:
        ArgumentError: An argument is wrong.
        DataError: The data cannot be used.
    """
    given = read_data(data)
    options: dict[str, Any] = {
        "directory": str(project.parent),
        "project_name": project.name,
        "overwrite": overwrite,
        "seed": seed,
        "cv": cv,
        "workers": "auto" if workers is None else workers,
        "store": store,
        "executor": executor,
        "narrow": int(narrow) if narrow and narrow.isdigit() else narrow,
    }
    if points is not None:
        if kind != "auto":
            rule = 'goes with the tuner "auto"'
            raise ArgumentError(wrong("start_from", rule, kind))
        options["start_from"] = _read_points(points)
    if kind in ("auto", "hyperband"):
        options["max_epochs"] = epochs
    else:
        given["epochs"] = epochs
    if trials is not None and kind != "hyperband":
        options["max_trials"] = trials
    tuner: Any = KINDS[kind](load_object(target), objective_of(objective), **options)
    if trials is not None and kind == "hyperband":
        tuner.oracle.search_state.max_trials = trials
    if seconds is not None:
        tuner.oracle.search_state.stop_rules.budget = Budget(seconds=seconds)
    if cv is None and "validation_data" not in given:
        given["validation_split"] = SPLIT if validation_split is None else validation_split
    if batch_size is not None:
        given["batch_size"] = batch_size
    tuner.search(**given, verbose=verbose)
    return _tuned(tuner, project)


def _read_points(path: Path) -> list[dict[str, Any]]:
    """The configurations in a JSON file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(wrong("start_from", "must be a JSON file", str(path))) from error
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        rule = "must hold a list of objects, name to value"
        raise ArgumentError(wrong("start_from", rule, type(found).__name__))
    return found


def _tuned(tuner: Any, project: Path) -> Tuned:
    state = tuner.oracle.search_state
    several = isinstance(state.objective, MultiObjective)
    best = state.get_pareto_front() if several else state.best_trials(1)
    return Tuned(
        folder=str(project),
        trials=len(state.trials),
        completed=len(state.best_trials(len(state.trials))),
        stop_reason=tuner.oracle.stop_reason,
        objective=", ".join(state.objective.names),
        score=best[0].score if best and not several else None,
        values=dict(best[0].values) if best else None,
    )
