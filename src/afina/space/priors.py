"""What a user believes of a hyperparameter before any trial: good values, and its role.

A belief never forbids a value. It says where the first trials lie, and fades as results come in;
`afina.surrogates.prior` does that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from afina.errors import SpaceError, SpaceTypeError, wrong
from afina.space.conditions import plain, same_value

Role = Literal[
    "learning_rate", "batch_size", "width", "depth", "dropout", "weight_decay", "momentum"
]
"""What a hyperparameter does in a model, whatever its name."""


def check_role(name: str, role: Any) -> Any:
    """The role.

    Raises:
        SpaceError: There is no such role.
    """
    if role is not None and role not in get_args(Role):
        raise SpaceError(wrong(name, f"role must be one of {list(get_args(Role))}", role))
    return role


def number_prior(name: str, prior: Any, *, ratio: bool) -> tuple[float, float | None] | None:
    """A good value of a number, and how far from it other good values lie (None: not said).

    Args:
        name: Of the hyperparameter.
        prior: A number, or a pair (value, spread).
        ratio: Whether the spread is a factor, as it is with a logarithmic sampling.

    Raises:
        SpaceTypeError: It is neither a number nor a pair of numbers.
        SpaceError: The spread is too small, or the value is not above 0 on a logarithmic scale.
    """
    if prior is None:
        return None
    pair = list(prior) if _is_list(prior) else [prior, None]
    if len(pair) != 2 or not _is_number(pair[0]) or not (pair[1] is None or _is_number(pair[1])):
        rule = "prior must be a good value, or a pair of a value and its spread"
        raise SpaceTypeError(wrong(name, rule, prior, "For example prior=(1e-3, 3)."))
    value, spread = plain(pair[0]), plain(pair[1])
    if ratio and value <= 0:
        raise SpaceError(wrong(name, "prior must be above 0 on a logarithmic scale", prior))
    least = 1 if ratio else 0
    if spread is not None and spread <= least:
        kind = "a factor above 1" if ratio else "a distance above 0"
        raise SpaceError(wrong(name, f"the spread of prior must be {kind}", spread))
    return float(value), None if spread is None else float(spread)


def choice_prior(name: str, prior: Any, values: Sequence[Any]) -> tuple[tuple[Any, float], ...]:
    """Pairs of a value and its weight; a value that is not among them has the weight 1.

    Args:
        name: Of the hyperparameter.
        prior: A mapping of values to weights, or a list of such pairs, or a weight for each value.
        values: The values of the choice.

    Raises:
        SpaceTypeError: It is none of these.
        SpaceError: A weight is not above 0, or a value is not one of the choice.
    """
    if prior is None:
        return ()
    pairs: list[Any] = []
    if isinstance(prior, Mapping):
        pairs = list(prior.items())
    elif _is_list(prior) and all(_is_list(each) and len(each) == 2 for each in prior):
        # As kept with a space, which may have lost a value since.
        pairs = [(v, w) for v, w in prior if any(same_value(v, each) for each in values)]
        if not pairs:
            return ()
    elif _is_list(prior) and len(prior) == len(values):
        pairs = list(zip(values, prior, strict=True))
    if not pairs or not all(_is_number(weight) for _, weight in pairs):
        rule = "prior must map values to weights, or list a weight for each value"
        raise SpaceTypeError(wrong(name, rule, prior))
    for value, weight in pairs:
        if not any(same_value(value, each) for each in values):
            raise SpaceError(wrong(name, f"prior must name values of {list(values)}", value))
        if weight <= 0:
            rule = f"the weight of {value!r} in prior must be above 0"
            raise SpaceError(wrong(name, rule, weight, "A small weight makes it a rare choice."))
    return tuple((plain(value), float(weight)) for value, weight in pairs)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    value = plain(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
