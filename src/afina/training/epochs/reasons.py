"""Why the epochs of a training cannot be fused, on any backend.

Each reason is a sentence for the trial's record."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from afina.training import keras_parts

ARGUMENTS = inspect.signature(keras.Model.fit).parameters
"""The parameters of `fit` by name, `self` first."""

OWN_LOOP = (
    "fit",
    "evaluate",
    "make_train_function",
    "make_test_function",
    "reset_metrics",
    "get_metrics_result",
    "jax_state_sync",
    "train_on_batch",
)
"""Methods that fused epochs do not call, or not as often as `fit`, so that overrides matter."""

BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


def fit_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | str:
    """All arguments of `fit` by name, defaults included; a reason if `fit` would refuse them."""
    names = list(ARGUMENTS)[1:]
    unknown = sorted(set(kwargs) - set(names))
    if len(args) > len(names) or unknown:
        return f"fit does not take {unknown or 'so many arguments'}"
    twice = sorted(set(kwargs) & set(names[: len(args)]))
    if twice:
        return f"fit was given {twice} twice"
    defaults = {name: ARGUMENTS[name].default for name in names}
    return {**defaults, **dict(zip(names, args, strict=False)), **kwargs}


def why_not(
    model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any], *, backend: str = "jax"
) -> str | None:
    """Why the epochs of `model.fit(*args, **kwargs)` cannot be fused; None if it can be tried."""
    reason = why_not_here(backend) or why_not_model(model, needs_xla=backend == "jax")
    if reason is not None:
        return reason
    given = fit_arguments(args, kwargs)
    if isinstance(given, str):
        return given
    return why_not_arguments(given) or why_not_callbacks(flat(given["callbacks"]))


NAMES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
"""What people call Keras' backends."""


def why_not_here(needed: str = "jax") -> str | None:
    """A reason in Keras and its settings; None if there is none.

    Args:
        needed: The backend that the trainer is for.
    """
    backend = keras.backend.backend()
    if backend != needed:
        return f"Keras runs on {backend}, and fused epochs need {NAMES[needed]}"
    if keras_parts.missing:
        return keras_parts.what_is_missing()
    if keras.distribution.distribution() is not None:
        return "a Keras distribution is set"
    if keras_parts.limits_are_set():
        return "Keras is set to cap epochs or steps, or to use NNX"
    return None


def why_not_model(model: keras.Model, *, needs_xla: bool = True) -> str | None:
    """A reason in the model or in how it was compiled; None if there is none.

    Args:
        model: Perhaps compiled.
        needs_xla: Whether XLA must compile the steps.
    """
    for name in OWN_LOOP:
        if keras_parts.overrides(model, name):
            return f"{type(model).__name__} overrides {name}"
    if not isinstance(getattr(model, "optimizer", None), keras.optimizers.Optimizer):
        return "the model has no Keras optimizer"
    if model.run_eagerly:
        return "the model is compiled with run_eagerly=True"
    if needs_xla and not model.jit_compile:
        return "the model is compiled with jit_compile=False, or a layer does not support it"
    return None


def why_not_arguments(given: Mapping[str, Any]) -> str | None:
    """A reason in the arguments of `fit`, callbacks aside; None if there is none."""
    if given["steps_per_epoch"] is not None:
        return "steps_per_epoch is given"
    if given["validation_steps"] is not None:
        return "validation_steps is given"
    validation = given["validation_data"]
    if validation is not None and not (
        isinstance(validation, list | tuple) and 1 <= len(validation) <= 3
    ):
        return f"validation_data is a {type(validation).__name__}, not a tuple of arrays"
    parts = {name: given[name] for name in ("x", "y", "sample_weight")}
    if validation is not None:
        names = ("x of validation_data", "y of validation_data", "weights of validation_data")
        parts.update(zip(names, validation, strict=False))
    if parts["x"] is None:
        return "x is missing"
    for name, part in parts.items():
        for leaf in keras.tree.flatten(part):
            if leaf is not None and not keras_parts.is_array(leaf):
                return f"{name} is no dense array of numbers but {_kind(leaf)}"
    return None


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + ("" if dtype is None else f" of {dtype}")


def why_not_callbacks(callbacks: Iterable[Any]) -> str | None:
    """A reason in the callbacks, which may look at single batches; None if there is none."""
    for callback in callbacks:
        hook = next((name for name in BATCH_HOOKS if _overrides(callback, name)), None)
        if hook is not None and not _only_looks_busy(callback):
            return f"callback {type(callback).__name__} overrides {hook}"
    return None


def _overrides(callback: Any, name: str, base: type = keras.callbacks.Callback) -> bool:
    method = getattr(callback, name, None)
    function = getattr(method, "__func__", method)
    return function is not getattr(base, name, None)


def _only_looks_busy(callback: Any) -> bool:
    """Whether a callback of Keras' own has batch hooks that do nothing with its settings.

    Subclasses count too if they do not override these hooks or what the hooks call.
    """
    kinds = keras.callbacks
    line = type(callback).__mro__
    own = next((kind for kind in line if kind.__module__.startswith("keras.")), object)
    if any(_overrides(callback, name, own) for name in (*BATCH_HOOKS, "_should_save_on_batch")):
        return False
    if own in (kinds.ModelCheckpoint, kinds.BackupAndRestore):
        return callback.save_freq == "epoch"  # type: ignore[no-any-return]
    if own is kinds.TensorBoard:
        return callback.update_freq == "epoch" and not getattr(callback, "_should_trace", False)
    return own in (kinds.ProgbarLogger, kinds.History)


def flat(callbacks: Any) -> list[Any]:
    """Any form of callbacks that `fit` takes, as a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return list(keras.tree.flatten(callbacks)) if callbacks else []
