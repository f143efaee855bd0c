"""The kinds of hyperparameters by name: to JSON values and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afina.errors import SpaceError, SpaceTypeError, wrong
from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.parameters import Float, HyperParameter, Int

KINDS: dict[str, type[HyperParameter]] = {
    kind.__name__: kind for kind in (Int, Float, Choice, Boolean, Fixed)
}


def serialize(entry: HyperParameter) -> dict[str, Any]:
    """The entry as JSON values: class name and config."""
    return {"class_name": type(entry).__name__, "config": entry.get_config()}


def deserialize(config: Mapping[str, Any] | HyperParameter) -> HyperParameter:
    """The inverse of `serialize`.

    Raises:
        SpaceError: The class name is unknown, or the config does not make such an entry.
    """
    if isinstance(config, HyperParameter):
        return config
    if not isinstance(config, Mapping) or not isinstance(config.get("config", {}), Mapping):
        rule = 'must be a mapping with "class_name" and "config", as serialize() returns it'
        raise SpaceTypeError(wrong("hyperparameter", rule, config))
    kind = KINDS.get(config.get("class_name", ""))
    if kind is None:
        rule = f"class_name must be one of {sorted(KINDS)}"
        raise SpaceError(wrong("hyperparameter", rule, config.get("class_name")))
    try:
        return kind.from_config(config.get("config", {}))
    except TypeError as error:
        if isinstance(error, SpaceError):
            raise
        rule = f"config must hold the arguments of {kind.__name__}"
        got = dict(config.get("config", {}))
        raise SpaceError(wrong("hyperparameter", rule, got, f"{error}.")) from error
