"""The last, smaller batch of an epoch without a second copy of the train step in the program.

A program has one batch size, so a smaller batch means tracing and compiling the step twice, which
doubles the cost of a new architecture. If no layer mixes the samples of a batch, the smaller batch
may be filled up with samples that count for nothing: with weight 0 in the metrics and in the loss,
whose sum S is divided by the number r of real samples. If the batch size B is a power of two,
losses are the same to the bit: S / r = (S / B) / (r / B), as division by B is exact. Gradients are
the same to rounding: a product over more samples may add them in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.replacing import replaced

LAYERS = (
    "core",
    "activations",
    "convolutional",
    "pooling",
    "reshaping",
    "merging",
    "attention",
    "regularization",
    "rnn",
)
"""Keras' packages of layers that treat each sample by itself; `_keeps_samples_apart` names the
exceptions."""


NORMALIZATIONS = ("LayerNormalization", "RMSNormalization", "GroupNormalization")


def can_be_filled(model: keras.Model, batch_size: int) -> bool:
    """Whether filling up a smaller batch with samples of weight 0 changes nothing.

    Args:
        model: Built and compiled, of Keras' own parts.
        batch_size: Samples in the other batches.
    """
    if batch_size & (batch_size - 1) or not keras_parts.has_single_output(model):
        return False
    if len(model.outputs[0].shape) > 2:
        return False  # each sample has several losses, as with words that are tagged
    if not keras_parts.has_sample_means(model) or not keras_parts.has_mean_metrics(model):
        return False
    return all(map(_keeps_samples_apart, keras_parts.layers_of(model)))


def _keeps_samples_apart(layer: Any) -> bool:
    if keras_parts.is_stock_model(layer):
        return True
    module = keras_parts.package_of(layer)
    name = type(layer).__name__
    if getattr(layer, "activity_regularizer", None) is not None or getattr(
        layer, "stateful", False
    ):
        return False
    if name in NORMALIZATIONS:
        return True
    return module in LAYERS and name not in ("ActivityRegularization", "Lambda")


@contextmanager
def filled(model: keras.Model, real: Any, batch_size: int) -> Iterator[Any]:
    """Within the block, the model's loss and metrics count only the first samples of a batch.

    Args:
        model: One that `can_be_filled` accepts.
        real: How many samples are real, a traced integer.
        batch_size: How many samples there are.

    Yields:
        The samples' weights: 1 for real samples, 0 for others.
    """
    weights = keras.ops.cast(keras.ops.arange(batch_size) < real, "float32")
    count = keras.ops.cast(real, "float32")
    with ExitStack() as stack:
        loss = _CountingLoss(keras_parts.loss_of(model), count / batch_size, weights)
        stack.enter_context(replaced(model, keras_parts.LOSS, loss))
        tracker = keras_parts.loss_tracker(model)
        stack.enter_context(replaced(tracker, "update_state", _weighted(tracker, count)))
        for metric in keras_parts.compiled_metrics(model):
            stack.enter_context(replaced(metric, "update_state", _weighted(metric, weights)))
        yield weights


class _CountingLoss:
    """A compiled loss over the real samples of a batch."""

    def __init__(self, loss: Any, share: Any, weights: Any) -> None:
        self._loss = loss
        self._share = share
        self._weights = weights

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        weights = self._weights
        if sample_weight is not None:
            shape = (-1, *[1] * (len(sample_weight.shape) - 1))
            weights = sample_weight * keras.ops.reshape(weights, shape)
        return self._loss(y_true, y_pred, weights) / self._share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)


def _weighted(metric: Any, weight: Any) -> Any:
    plain = metric.update_state

    def update_state(*values: Any, sample_weight: Any = None) -> Any:
        del sample_weight
        return plain(*values, sample_weight=weight)

    return update_state
