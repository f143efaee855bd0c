"""All that Afina uses of Keras' private parts; `torch_parts` has what only PyTorch needs.

Keras may rename or drop any of it. Nothing here is needed to train: `missing` lists what this Keras
lacks, and whatever needs it is not used.

    private part                                                           used for
    the order of `fit`'s batches, what `fit` builds first, state as lists  fused epochs, XLA
    the functions that initializers draw and fill with                     quick initializers
    the session: settings, seeds, counted names                            trials one after another
"""

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

IMPORTED = (
    ("keras.src.backend.config", "is_nnx_enabled"),
    ("keras.src.backend.config", "max_epochs"),
    ("keras.src.backend.config", "max_steps_per_epoch"),
    ("keras.src.models", "Functional"),
    ("keras.src.trainers.data_adapters.array_slicing", "can_slice_array"),
    ("keras.src.trainers.data_adapters.array_slicing", "convert_to_sliceable"),
    ("keras.src.trainers.data_adapters.array_slicing", "train_validation_split"),
    ("keras.src.trainers.data_adapters.data_adapter_utils", "is_jax_sparse"),
    ("keras.src.trainers.data_adapters.array_data_adapter", "ArrayDataAdapter"),
    ("keras.src.trainers.epoch_iterator", "EpochIterator"),
)
"""Modules, and the names in them that fused epochs need."""

OF_MODELS = ("_flatten_layers", "_get_metrics_result_or_logs", "_post_build", "_symbolic_build")
"""Methods of a model that fused epochs need."""

SESSION = (("keras.src.backend.common.global_state", "GLOBAL_STATE_TRACKER"),)
"""Where Keras keeps the session: there is no public way to the global seed or an open scope."""

DRAWING, FILLING = ("uniform", "normal", "truncated_normal", "jax_draw_seed"), ("zeros", "ones")
FILLING_MODULES = ("keras.src.backend.jax.numpy", "keras.src.backend.jax.ops.numpy")
"""Keras until 3.15, and from 3.16 on."""


def _found(module: str, name: str) -> Any:
    """The object of this name in a module; None if this Keras has none."""
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


_parts = {name: _found(module, name) for module, name in IMPORTED}

missing: tuple[str, ...] = tuple(
    [name for name, part in _parts.items() if part is None]
    + [f"Model.{name}" for name in OF_MODELS if not hasattr(keras.Model, name)]
)
"""The parts that fused epochs need and this Keras lacks."""

Functional: Any = _parts["Functional"] or keras.Model


def what_is_missing() -> str | None:
    """Why fused epochs and XLA are off, in one sentence; None if this Keras has all they need."""
    if not missing:
        return None
    return f"Keras {keras.__version__} lacks {missing[0]}, which fused epochs are made of"


# -- the session ----------------------------------------------------------------------------------


def session_module() -> Any:
    """The module that holds the session of each thread; None if this Keras keeps it elsewhere.

    `keras.utils.clear_session` puts a new session in its place, so read it from the module each
    time.
    """
    module, name = SESSION[0]
    return None if _found(module, name) is None else importlib.import_module(module)


def drawing_and_filling() -> tuple[Any, Any] | None:
    """The modules with the functions that initializers draw and fill with on JAX; None if this
    Keras has them elsewhere."""
    for name in FILLING_MODULES:
        try:
            drawing = importlib.import_module("keras.src.backend.jax.random")
            filling = importlib.import_module(name)
        except ImportError:
            continue
        parts = [(drawing, part) for part in DRAWING] + [(filling, part) for part in FILLING]
        if all(hasattr(module, part) for module, part in parts):
            return drawing, filling
    return None


def draw_seed(seed: Any) -> Any:
    """The key that Keras on JAX draws with; only if there is `drawing_and_filling`."""
    return _found("keras.src.backend.jax.random", "jax_draw_seed")(seed)


# -- models, optimizers, losses -------------------------------------------------------------------


