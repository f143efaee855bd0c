"""What the fused path uses of Keras that is not public, in one place, for this Keras' JAX backend.

Public ways stop short of three things: the order in which `fit` takes the batches, the building of
optimizer and metrics before the first step, and the state as lists of arrays. `available` says
whether this Keras has the parts; where it has not, everything trains by plain `fit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

try:
    from keras.src.backend.config import is_nnx_enabled, max_epochs, max_steps_per_epoch
    from keras.src.models import Functional
    from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
    from keras.src.trainers.epoch_iterator import EpochIterator
except ImportError:  # pragma: no cover - another Keras
    available = False
else:
    available = all(
        hasattr(keras.Model, name)
        for name in ("_symbolic_build", "_get_metrics_result_or_logs", "_flatten_layers")
    )


def limits_are_set() -> bool:
    """Whether Keras was told to cap epochs or steps, or to run under NNX."""
    return bool(max_epochs() or max_steps_per_epoch() or is_nnx_enabled())


STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")
"""What a training is made of; a subclass or an instance may have its own."""


def is_stock_model(model: keras.Model) -> bool:
    """Whether a model is nothing but its layers: Sequential or functional, no subclass, and with
    no steps that an instance was given."""
    kind = type(model)
    return kind in (keras.Sequential, Functional) and not any(map(vars(model).__contains__, STEPS))


def overrides(model: keras.Model, name: str) -> bool:
    """Whether a model has its own method of this name."""
    own = getattr(type(model), name, None)
    return name in vars(model) or own is not getattr(keras.Model, name)


def is_array(value: Any) -> bool:
    """Whether the fused path can put this on the device: NumPy, JAX (dense) and pandas."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" or str(value.dtype) in ("bfloat16",)
    module = type(value).__module__.partition(".")[0]
    if module in ("jax", "jaxlib"):
        return hasattr(value, "shape") and not data_adapter_utils.is_jax_sparse(value)
    return module == "pandas" and bool(array_slicing.can_slice_array(value))


def split(arrays: Any, fraction: float) -> tuple[Any, Any]:
    """Training and validation part, cut where `fit(validation_split=...)` cuts."""
    return array_slicing.train_validation_split(arrays, validation_split=fraction)  # type: ignore[no-any-return]


class Batches:
    """The samples of one `fit` or `evaluate`, in the order in which Keras would take them.

    Args:
        x, y, sample_weight, batch_size, shuffle, class_weight: As `fit` takes them.

    Raises:
        ValueError: Keras refuses the data.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        *,
        batch_size: int | None,
        shuffle: bool | str,
        class_weight: Any = None,
    ) -> None:
        self.iterator = EpochIterator(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            class_weight=class_weight,
        )
        adapter = self.iterator.data_adapter
        assert isinstance(adapter, ArrayDataAdapter), "the caller has checked that all are arrays"
        self.size = int(adapter._num_samples)
        self.batch_size = int(adapter.batch_size)
        self.shuffle = shuffle
        self._inputs = adapter._inputs

    @property
    def steps(self) -> int:
        """Batches in an epoch, the last one perhaps smaller."""
        return -(-self.size // self.batch_size)

    def arrays(self) -> Any:
        """`(x,)`, `(x, y)` or `(x, y, sample_weight)` as structures of NumPy arrays, whole, in the
        types in which a batch would reach the model."""

        def whole(part: Any) -> Any:
            return np.asarray(part.convert_to_jax_compatible(part[:]))

        inputs = array_slicing.convert_to_sliceable(self._inputs, target_backend="jax")
        return keras.tree.map_structure(
            lambda part: None if part is None else whole(part), inputs, none_is_leaf=False
        )

    def order(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Row numbers of the next epoch; draws from NumPy's global stream just as `fit` does."""
        if not self.shuffle:
            return np.arange(self.size, dtype=np.int32)
        if self.shuffle != "batch":
            return np.random.permutation(self.size).astype(np.int32)
        starts = range(0, self.size, self.batch_size)
        ends = [min(start + self.batch_size, self.size) for start in starts]
        parts = [np.random.permutation(b - a) + a for a, b in zip(starts, ends, strict=True)]
        return np.concatenate(parts).astype(np.int32)

    def build(self, model: keras.Model) -> None:
        """Creates all variables of model, optimizer and metrics, as `fit` does first."""
        if not self._builds_simply(model):
            model._symbolic_build(iterator=self.iterator)
            self.iterator.reset()

    def _builds_simply(self, model: keras.Model) -> bool:
        """The same for the common case, without tracing the model; whether it was one.

        The common case is a built model of one output whose metrics are means: all that they
        and the losses need to know are the shapes.
        """
        loss, metrics = model._compile_loss, model._compile_metrics
        targets = self._inputs[1:2]
        if not has_single_output(model) or len(targets) != 1:
            return False
        if not isinstance(targets[0], np.ndarray):
            return False
        if loss is None or loss.built or (metrics is not None and metrics.built):
            return False
        if not all(layer.built for layer in layers_of(model)):
            return False
        rows = min(self.batch_size, self.size)
        target, output = targets[0], model.outputs[0]
        y = keras.KerasTensor(
            (rows, *target.shape[1:]), keras.backend.standardize_dtype(target.dtype)
        )
        y_pred = keras.KerasTensor((rows, *output.shape[1:]), output.dtype)
        if metrics is not None:
            metrics.build(y, y_pred)
            if not has_mean_metrics(model):
                metrics.built = False
                return False
        loss.build(y, y_pred)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        model._post_build()
        if (
            self.shuffle
        ):  # `fit` looks at a first batch for its shapes, and draws its order for that
            np.random.permutation(rows if self.shuffle == "batch" else self.size)
        return True


