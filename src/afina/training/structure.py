"""A model in a few words: its layers, their shapes and their parameters.

    note_structure ──▶ the trial's note "model" ──▶ the trial's page

A model is described once it is built, which may be by its first batch. Reading it costs less than a
millisecond for each ten layers, and the note stays below a few kilobytes for any model.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, MutableMapping
from typing import Any

from afina.trials.trial import MODEL

MOST_LAYERS = 40
"""Layers that are described, from the first one on."""

LONGEST_NAME = 40
"""Characters of a layer's name."""


def structure_of(model: Any) -> dict[str, Any] | None:
    """What a model consists of; None if it is not built, or is no usual Keras model.

    Args:
        model: A Keras model.

    Returns:
        `layers`: name, class, shape of one output (None where it is not known) and parameters of
        each; `more`: how many layers are left out; `parameters` and `trainable` of the model.
    """
    try:
        if not model.built:
            return None
        layers = list(model.layers)
        found = [_described(layer) for layer in layers[:MOST_LAYERS]]
        parameters, trainable = _count(model.weights), _count(model.trainable_weights)
    except Exception:  # a model of the user's own may raise anything
        return None
    more = max(len(layers) - MOST_LAYERS, 0)
    return {"layers": found, "more": more, "parameters": parameters, "trainable": trainable}


def _described(layer: Any) -> list[Any]:
    parameters = _count(layer.weights) if layer.built else 0
    name = str(layer.name)[:LONGEST_NAME]
    return [name, type(layer).__name__[:LONGEST_NAME], _shape_of(layer), parameters]


def _shape_of(layer: Any) -> str | None:
    """The shape of one output, without the batch; None if it is not one tensor, or not known."""
    try:
        shape = tuple(layer.output.shape)[1:]
    except (AttributeError, ValueError):  # it was called several times, or within `call` only
        return None
    return " x ".join("?" if size is None else str(size) for size in shape) or "1"


def _count(weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


@contextlib.contextmanager
def note_structure(notes: MutableMapping[str, str], model: Any) -> Iterator[None]:
    """Within the block, a model is trained; afterwards its trial's notes describe it.

    Args:
        notes: Of the trial.
        model: Built, or about to be built by its first batch.
    """
    try:
        yield
    finally:
        found = structure_of(model)
        if found is not None:
            notes[MODEL] = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
