"""Which lengths of a model's variables follow the widths of its layers.

They are found before a second model is met: a sibling of the model has other widths, and its
variables are compared. So the first model of a search is traced as all later ones are, and a
resumed search comes to the same numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from afina.training.epochs.widths import WIDTHS
from afina.training.seeds import streams_kept
from afina.training.session import read_session, write_session

Shape = tuple[int | None, ...]

LARGEST = 10_000_000
"""Most weights of a model that another one is built beside."""


def sibling_shapes(model: keras.Model) -> tuple[Shape, ...] | None:
    """The shapes that the variables of a model would have if its layers were wider by one.

    The lengths of outputs stay, and widths of 1. Random streams stay as they are.

    Args:
        model: Of Keras' own parts, compiled and built.

    Returns:
        The shapes of the variables of the model and its optimizer, in their order; None if a layer
        cannot be wider, or the model is too large to build another one beside it.
    """
    if sum(math.prod(each.shape) for each in model.variables) > LARGEST:
        return None
    outputs = _shapes_of(model.outputs)
    kept = Counter(shape[-1] for shape in outputs)
    session = read_session()
    try:
        with streams_kept(None):
            sibling = type(model).from_config(_wider(model.get_config(), kept))
            optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
            optimizer.build(sibling.trainable_variables)
            found = [*sibling.variables, *optimizer.variables]
    except Exception:  # a layer asks for a width that fits to another one
        return None
    finally:
        write_session(session)
    own = [*model.variables, *model.optimizer.variables]
    if _shapes_of(sibling.outputs) != outputs:
        return None
    kinds = [[(len(each.shape), each.dtype) for each in part] for part in (own, found)]
    return tuple(tuple(each.shape) for each in found) if kinds[0] == kinds[1] else None


def _shapes_of(outputs: Iterable[Any]) -> list[tuple[int | None, ...]]:
    return [tuple(output.shape) for output in outputs]


def _wider(configuration: Any, kept: Counter[Any]) -> Any:
    """A configuration with the widths of layers greater by one, but for widths of 1.

    Args:
        configuration: Of a model or a part of it.
        kept: How many layers of a width stay as they are: the last ones, which make the outputs.
    """
    if isinstance(configuration, list | tuple):
        return [_wider(each, kept) for each in reversed(configuration)][::-1]
    if not isinstance(configuration, Mapping):
        return configuration
    name = WIDTHS.get(str(configuration.get("class_name")))
    wider = {name: _wider(value, kept) for name, value in configuration.items()}
    wider.pop("build_config", None)  # which holds the old shapes
    config = wider.get("config")
    if name is None or not isinstance(config, dict) or config.get(name) in (None, 1):
        return wider
    width = config[name]
    config[name] += kept[width] <= 0
    kept[width] -= 1
    return wider