def is_kerass(thing: Any) -> bool:
    """Whether a class or function is Keras' own."""
    return str(getattr(thing, "__module__", "")).startswith("keras.src.")


def package_of(layer: Any) -> str:
    """The package of a layer of Keras' own, such as "core" or "pooling"."""
    module = type(layer).__module__
    return module.removeprefix("keras.src.layers.").partition(".")[0]


def compile_arguments(model: keras.Model) -> dict[str, Any] | None:
    """The objects that `compile` was given, functions too; None if Keras does not keep them, and
    `get_compile_config` must do."""
    config = getattr(getattr(model, "_compile_config", None), "config", None)
    return dict(config) if isinstance(config, dict) else None


def loss_of(model: keras.Model) -> Any:
    """The object that computes a compiled model's loss; None without a loss."""
    return model._compile_loss


def metrics_of(model: keras.Model) -> Any:
    """The object that computes a compiled model's metrics; None without metrics."""
    return model._compile_metrics


def losses_of(model: keras.Model) -> list[Any]:
    """The losses of a built model, one for each output that has one."""
    return [each.loss for each in getattr(model._compile_loss, "_flat_losses", None) or []]


LOSS = "_compile_loss"
"""The attribute that `loss_of` reads, for `replaced`."""


def loss_tracker(model: keras.Model) -> Any:
    """The metric that `fit` logs as "loss"."""
    return model._loss_tracker


def first_epoch(model: keras.Model) -> int:
    """The epoch that a callback has set the model to begin with, or 0."""
    return getattr(model, "_initial_epoch", 0) or 0


LEARNING_RATE = "_learning_rate"
"""The attribute in which an optimizer keeps what `rate_of` returns."""

ATTENTION_DROPOUT = "_dropout"
"""The attribute in which `MultiHeadAttention` keeps its dropout rate."""


def rate_of(optimizer: Any) -> Any:
    """The learning rate as the optimizer holds it: a variable, a schedule, or a function.

    It is looked up: asking for a schedule leaves a trace in the optimizer, and changes its key.
    """
    held = getattr(optimizer, LEARNING_RATE, None)
    return optimizer.learning_rate if held is None else held


def moments_of(optimizer: Any) -> tuple[list[Any], list[Any]]:
    """First and second moments of a built Adam, in the order of the variables that it trains."""
    return list(optimizer._momentums), list(optimizer._velocities)


def place_in(optimizer: Any, variable: Any) -> int:
    """The place of a variable among those that a built optimizer trains."""
    return int(optimizer._get_variable_index(variable))


EXCLUSIONS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
"""The attributes in which an optimizer keeps the variables that do not decay."""

SHAPE, VALUE = "_shape", "_value"
"""The attributes in which a variable keeps its shape and the backend's variable, for `replaced`."""


def weights_and_uses(layer: Any) -> tuple[list[Any], list[Any]]:
    """A layer's own trainable variables, and the nodes of the graph at which it is called."""
    own = getattr(layer, "_trainable_variables", None)
    if own is None:
        own = [] if isinstance(layer, keras.Model) else layer.trainable_variables
    return list(own), list(getattr(layer, "_inbound_nodes", None) or [])


# -- what fused epochs are made of ----------------------------------------------------------------


def limits_are_set() -> bool:
    """Whether Keras is set to cap epochs or steps, or to run under NNX."""
    names = ("max_epochs", "max_steps_per_epoch", "is_nnx_enabled")
    return any(_parts[name]() for name in names)


STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")
"""The steps of a training; a subclass or an instance may have its own."""


def is_stock_model(model: keras.Model) -> bool:
    """Whether a model is nothing but its layers: Sequential or functional, not a subclass, and
    without steps of the instance's own."""
    kind = type(model)
    return kind in (keras.Sequential, Functional) and not any(map(vars(model).__contains__, STEPS))


JIT_COMPILE = "_jit_compile"
"""The attribute in which a model keeps whether its steps are compiled, for `replaced`."""

PICTURES = (
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
)
"""Keras' layers that forbid compiling on every backend, but can be compiled on JAX."""


