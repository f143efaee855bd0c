"""When two models may share a compiled program: equal keys, and only where a key can be trusted.

What lives in a variable (weights, moments, a plain learning rate, seeds) is an input of the
program. Everything else is a constant in it: a schedule, betas, a dropout rate, an L2 factor. All
of that is in the configurations, if every part is Keras' own; code of the user's may do what its
configuration does not tell, so such models have no key and share nothing.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from afina.training.fused import keras_parts

STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")
"""What the program is traced from; an instance may carry its own."""


def program_key(model: keras.Model) -> str | None:
    """What tells the model's program from others; None where a part is not Keras' own.

    Args:
        model: Compiled and built.

    Returns:
        JSON of the configurations of model, optimizer, losses and metrics, less the learning rate
        where that is a plain number. Shapes of data and options are for the caller to add.
    """
    if not keras_parts.is_stock_model(model) or any(name in vars(model) for name in STEPS):
        return None
    if not all(map(_is_stock, keras_parts.layers_of(model))):
        return None
    optimizer = model.optimizer
    if not _is_kerass(type(optimizer)) or _has_hidden_settings(optimizer):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on lambdas, which end in None below
            parts = _configurations(model)
        return json.dumps(parts, sort_keys=True) if _is_plain(parts) else None
    except Exception:  # a part that cannot be put into words has no key
        return None


def _configurations(model: keras.Model) -> dict[str, Any]:
    compiled = dict(model.get_compile_config() or {})
    compiled.pop("optimizer", None)
    settings = dict(model.optimizer.get_config())
    if isinstance(settings.get("learning_rate"), float | int):
        del settings["learning_rate"]
    return {
        "model": model.get_config(),
        "compile": compiled,
        "optimizer": {"kind": type(model.optimizer).__name__, "settings": settings},
    }


def _is_kerass(kind: type) -> bool:
    return kind.__module__.startswith("keras.src.")


def _is_stock(layer: Any) -> bool:
    """Whether a layer is Keras' own and holds no function of somebody else's."""
    if not _is_kerass(type(layer)) or isinstance(layer, keras.layers.Lambda):
        return False
    held = [value for value in vars(layer).values() if hasattr(value, "__code__")]
    return all(str(value.__module__).startswith("keras.src.") for value in held)


def _has_hidden_settings(optimizer: Any) -> bool:
    """Settings that a method made and the configuration does not hold."""
    return any(
        bool(getattr(each, name, None))
        for each in (optimizer, getattr(optimizer, "inner_optimizer", None))
        for name in ("_exclude_from_weight_decay_pattern", "_exclude_from_weight_decay")
    )


def _is_plain(value: Any) -> bool:
    """Whether a configuration speaks of Keras' own parts only, and in plain values."""
    if isinstance(value, Mapping):
        if set(value) == {"value"} or value.get("class_name") in ("__lambda__", "function"):
            return False
        module = value.get("module")
        if isinstance(module, str) and not module.startswith("keras"):
            return False
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, str):  # a name that stands for something of the user's
        return value not in keras.saving.get_custom_objects()
    return value is None or isinstance(value, bool | int | float)
