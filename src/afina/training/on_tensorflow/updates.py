"""Updates of Keras' optimizers by one operation of TensorFlow's for each variable.

Keras writes an update as a dozen operations. On a CPU each reads and writes the whole variable,
which takes longer than the gradient of a wide Dense layer. TensorFlow has kernels that do the same
in one pass over the variable, by the same formulas. XLA joins the operations by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.replacing import replaced

DTYPES = ("float32", "float64")
"""Types of the variables that are updated so: others would be rounded at other places."""


def has_own_update(model: keras.Model) -> bool:
    """Whether TensorFlow has one operation for an update of the model's optimizer."""
    return _update_of(_innermost(model.optimizer)) is not None


@contextlib.contextmanager
def updating_by_one_operation(model: keras.Model) -> Iterator[None]:
    """Within the block, the optimizer of a built model updates each variable by one operation.

    Clipping, weight decay, averages and accumulated gradients remain Keras' own. So does an update
    by the few rows that a batch has read of an embedding, and one of other than `DTYPES`.
    """
    optimizer = _innermost(model.optimizer)
    update = _update_of(optimizer)
    if update is None:
        yield
        return
    by_keras = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices) or variable.dtype.name not in DTYPES:
            by_keras(gradient, variable, learning_rate)
            return
        rate, slope = tf.cast(learning_rate, variable.dtype), tf.cast(gradient, variable.dtype)
        update(optimizer, slope, variable, rate)

    with replaced(optimizer, "update_step", update_step):
        yield


def _innermost(optimizer: Any) -> Any:
    """The optimizer that a `LossScaleOptimizer` wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _update_of(optimizer: Any) -> Callable[..., None] | None:
    """How to update a variable in the way of this optimizer; None if no operation does it."""
    kind = type(optimizer)
    if not keras_parts.is_kerass(kind):
        return None
    if kind.update_step is keras.optimizers.Adam.update_step:
        return None if optimizer.amsgrad else _adam
    return _descent if kind.update_step is keras.optimizers.SGD.update_step else None


def _adam(optimizer: Any, gradient: Any, variable: Any, rate: Any) -> None:
    import tensorflow as tf

    place = keras_parts.place_in(optimizer, variable)
    first, second = (moments[place].value for moments in keras_parts.moments_of(optimizer))
    step = keras.ops.cast(optimizer.iterations + 1, variable.dtype.name)
    beta_1, beta_2 = (tf.cast(b, variable.dtype) for b in (optimizer.beta_1, optimizer.beta_2))
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(optimizer.epsilon, variable.dtype),
        grad=gradient,
    )


def _descent(optimizer: Any, gradient: Any, variable: Any, rate: Any) -> None:
    import tensorflow as tf

    if optimizer.momentum == 0:
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)
        return
    momentum = optimizer.momentums[keras_parts.place_in(optimizer, variable)].value
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=momentum.handle,
        lr=rate,
        grad=gradient,
        momentum=tf.cast(optimizer.momentum, variable.dtype),
        use_nesterov=optimizer.nesterov,
    )
