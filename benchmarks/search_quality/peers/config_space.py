"""Spaces for ConfigSpace, which SMAC and DEHB use."""

from __future__ import annotations

from typing import Any

from ConfigSpace import (
    AndConjunction,
    CategoricalHyperparameter,
    ConfigurationSpace,
    InCondition,
    OrdinalHyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from afina.space import Space
from peers.dimensions import Dimension, dimension_of, dimensions_of


def parameter(axis: Dimension) -> Any:
    if axis.kind == "real":
        return UniformFloatHyperparameter(axis.name, axis.low, axis.high, log=axis.log)
    if axis.kind == "int":
        return UniformIntegerHyperparameter(axis.name, axis.low, axis.high, log=axis.log)
    places = list(range(len(axis.values)))
    if axis.kind == "ordinal":
        return OrdinalHyperparameter(axis.name, places)
    return CategoricalHyperparameter(axis.name, places)


def config_space(space: Space, seed: int, conditions: bool) -> ConfigurationSpace:
    """The same space; ordinals and categories hold places in their lists of values.

    Args:
        space: Afina's.
        seed: For its own draws.
        conditions: Whether to keep conditions; else all axes are always there.
    """
    made = ConfigurationSpace(seed=seed)
    axes = {axis.name: axis for axis in dimensions_of(space)}
    parameters = {name: parameter(axis) for name, axis in axes.items()}
    made.add(list(parameters.values()))
    for axis in axes.values() if conditions else ():
        rules = []
        for condition in axis.conditions:
            parent = axes[condition.name]
            values = list(condition.values)
            if parent.values:
                values = [parent.values.index(value) for value in values]
            rules.append(InCondition(parameters[axis.name], parameters[parent.name], values))
        if rules:
            made.add(rules[0] if len(rules) == 1 else AndConjunction(*rules))
    return made


def values_of(space: Space, config: Any) -> dict[str, Any]:
    """The configuration of Afina's space that one of ConfigSpace stands for."""
    given = dict(config)
    values = {}
    for entry in space:
        axis = dimension_of(entry)
        if axis.name in given:
            place = given[axis.name]
            values[axis.name] = axis.values[int(place)] if axis.values else place
    return space.complete(values, lambda entry: entry.default)
