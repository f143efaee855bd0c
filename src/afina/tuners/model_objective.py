"""Directions that only the compiled model knows: of `AUC(name="quality")` the class says it.

A metric may bear any name. Where the name says nothing, the class of the compiled metric does: for
an objective that is named so, and for what a trial records of its other metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from afina import training
from afina.space import HyperParameters
from afina.training.build import compiled_parts
from afina.trials import Direction, Objective, infer_metric_direction
from afina.tuners.hypermodel import as_hypermodel

MAXIMIZED = "maximized"
"""Where a trial's notes name the metrics that grow with quality though their names do not tell."""


def objective_of_model(
    objective: Any, hypermodel: Any, hyperparameters: Any = None, metrics: Any = None
) -> Any:
    """The objective with the directions that only the model's metrics know.

    Builds the model once, and only where a name in `objective` has no direction.

    Args:
        objective: As the user gave it.
        hypermodel: As the user gave it.
        hyperparameters: Presets of the search space, if there are any.
        metrics: Those that the tuner compiles each model with in place of its own.

    Returns:
        The same; a name whose direction is found is an `Objective`.
    """
    unknown = [name for name in _names(objective) if infer_metric_direction(name) is None]
    if not unknown or hypermodel is None:
        return objective
    found = _directions(metrics) or _directions_of_build(hypermodel, hyperparameters)

    def resolved(part: Any) -> Any:
        direction = _look_up(part, found) if part in unknown else None
        return part if direction is None else Objective(part, direction)

    if isinstance(objective, list | tuple):
        return [resolved(part) for part in objective]
    return resolved(objective)


def _names(objective: Any) -> list[str]:
    parts = objective if isinstance(objective, list | tuple) else [objective]
    return [part for part in parts if isinstance(part, str) and part]


def _directions_of_build(hypermodel: Any, hyperparameters: Any) -> dict[str, Direction]:
    preset = isinstance(hyperparameters, HyperParameters)
    hp = hyperparameters.copy() if preset else HyperParameters()
    if preset:
        hp.bind()
    try:
        with training.seeded(0), training.building():
            builder = as_hypermodel(hypermodel)
            if builder is None:
                return {}
            builder.declare_hyperparameters(hp)
            hp.start_build()
            return metric_directions(builder.build(hp))
    except Exception:  # the tuner builds it again, and then says what is wrong
        return {}
    finally:
        training.release()


def metric_directions(model: Any) -> dict[str, Direction]:
    """The directions of a model's compiled metrics by the names that they bear themselves."""
    if not isinstance(model, keras.Model):
        return {}
    parts = compiled_parts(model)
    return _directions([parts.get("metrics"), parts.get("weighted_metrics")])


def _directions(metrics: Any) -> dict[str, Direction]:
    found: dict[str, Direction] = {}
    for metric in keras.tree.flatten(metrics):
        name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
        direction = None if metric is None else infer_metric_direction(metric)
        if isinstance(name, str) and direction is not None:
            found[name] = direction
    return found


def _look_up(logged: str, directions: Mapping[str, Direction]) -> Direction | None:
    """The direction under a logged name: "val_", and an output's name, may stand in front."""
    bare = logged.removeprefix("val_").removeprefix("weighted_")
    fits = [name for name in directions if bare == name or bare.endswith(f"_{name}")]
    return directions[max(fits, key=len)] if fits else None


def note_of_directions(model: Any) -> dict[str, str]:
    """For a trial's notes: metrics to maximize whose names do not say so."""
    names = [
        name
        for name, direction in metric_directions(model).items()
        if direction == "max" and infer_metric_direction(name) != "max"
    ]
    return {MAXIMIZED: ", ".join(names)} if names else {}


def maximized(logged: Iterable[str], notes: Mapping[str, str]) -> list[str]:
    """Those of the logged names that the notes say are to be maximized."""
    noted: dict[str, Direction] = dict.fromkeys(notes.get(MAXIMIZED, "").split(", "), "max")
    return [name for name in logged if _look_up(name, noted) is not None]
