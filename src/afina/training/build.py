"""From a hypermodel and hyperparameters to a compiled Keras model that may be trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from afina.errors import FatalTypeError, FatalValueError, OversizedModelError, wrong
from afina.training.keras_parts import compile_arguments, overrides
from afina.training.on_tensorflow import asked
from afina.trials import failure_of


def build_model(
    hypermodel: Any,
    hp: Any,
    *,
    max_model_size: int | None = None,
    optimizer: Any = None,
    loss: Any = None,
    metrics: Any = None,
    must_be_compiled: bool = True,
) -> keras.Model:
    """Builds the model of one training and checks that it can be trained.

    Args:
        hypermodel: Has `build(hp)`, which returns a Keras model.
        hp: The `HyperParameters` of the trial.
        max_model_size: Most trainable parameters allowed. A model that is built by its first batch
            is not checked.
        optimizer: Replaces the optimizer that `build` compiled the model with.
        loss: Replaces the loss that `build` compiled the model with.
        metrics: Replaces the metrics that `build` compiled the model with.
        must_be_compiled: False for a training loop of the user's own. A model with a `fit` of its
            own need not be compiled either.

    Raises:
        FatalTypeError: `build` did not return a Keras model.
        FatalValueError: The model is not compiled, or `optimizer` cannot be re-created.
        OversizedModelError: The model is too large.
    """
    model = hypermodel.build(hp)
    if not isinstance(model, keras.Model):
        raise FatalTypeError(wrong_model(model))
    if max_model_size is not None:
        check_size(model, max_model_size)
    if not (optimizer is None and loss is None and metrics is None):
        recompile(model, optimizer=optimizer, loss=loss, metrics=metrics)
    if must_be_compiled and not overrides(model, "fit") and not model.compiled:
        raise FatalValueError(
            wrong(
                "build(hp)",
                "must return a compiled model",
                model.name,
                "Call model.compile(optimizer=..., loss=...) before `return model`, "
                "or give optimizer= and loss= to the tuner.",
            )
        )
    return model


def wrong_model(got: object) -> str:
    """The message for a `build` that did not return a model."""
    if got is None:
        advice = "Did you forget `return model` at the end?"
    elif isinstance(got, type) and issubclass(got, keras.Model):
        advice = "Return an instance: call the class."
    else:
        advice = "Return the model itself, a keras.Model of the keras that is imported here."
    return wrong("build(hp)", "must return a Keras model", got, advice)


def parameter_count(model: keras.Model) -> int:
    """Number of trainable parameters; 0 for a model that is not built."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def check_size(model: keras.Model, max_model_size: int) -> None:
    """Raises OversizedModelError for a built model with too many trainable parameters."""
    if not getattr(model, "built", False):  # a stand-in for a model may not even say so
        return
    count = parameter_count(model)
    if count > max_model_size:
        raise OversizedModelError(
            f"Oversized model: {count:,} trainable parameters are more than "
            f"max_model_size={max_model_size:,}."
        )


def recompile(
    model: keras.Model, *, optimizer: Any = None, loss: Any = None, metrics: Any = None
) -> None:
    """Compiles the model again with the parts that were given; the other parts stay.

    Raises:
        FatalValueError: An optimizer, loss or metric cannot be re-created from its config.
    """
    parts = compiled_parts(model)
    if parts.get("jit_compile") is False and asked.listens() and not asked.forbids_xla(model):
        parts["jit_compile"] = "auto"  # it was Keras that made False of this
    given = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
    parts.update({name: renewed(part) for name, part in given.items() if part is not None})
    model.compile(**parts)


def compiled_parts(model: keras.Model) -> dict[str, Any]:
    """The arguments that `model.compile` was called with; empty if it never was."""
    if not getattr(model, "compiled", False):  # what stands in for a model may not have it
        return {}
    arguments = compile_arguments(model)
    if arguments is not None:
        return arguments
    parts = keras.saving.deserialize_keras_object(model.get_compile_config())
    return dict(parts)


def renewed(part: Any) -> Any:
    """Copies an optimizer, a loss, a metric, or a list or dict of them, without its state.

    An optimizer or metric belongs to the first model that it trains, so each model needs its own.
    Names and functions are returned as they are.
    """
    if isinstance(part, Mapping):
        return {key: renewed(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [renewed(value) for value in part]
    if not isinstance(part, keras.optimizers.Optimizer | keras.losses.Loss | keras.metrics.Metric):
        return part
    try:
        return type(part).from_config(part.get_config())
    except Exception as error:
        raise FatalValueError(
            wrong(
                type(part).__name__,
                "must be re-creatable by from_config(get_config())",
                failure_of(error).headline,
                "Give the class a get_config(), or compile the model in build(hp).",
            )
        ) from error