def only_pictures_forbid_compiling(model: keras.Model) -> bool:
    """Whether `PICTURES` are why a model is not compiled on JAX, where its steps then run operation
    by operation."""
    against = [layer for layer in layers_of(model) if not getattr(layer, "supports_jit", True)]
    known = [is_kerass(type(layer)) and type(layer).__name__ in PICTURES for layer in against]
    return bool(against) and all(known)


def overrides(model: keras.Model, name: str) -> bool:
    """Whether a model has its own method of this name."""
    own = getattr(type(model), name, None)
    return name in vars(model) or own is not getattr(keras.Model, name, None)


def is_array(value: Any) -> bool:
    """Whether fused epochs can put this on the device: NumPy, JAX (dense), pandas, and dense
    tensors of TensorFlow where Keras runs on it."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" or str(value.dtype) in ("bfloat16",)
    module = type(value).__module__.partition(".")[0]
    if module in ("jax", "jaxlib"):
        return hasattr(value, "shape") and not _parts["is_jax_sparse"](value)
    if module == "tensorflow" and keras.backend.backend() == "tensorflow":
        dense = type(value).__name__ == "EagerTensor"
        return dense and (value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool)
    return module == "pandas" and bool(_parts["can_slice_array"](value))


def split(arrays: Any, fraction: float) -> tuple[Any, Any]:
    """Training and validation part, cut where `fit(validation_split=...)` cuts."""
    return _parts["train_validation_split"](arrays, validation_split=fraction)  # type: ignore[no-any-return]


def stream_batches(data: Any, **given: Any) -> Any:
    """Keras' iterator over a stream: one pass each time that it is iterated over.

    Args:
        data: The stream.
        given: `shuffle`, `class_weight` and `steps_per_epoch`, as `fit` takes them.

    Raises:
        ValueError: Keras refuses the data.
    """
    return _parts["EpochIterator"](x=data, **given)


def build_by(model: keras.Model, batch: Any) -> None:
    """Builds a model by a batch of arrays, as `fit` does by the first of a stream."""
    model._symbolic_build(data_batch=batch)


WHOLE_BATCHES = "whole batches"
"""A `shuffle` that `fit` does not know: the order of the batches, as it shuffles a `PyDataset`."""


class Batches:
    """The samples of one `fit` or `evaluate`, in the order in which Keras would take them.

    Args:
        x, y, sample_weight, batch_size, shuffle, class_weight: The arguments of `fit`; `shuffle`
            may also be `WHOLE_BATCHES`.

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
        self.iterator = _parts["EpochIterator"](
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            shuffle=shuffle if shuffle != WHOLE_BATCHES else False,
            class_weight=class_weight,
        )
        adapter = self.iterator.data_adapter
        assert isinstance(adapter, _parts["ArrayDataAdapter"]), (
            "the caller has checked that all are arrays"
        )
        self.size = int(adapter._num_samples)
        self.batch_size = int(adapter.batch_size)
        self.shuffle = shuffle
        self._inputs = adapter._inputs
        self._rows: Any = None  # an iterator of row numbers, if Keras draws in its own way

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last one may be smaller."""
        return -(-self.size // self.batch_size)

    def arrays(self) -> Any:
        """`(x,)`, `(x, y)` or `(x, y, sample_weight)` as structures of whole NumPy arrays, in the
        types in which a batch would reach the model."""

        def whole(part: Any) -> Any:
            return np.asarray(part.convert_to_jax_compatible(part[:]))

        inputs = _parts["convert_to_sliceable"](self._inputs, target_backend="jax")
        return keras.tree.map_structure(
            lambda part: None if part is None else whole(part), inputs, none_is_leaf=False
        )

    def order(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Row numbers of the next epoch, in the order in which `fit` would take them; draws from
        NumPy's global stream if `fit` does."""
        if not self.shuffle:
            return np.arange(self.size, dtype=np.int32)
        if self.shuffle == WHOLE_BATCHES:
            return self._order_of_batches()
        if not _shuffles_by_numpy():
            return self._order_of_keras()
        if self.shuffle != "batch":
            return np.random.permutation(self.size).astype(np.int32)
        starts = range(0, self.size, self.batch_size)
        ends = [min(start + self.batch_size, self.size) for start in starts]
        parts = [np.random.permutation(b - a) + a for a, b in zip(starts, ends, strict=True)]
        return np.concatenate(parts).astype(np.int32)

    def _order_of_batches(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The order of `fit` on a `PyDataset`, but that a smaller batch always comes last."""
        numbers = list(range(self.steps))
        random.shuffle(numbers)
        rows = np.arange(self.steps * self.batch_size, dtype=np.int32).reshape(self.steps, -1)
        full = self.size // self.batch_size
        shuffled = rows[[number for number in numbers if number < full]].ravel()
        return np.concatenate([shuffled, np.arange(len(shuffled), self.size, dtype=np.int32)])

    def go_on_from(self, before: Batches) -> None:
        """Continues the draws of `before`, whose data have changed since."""
        if before.size == self.size:
            self._rows = before._rows

    def _order_of_keras(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """`order` for a Keras that draws in its own way: what it makes of row numbers as data."""
        if self._rows is None:
            self._rows = _iterator_of_rows(self.size, self.batch_size, self.shuffle)
        return _next_rows(self._rows)

    def build(self, model: keras.Model) -> None:
        """Creates all variables of model, optimizer and metrics, as `fit` does first."""
        if self.shuffle == WHOLE_BATCHES and not has_begun(model):
            random.shuffle(list(range(self.steps)))  # `fit` looks at a first batch
        if self._builds_simply(model):
            return
        build = getattr(model, "_maybe_symbolic_build", model._symbolic_build)  # from 3.16 on
        if keras.backend.backend() == "tensorflow":  # there `fit` builds when it traces the step
            build = model._symbolic_build
        build(iterator=self.iterator)
        self.iterator.reset()

    def _builds_simply(self, model: keras.Model) -> bool:
        """Does `build` without tracing the model, in the common case; returns whether it was one.

        The common case is a built model of one output whose metrics are means: they and the losses
        need only the shapes.
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
        if self.shuffle not in (False, WHOLE_BATCHES) and _shuffles_by_numpy():
            # `fit` looks at a first batch for its shapes, and draws its order for that.
            np.random.permutation(rows if self.shuffle == "batch" else self.size)
        return True


def _iterator_of_rows(size: int, batch_size: int, shuffle: bool | str) -> Any:
    """The iterator of batches that `fit` would use if the data were row numbers."""
    rows = np.arange(size, dtype=np.int32)
    iterator = _parts["EpochIterator"](x=rows, batch_size=batch_size, shuffle=shuffle)
    iterator.reset()  # as `fit` does once it has built the model
    return iterator


def _next_rows(iterator: Any) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The row numbers of the iterator's next epoch."""
    batches = [batch for _, _, few in iterator for batch in keras.tree.flatten(few)]
    return np.concatenate([np.ravel(batch) for batch in batches]).astype(np.int32)


@functools.cache
def _shuffles_by_numpy() -> bool:
    """Whether this Keras shuffles an epoch by one permutation from NumPy's global stream, as Keras
    3.15 does; found out by shuffling a few rows."""
    stream = np.random.get_state()
    try:
        np.random.seed(0)
        found = _next_rows(_iterator_of_rows(9, 4, True))
        np.random.seed(0)
        return bool((found == np.random.permutation(9)).all())
    finally:
        np.random.set_state(stream)


def has_begun(model: keras.Model) -> bool:
    """Whether a compiled model's losses are built, which the first batch of `fit` does."""
    loss = getattr(model, "_compile_loss", None)
    return loss is None or bool(loss.built)


def layers_of(model: keras.Model) -> Sequence[Any]:
    """The model and all its layers, nested ones too."""
    return list(model._flatten_layers())


def parts_of(operation: Any) -> Sequence[Any]:
    """An operation of a graph, and the layers within it if it is a layer."""
    return layers_of(operation) if isinstance(operation, keras.Layer) else [operation]


def graph_of(model: keras.Model) -> tuple[list[Any], list[Any], list[Any]]:
    """Inputs, outputs and calls of layers of a built stock model; empty if it has no graph."""
    graph = getattr(model, "_functional", None) or model
    if not isinstance(graph, Functional):
        return [], [], []
    nodes = [node for each in graph._nodes_by_depth.values() for node in each]
    return list(graph.inputs), list(graph.outputs), nodes


def output_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """The shape of each layer's output for one sample, in a stock model; nested layers too."""
    nodes = [node for layer in layers_of(model) for node in getattr(layer, "_inbound_nodes", [])]
    return [tuple(tensor.shape[1:]) for node in nodes for tensor in node.output_tensors]


def epoch_logs(model: keras.Model, logs: Any) -> Any:
    """The logs of `fit`: the metrics' results, or what a train step of the user's own returned."""
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
    """Whether each loss and metric of a built stock model is the same for batches of any size, and
    no function of the user's may change that."""
    layers = layers_of(model)
    if any(getattr(each, "mask_zero", False) for each in layers):
        return False  # a masked loss is divided by the number of unmasked entries of its batch
    if any(isinstance(each, keras.layers.Masking | keras.layers.Lambda) for each in layers):
        return False
    if any(map(_has_other_rows_in_view, layers)):
        return False
    losses = losses_of(model)
    if not losses or not all(map(_is_mean_loss, losses)):
        return False
    return all(map(_sums_over_samples, compiled_metrics(model)))


def _has_other_rows_in_view(layer: Any) -> bool:
    """Whether a layer is bound to a batch size, or is not known to keep samples apart."""
    if isinstance(layer, keras.Model):
        operations = getattr(layer, "operations", [])
        free = all(tensor.shape[0] is None for tensor in getattr(layer, "inputs", None) or [])
        return not free or not all(isinstance(each, keras.Layer) for each in operations)
    return getattr(layer, "stateful", False) or holds_others_code(layer)


def holds_others_code(part: Any) -> bool:
    """Whether a layer or optimizer holds functions, or objects that can be called, other than
    Keras' own."""
    return any(
        callable(value) and not is_kerass(value) and not is_kerass(type(value))
        for value in vars(part).values()
    )


def _is_mean_loss(loss: Any) -> bool:
    mean = getattr(loss, "reduction", None) == "sum_over_batch_size"
    return mean and is_kerass(type(loss)) and _is_samplewise(loss, getattr(loss, "fn", None))


def _sums_over_samples(metric: Any) -> bool:
    if not is_kerass(type(metric)):
        return False
    if isinstance(metric, keras.metrics.MeanMetricWrapper):
        return _is_samplewise(metric, metric._fn)
    return type(metric).__name__ in SUMS


def _is_samplewise(owner: Any, function: Any) -> bool:
    if not is_kerass(function) or getattr(function, "__name__", "") not in SAMPLEWISE:
        return False
    options = getattr(owner, "_fn_kwargs", None) or {}
    return options.get("axis", -1) == -1 and options.get("ignore_class") is None


def has_single_output(model: keras.Model) -> bool:
    """Whether it is a stock model with one output."""
    return is_stock_model(model) and len(getattr(model, "outputs", None) or []) == 1


def compiled_metrics(model: keras.Model) -> list[Any]:
    """The metrics of a built model that `compile` was given."""
    return list(model._compile_metrics.metrics) if model._compile_metrics is not None else []


def has_mean_metrics(model: keras.Model) -> bool:
    """Whether a built model's metrics are all means over samples, and none is a weighted metric."""
    weighted = getattr(model._compile_metrics, "_flat_weighted_metrics", None) or ()
    means = keras.metrics.MeanMetricWrapper
    return not any(weighted) and all(isinstance(each, means) for each in compiled_metrics(model))