def has_begun(model: keras.Model) -> bool:
    """Whether a compiled model's losses have been built, which the first batch of `fit` does."""
    loss = getattr(model, "_compile_loss", None)
    return loss is None or bool(loss.built)


def layers_of(model: keras.Model) -> Sequence[Any]:
    """The model and all layers within, nested ones too."""
    return list(model._flatten_layers())


def parts_of(operation: Any) -> Sequence[Any]:
    """An operation of a graph, and the layers within it if it is a layer."""
    return layers_of(operation) if isinstance(operation, keras.Layer) else [operation]


def graph_of(model: keras.Model) -> tuple[list[Any], list[Any], list[Any]]:
    """Inputs, outputs and calls of layers of a built stock model; nothing where it has no graph."""
    graph = getattr(model, "_functional", None) or model
    if not isinstance(graph, Functional):
        return [], [], []
    nodes = [node for each in graph._nodes_by_depth.values() for node in each]
    return list(graph.inputs), list(graph.outputs), nodes


def output_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """What each layer of a stock model gives for one sample, nested ones too."""
    nodes = [node for layer in layers_of(model) for node in getattr(layer, "_inbound_nodes", [])]
    return [tuple(tensor.shape[1:]) for node in nodes for tensor in node.output_tensors]


def epoch_logs(model: keras.Model, logs: Any) -> Any:
    """What `fit` logs: the metrics' results, or what a train step of the user's own returned."""
    return model._get_metrics_result_or_logs(logs)


SAMPLEWISE = frozenset(
    {
        "accuracy",
        "binary_accuracy",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_accuracy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "cosine_similarity",
        "huber",
        "kl_divergence",
        "log_cosh",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "mean_squared_logarithmic_error",
        "poisson",
        "sparse_categorical_accuracy",
        "sparse_categorical_crossentropy",
        "sparse_top_k_categorical_accuracy",
        "top_k_categorical_accuracy",
    }
)
"""Keras' losses and metrics that look at one sample at a time; `dice` and others do not."""

SUMS = (
    "AUC",
    "Precision",
    "Recall",
    "TruePositives",
    "TrueNegatives",
    "FalsePositives",
    "FalseNegatives",
    "F1Score",
    "FBetaScore",
    "RootMeanSquaredError",
)
"""Keras' other metrics that are made of sums over samples."""


def has_sample_means(model: keras.Model) -> bool:
    """Whether each loss and metric of a built stock model comes to the same in batches of any
    size, as far as losses and metrics go and no function of the user's is in the way."""
    layers = layers_of(model)
    if any(getattr(each, "mask_zero", False) for each in layers):
        return False  # masked losses are divided by what each batch has unmasked
    if any(isinstance(each, keras.layers.Masking | keras.layers.Lambda) for each in layers):
        return False
    if any(map(_has_other_rows_in_view, layers)):
        return False
    losses = [each.loss for each in getattr(model._compile_loss, "_flat_losses", None) or []]
    if not losses or not all(map(_is_mean_loss, losses)):
        return False
    return all(map(_sums_over_samples, compiled_metrics(model)))


def _has_other_rows_in_view(layer: Any) -> bool:
    """Whether a layer is bound to a batch size, or does what is not known to keep rows apart."""
    if isinstance(layer, keras.Model):
        operations = getattr(layer, "operations", [])
        free = all(tensor.shape[0] is None for tensor in getattr(layer, "inputs", None) or [])
        return not free or not all(isinstance(each, keras.Layer) for each in operations)
    return getattr(layer, "stateful", False) or holds_others_code(layer)


def holds_others_code(part: Any) -> bool:
    """Whether a layer or optimizer has functions, or objects that can be called, that are not
    Keras'."""
    return any(
        callable(value) and not _is_kerass(value) and not _is_kerass(type(value))
        for value in vars(part).values()
    )


def _is_mean_loss(loss: Any) -> bool:
    mean = getattr(loss, "reduction", None) == "sum_over_batch_size"
    return mean and _is_kerass(type(loss)) and _is_samplewise(loss, getattr(loss, "fn", None))


def _sums_over_samples(metric: Any) -> bool:
    if not _is_kerass(type(metric)):
        return False
    if isinstance(metric, keras.metrics.MeanMetricWrapper):
        return _is_samplewise(metric, metric._fn)
    return type(metric).__name__ in SUMS


def _is_samplewise(owner: Any, function: Any) -> bool:
    if not _is_kerass(function) or getattr(function, "__name__", "") not in SAMPLEWISE:
        return False
    options = getattr(owner, "_fn_kwargs", None) or {}
    return options.get("axis", -1) == -1 and options.get("ignore_class") is None


def _is_kerass(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).startswith("keras.src.")


def has_single_output(model: keras.Model) -> bool:
    """Whether a stock model gives one array."""
    return is_stock_model(model) and len(getattr(model, "outputs", None) or []) == 1


def compiled_metrics(model: keras.Model) -> list[Any]:
    """The metrics of a built model that `compile` was given."""
    return list(model._compile_metrics.metrics) if model._compile_metrics is not None else []


def has_mean_metrics(model: keras.Model) -> bool:
    """Whether a built model's metrics are all means over samples, and none takes weights itself."""
    compiled = model._compile_metrics
    if compiled is not None and any(compiled._flat_weighted_metrics):
        return False
    return all(
        isinstance(each, keras.metrics.MeanMetricWrapper) for each in compiled_metrics(model)
    )


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of the instance, past Keras' tracking of what is set."""
    held = vars(owner)
    before = held.get(name, held)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if before is held:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, before)
