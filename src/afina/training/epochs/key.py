"""The key of a model: models of equal keys share a compiled program.

What lives in a variable (weights, moments, a plain learning rate, seeds) is an input of the
program. Everything else is a constant in it, such as betas or an L2 factor, unless the caller makes
it an input: `numbers` leaves such numbers out of the key. Most constants are in the
configurations, if every part is Keras' own. The others are found by looking at what the parts hold:
the mean of an adapted `Normalization`, the dtype of a loss. Code of the user's may depend on
anything, so models with such code have no key and share nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from afina.training import keras_parts
from afina.training.epochs.widths import width_attributes, without_widths

PASSING = frozenset(
    {
        "_auto_config",  # in the configurations
        "_build_shapes_dict",
        "_tracker",
        "_trainable_variables_indices",  # by identity
        "_weight_decay_by_var_key",  # by identity; `_has_hidden_settings` looks at exclusions
        "_loss_ids",
        "_inbound_nodes",  # the graph is in the model's configuration
        "_outbound_nodes",
        "_called",
        "_path",
        "_parent_path",
        "_jit_compile",  # not read for an inner model; loading weights sets it
        "_distribution_strategy",  # TensorFlow's default one: trainers refuse others
        "_distribute_strategy",
        "_distribute_reduction_method",
    }
)
"""Attributes of Keras' parts that may differ between equal parts, as no program depends on them."""

TRACKED = "_self_"
"""What the names of attributes begin with that TensorFlow saves and loads objects by."""

SAID_ONLY_ONCE_LOADED = frozenset({"is_awq_calibrated", "is_gptq_calibrated"})
"""Attributes that loading weights adds; False means the same as no attribute."""

DEEPEST = 8
"""How deep objects within objects are looked into."""


@functools.cache
def _of_modules() -> frozenset[str]:
    """On PyTorch, the attributes of any module of PyTorch's, which all layers of Keras are: their
    values are parameters, inner layers, hooks and the mode."""
    if keras.backend.backend() != "torch":
        return frozenset()
    return frozenset(vars(sys.modules["torch"].nn.Module()))


class _UnknownError(Exception):
    """An object whose effect on a program is unknown."""


def is_all_kerass(model: keras.Model) -> bool:
    """Whether a compiled model consists of Keras' own parts only, without functions of the user's.

    The optimizer, losses and metrics count too.
    """
    layers = keras_parts.layers_of(model)
    if not keras_parts.is_stock_model(model) or not all(map(_is_stock, layers)):
        return False
    if any(keras_parts.holds_others_code(each) for each in (*layers, model.optimizer)):
        return False
    try:
        return keras_parts.is_kerass(type(model.optimizer)) and _is_plain(_quietly(model))
    except Exception:  # a part that cannot be put into words is not Keras'
        return False


def program_key(model: keras.Model, *, any_width: bool = False) -> tuple[Any, ...] | None:
    """The key of the model's program; None if a part is not Keras' own.

    Args:
        model: Compiled and built.
        any_width: Whether models have the same key if they differ in the widths of layers only; see
            `widths`.

    Returns:
        The configurations of model, optimizer, losses and metrics, without the learning rate if
        that is a plain number; what else the parts hold; the paths of the variables; the settings
        of Keras and JAX. The caller adds the shapes of the data and the options.
    """
    if not keras_parts.is_stock_model(model):
        return None
    if not all(map(_is_stock, keras_parts.layers_of(model))):
        return None
    optimizer = model.optimizer
    if not keras_parts.is_kerass(type(optimizer)) or _has_hidden_settings(optimizer):
        return None
    try:
        parts = _quietly(model)
        if not _is_plain(parts):
            return None
        held = _Holdings(model, any_width=any_width).of_all()
        if any_width:
            parts["model"] = without_widths(parts["model"])
        return json.dumps(parts, sort_keys=True), held, _paths(model), _settings()
    except Exception:  # a part that cannot be put into words has no key
        return None


def _quietly(model: keras.Model) -> dict[str, Any]:
    """The configurations of a compiled model and of what it was compiled with, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on lambdas, which are not plain
        return _configurations(model)


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


def _paths(model: keras.Model) -> tuple[tuple[str, ...], ...]:
    """The paths of trainable, other and optimizer variables, in the order of a program's inputs."""
    lists = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    return tuple(tuple(variable.path for variable in variables) for variables in lists)


def _settings() -> tuple[Any, ...]:
    """The settings that Keras and JAX read while they trace."""
    settings = (
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        keras.config.is_flash_attention_enabled(),
    )
    if keras.backend.backend() != "jax":
        return settings
    import jax

    return (
        *settings,
        jax.config.jax_default_matmul_precision,
        jax.config.jax_enable_x64,
        jax.config.jax_default_prng_impl,
        jax.config.jax_numpy_dtype_promotion,
    )


