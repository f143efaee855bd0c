"""What a hyperparameter does in a model, as far as its name and its range tell."""

from __future__ import annotations

import re

from afina.space.categorical import Choice
from afina.space.parameters import HyperParameter, Numerical
from afina.space.priors import Role

NAMES: dict[Role, str] = {
    "learning_rate": r"((init|initial|base|adamw?)_?)?(lr|learning_?rate)(_?init|_adamw?)?",
    "batch_size": r"batch_?size|bs",
    "width": r"(n_?|num_?|hp_?|hidden_?)?(units|width|neurons|hidden)(_?(size|dim|units))?",
    "depth": r"(n_?|num_?|hp_?)?(hidden_?)?(layers|blocks)",  # "depth" may be that of a tree
    "dropout": r"drop_?out(_?rate)?",
    "weight_decay": r"weight_?decay|l[12](_?(reg|rate))?|alpha",
    "momentum": r"momentum|beta_?1",
}
"""A pattern for the last part of a name, with or without a number at its end."""

LIMITS: dict[Role, tuple[float, float]] = {
    "learning_rate": (0.0, 100.0),
    "batch_size": (1, 1e5),
    "width": (1, 1e5),
    "depth": (0, 100),
    "dropout": (0.0, 1.0),
    "weight_decay": (0.0, 100.0),
    "momentum": (0.0, 1.0),
}
"""Least and greatest values: a name that promises a role is not believed beyond them."""


def role_of(entry: HyperParameter) -> Role | None:
    """The role that was given, or that the name and the range tell; None if they do not.

    Example:
        >>> from afina.space import Choice, Float, Int
        >>> role_of(Float("lr", 1e-5, 1e-1, sampling="log")), role_of(Int("units_2", 8, 512))
        ('learning_rate', 'width')
        >>> role_of(Float("alpha", 0.0, 1.0)), role_of(Choice("units", ["cm", "inch"]))
        (None, None)
    """
    if entry.role is not None:
        return entry.role
    values = _numbers(entry)
    if not values:
        return None
    last = entry.name.rpartition("/")[2].lower()
    counted = re.sub(r"_?\d+$", "", last)  # but the 2 of "l2" is no count
    for role, pattern in NAMES.items():
        if not any(re.fullmatch(pattern, name) for name in (last, counted)):
            continue
        least, most = LIMITS[role]
        inside = least <= min(values) and max(values) <= most
        # On an even scale, names such as alpha say little.
        even = isinstance(entry, Numerical) and entry.sampling == "linear"
        return role if inside and not (even and role == "weight_decay") else None
    return None


def _numbers(entry: HyperParameter) -> list[float]:
    """The least and the greatest value, or all values of a choice of numbers; else nothing."""
    if isinstance(entry, Numerical):
        return [entry.min_value, entry.max_value]
    if isinstance(entry, Choice) and entry.ordered:
        return [float(value) for value in entry.values]
    return []