def _is_stock(layer: Any) -> bool:
    """Whether a layer is Keras' own and cannot hold a function of the user's."""
    return keras_parts.is_kerass(type(layer)) and not isinstance(layer, keras.layers.Lambda)


def _has_hidden_settings(optimizer: Any) -> bool:
    """Whether an optimizer has settings that a method made and its configuration does not hold."""
    return any(
        bool(getattr(each, name, None))
        for each in (optimizer, getattr(optimizer, "inner_optimizer", None))
        for name in keras_parts.EXCLUSIONS
    )


def _is_plain(value: Any) -> bool:
    """Whether a configuration names Keras' own parts only, and holds plain values."""
    if isinstance(value, Mapping):
        # A function of the user's; Keras' own `Constant` holds a number.
        if set(value) == {"value"} and not isinstance(value["value"], bool | int | float):
            return False
        if value.get("class_name") in ("__lambda__", "function"):
            return False
        module = value.get("module")
        if isinstance(module, str) and module.partition(".")[0] != "keras":
            return False
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, str):  # a registered name of something of the user's
        return value not in keras.saving.get_custom_objects()
    return value is None or isinstance(value, bool | int | float)


class _Holdings:
    """What the parts of a model hold, as hashable values.

    Args:
        model: Compiled and built, its layers all Keras' own.
        any_width: Whether the widths of layers are left out.
    """

    def __init__(self, model: keras.Model, *, any_width: bool = False) -> None:
        self.model = model
        self.any_width = any_width
        lists = (model.variables, model.optimizer.variables, model.metrics_variables)
        self._inputs = {id(variable) for variables in lists for variable in variables}

    def of_all(self) -> tuple[Any, ...]:
        """What each layer, operation, loss, metric and the optimizer hold.

        Raises:
            _UnknownError: A part is not Keras' own, or holds something that is not.
        """
        metrics = keras_parts.metrics_of(self.model)
        parts = [self.model.optimizer, *keras_parts.losses_of(self.model)]
        parts += [] if metrics is None else metrics.metrics
        for layer in keras_parts.layers_of(self.model):
            if isinstance(layer, keras.Model):
                parts += getattr(layer, "operations", [])
            else:
                parts.append(layer)
        return tuple(self._of(part, 0) for part in parts)

    def _of(self, part: Any, depth: int) -> tuple[Any, ...]:
        """What one object of Keras' own holds."""
        if not keras_parts.is_kerass(type(part)) or depth > DEEPEST:
            raise _UnknownError(part)
        widths = width_attributes(part) if self.any_width else ()
        named = sorted(
            (name, value)
            for name, value in vars(part).items()
            if name not in PASSING
            and name not in _of_modules()
            and name not in widths
            and not name.startswith(TRACKED)
            and not (name in SAID_ONLY_ONCE_LOADED and value is False)
        )
        return type(part).__name__, *((name, self._word(value, depth + 1)) for name, value in named)

    def _word(self, value: Any, depth: int) -> Any:
        """One value, made hashable."""
        if value is None or isinstance(value, bool | int | float | complex | str | np.generic):
            return type(value).__name__, str(value)
        if isinstance(value, Mapping):
            keys = [str(key) for key in value]
            return tuple(keys), self._words(value.values(), depth)
        if isinstance(value, list | tuple):
            return self._words(value, depth)
        if isinstance(value, set | frozenset):
            return self._words(sorted(value, key=str), depth)
        if isinstance(value, keras.Variable):
            if id(value) not in self._inputs:
                raise _UnknownError(value)
            return "variable"
        if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
            array = np.asarray(value)
            return array.shape, str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()
        return self._of_object(value, depth)

    def _words(self, values: Iterable[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self._word(value, depth) for value in values)

    def _of_object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if isinstance(value, type) or hasattr(value, "__code__"):
            if not keras_parts.is_kerass(value) and getattr(value, "__module__", "") != "builtins":
                raise _UnknownError(value)
            return f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, _LOOKED_AT_ELSEWHERE):
            return kind.__qualname__
        if kind.__module__ in ("builtins", "inspect") and not callable(value):
            return kind.__qualname__
        return self._of(value, depth)


_LOOKED_AT_ELSEWHERE = (
    keras.Layer,  # all layers are parts
    keras.Initializer,  # done when the program begins
    keras.random.SeedGenerator,  # its state is a variable
    keras.KerasTensor,
)
