"""Checkpoints: a training's whole state in one file, which plain Keras can read too.

`model.save_weights` writes the file, with the weights and the optimizer. One group of our own holds
what Keras leaves out: the states of seed generators, and the epoch. The file is replaced in one
step, so it is whole at any moment, however the process ends.

    checkpoint.weights.h5    layers/ optimizer/ ...    by Keras
                             afina/                    seeds, epochs, kind of optimizer
    build_config.json        input shapes, for models that are built by their first batch
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np

from afina.errors import CheckpointError, wrong
from afina.training.keras_parts import layers_of, overrides, rate_of
from afina.training.snapshot import (
    Array,
    Snapshot,
    apply_snapshot,
    assign,
    copies,
    optimizers_of,
)

CHECKPOINT = "checkpoint.weights.h5"
"""The file's name within a trial's folder, as in Keras Tuner."""

BUILD_CONFIG = "build_config.json"
"""The file beside it, with the input shapes for models that are built by their first batch."""

INNER = ("inner_optimizer", "optimizers")
"""Attributes in which Keras' optimizers hold others."""

LEFT_OUT = (
    "The checkpoint's weights are loaded, but its optimizer state is left out: it does not fit the "
    "optimizer that build(hp) makes. Most likely fit() compiles the model again. The optimizer "
    "starts anew."
)
"""The warning for an optimizer's state that does not fit."""

EXTRAS = "afina"
"""The name of our group in the file; Keras reads only the groups that it knows by name."""


def save_state(model: keras.Model, path: Path, *, epochs: int | None = None) -> None:
    """Writes weights, optimizer and seed generators; the old file stays until the new one is whole.

    Args:
        model: Built, with variables.
        path: Ends in ".weights.h5"; its folder is created.
        epochs: Epochs trained so far, kept with the state.

    Raises:
        CheckpointError: The model is not built, or Keras cannot save it.
    """
    _save(model, path, epochs=epochs, with_optimizer=True)


def save_snapshot(snapshot: Snapshot, model: keras.Model, path: Path) -> None:
    """Writes a snapshot in the format of `save_state`, and leaves the model in its state.

    Args:
        snapshot: The state to write.
        model: A model of the same architecture.
        path: Ends in ".weights.h5"; its folder is created.

    Raises:
        CheckpointError: The model has other variables than the snapshot, or Keras cannot save it.
    """
    both = apply_snapshot(snapshot, model)
    _save(model, path, epochs=snapshot.epochs, with_optimizer=both)


def _save(model: keras.Model, path: Path, *, epochs: int | None, with_optimizer: bool) -> None:
    if not getattr(model, "built", False) and not overrides(model, "save_weights"):
        raise CheckpointError(
            wrong(
                f"model {model.name!r}",
                "must be built before it is saved",
                "no variables",
                "Train it, or begin it with keras.Input(shape).",
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        with _errors_of_the_model(model):
            _save_build_config(model, path.parent / BUILD_CONFIG)
            with warnings.catch_warnings():
                # Keras hands its variables to NumPy in a way that NumPy 2 deprecates.
                warnings.filterwarnings("ignore", "__array__", DeprecationWarning)
                model.save_weights(part)
            _add_extras(model, part, epochs=epochs, with_optimizer=with_optimizer)
        replace_file(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _errors_of_the_model(model: keras.Model) -> Iterator[None]:
    """Turns what saving a model raises into a CheckpointError, as its layers may run code of the
    user's. Errors of the disk and of the memory are raised as they are."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # HDF5 reports a failed write by an OSError without a number, which names the number in its
        # message. Its other errors, such as a name that is taken, are about what is written.
        if isinstance(error, OSError) and (error.errno is not None or "errno = " in str(error)):
            raise
        raise CheckpointError(
            wrong(
                f"model {model.name!r}",
                "must be one that Keras can save",
                f"{type(error).__name__}: {error}",
                "Its weights are not kept; its score is.",
            )
        ) from error


def _add_extras(
    model: keras.Model, path: Path, *, epochs: int | None, with_optimizer: bool
) -> None:
    with h5py.File(path, "a") as file:
        extras = file.create_group(EXTRAS)
        for index, state in enumerate(copies(_seed_states(model))):
            extras[f"seeds/{index}"] = state
        if epochs is not None:
            extras.attrs["epochs"] = epochs
        if with_optimizer:
            extras.attrs["iterations"] = _iterations(model)
            extras.attrs["optimizer"] = _description(model)
        else:  # the optimizer belongs to a later `compile` than the weights
            file.pop("optimizer", None)


def load_state(
    model: keras.Model,
    path: Path,
    *,
    optimizer: bool = True,
    left_out: Callable[[str], None] | None = None,
) -> int | None:
    """Restores a checkpoint into a newly built model, so that training continues exactly.

    If a model is compiled again after its build, with another optimizer or other layers frozen,
    the optimizer's state does not fit the optimizer that `build` makes.

    Args:
        model: A model of the architecture that was saved. If it or one of its layers is not built
            yet, it is built from the build config beside the file.
        path: A checkpoint by Afina or by Keras Tuner.
        optimizer: Whether to restore iterations, moments and learning rate too.
        left_out: Called with a sentence if the optimizer's state does not fit, and only the weights
            are restored; None refuses such a checkpoint.

    Returns:
        Epochs trained when it was saved; None if the file does not say.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it does not fit the model.
    """
    if not path.is_file():
        raise CheckpointError(
            wrong("checkpoint", "must exist to be loaded", str(path), "It may have been pruned.")
        )
    if not overrides(model, "load_weights") and not (model.built and _all_built(model)):
        _build(model, path.parent / BUILD_CONFIG)
    main = getattr(model, "optimizer", None)
    if isinstance(main, keras.optimizers.Optimizer) and not main.built:
        main.build(model.trainable_variables)
    try:
        extras = _read_extras(path)
        known = None if extras is None else extras.optimizer
        whole = _load_weights(model, path, optimizer, fits=known in (None, _description(model)))
        if extras is not None:
            assign(_seed_states(model), extras.seeds)
    except (ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            wrong(
                f"checkpoint {path}",
                "must hold the weights of this very model",
                str(error),
                "Has build(hp) changed since it was written?",
            )
        ) from error
    if extras is not None and extras.iterations == 0:  # no state is lost
        return extras.epochs
    if not whole and left_out is not None:
        left_out(LEFT_OUT)
    elif not whole and extras is None:  # a file that Keras wrote alone
        warnings.warn(LEFT_OUT, stacklevel=2)
    elif not whole and extras is not None and extras.iterations is not None:
        raise CheckpointError(
            wrong(
                f"checkpoint {path}",
                "must hold the state of this model's optimizer",
                f"another optimizer's, after {extras.iterations} steps",
                "Has the optimizer in build(hp) changed since it was written?",
            )
        )
    return None if extras is None else extras.epochs


def _load_weights(model: keras.Model, path: Path, optimizer: bool, *, fits: bool) -> bool:
    """Loads the weights, and the states of the optimizers as far as they fit.

    Args:
        model: Built.
        path: The checkpoint.
        optimizer: Whether to load the states of optimizers.
        fits: Whether the file's first optimizer is of the kind that the model has.

    Returns:
        Whether everything asked for could be loaded.
    """
    compiled = getattr(model, "optimizer", None)
    first = _with_inner([each for each in optimizers_of(model) if each is compiled])
    ours = _with_inner(optimizers_of(model))
    refused: list[bool] = []

    def take(each: Any, store: Any) -> None:
        if not optimizer:
            return
        before = copies(each.variables)
        try:
            if each in first and not fits:
                raise ValueError("the state of another kind of optimizer")
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "Skipping variable loading for optimizer")
                type(each).load_own_variables(each, store)
        except Exception:  # what fits so far must not stay
            assign(each.variables, before)
            refused.append(True)

    missed: list[str] = []

    def miss(layer: Any, store: Any) -> None:
        if len(store.keys()):
            missed.append(layer.name)

    # Keras asks each object to load itself. Many layers that are not built would skip it silently.
    loaders: dict[int, tuple[Any, Callable[[Any, Any], None]]]
    loaders = {id(each): (each, take) for each in ours}
    if not overrides(model, "load_weights"):
        loaders |= {id(each): (each, miss) for each in layers_of(model) if not each.built}
    for each, loader in loaders.values():
        each.load_own_variables = functools.partial(loader, each)
    try:
        model.load_weights(path)
    finally:
        for each, _ in loaders.values():
            del each.load_own_variables
    if missed:
        raise ValueError(f"layer {missed[0]!r} has no variables yet, so it cannot load any")
    return not refused


def _with_inner(optimizers: Sequence[Any]) -> list[Any]:
    """The optimizers, and those that they wrap (loss scaling, one optimizer for each layer)."""
    found: list[Any] = []
    waiting = list(optimizers)
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, keras.optimizers.Optimizer) and not any(each is x for x in found):
            found.append(each)
            waiting += keras.tree.flatten([getattr(each, name, None) for name in INNER])
    return found


@dataclass(frozen=True, slots=True)
class _Extras:
    """What a checkpoint holds besides Keras' own groups."""

    seeds: list[Array]
    epochs: int | None
    iterations: int | None
    """Steps of the compiled optimizer; None if its state was left out."""

    optimizer: str | None
    """`_description` of the model whose optimizer it holds; None if the file does not say."""


def _read_extras(path: Path) -> _Extras | None:
    """Our group of a checkpoint; None for a file that Keras wrote alone."""
    with h5py.File(path, "r") as file:
        if EXTRAS not in file:
            return None
        group = file[EXTRAS]
        stored = group.get("seeds", {})
        epochs, iterations = group.attrs.get("epochs"), group.attrs.get("iterations")
        described = group.attrs.get("optimizer")
        return _Extras(
            seeds=[np.array(stored[str(index)]) for index in range(len(stored))],
            epochs=None if epochs is None else int(epochs),
            iterations=None if iterations is None else int(iterations),
            optimizer=None if described is None else str(described),
        )


def _seed_states(model: keras.Model) -> list[Any]:
    """The variables that Keras leaves out of a weights file: the states of seed generators."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _iterations(model: keras.Model) -> int:
    """Steps that the compiled optimizer has done; 0 without one."""
    optimizer = getattr(model, "optimizer", None)
    return int(optimizer.iterations) if isinstance(optimizer, keras.optimizers.Optimizer) else 0


def _description(model: keras.Model) -> str:
    """What the compiled optimizer's state depends on: its class, and which weights are trained.

    The shapes alone would not distinguish momentum from mean squares, nor two layers of one size.
    """
    trained = {id(variable) for variable in model.trainable_variables}
    places = [str(at) for at, weight in enumerate(model.weights) if id(weight) in trained]
    return f"{type(getattr(model, 'optimizer', None)).__name__} of weights {','.join(places)}"


def _save_build_config(model: keras.Model, path: Path) -> None:
    config = model.get_build_config()
    if not config:
        return
    part = _part(path)
    try:
        part.write_text(json.dumps(config), encoding="utf-8")
    except TypeError:  # a config of the user's that is not JSON: only an unbuilt model needs it
        part.unlink(missing_ok=True)
    else:
        os.replace(part, path)  # not worth a sync: only a model that is returned unbuilt needs it


def _all_built(model: keras.Model) -> bool:
    """Whether each layer has its variables: a model whose own `build` only makes layers is built
    before they are. A layer that is never called stays so."""
    return all(layer.built for layer in layers_of(model))


def _build(model: keras.Model, path: Path) -> None:
    """Creates the variables of a model, or of layers of it, that was returned unbuilt."""
    config = _shapes(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    if not model.built:
        with warnings.catch_warnings():  # Keras warns where it gives up; the next lines do not
            warnings.filterwarnings("ignore", "Model .* had a build config", UserWarning)
            model.build_from_config(config)
    if not model.built:
        _call(model, config)  # e.g. inputs in a dict
    elif not _all_built(model):
        with contextlib.suppress(Exception):  # a layer that has variables to load will say so
            _call(model, config)
    if not model.built:
        raise CheckpointError(
            wrong(
                f"model {model.name!r}",
                f"must be built, or buildable from {BUILD_CONFIG}, to load weights",
                "no variables",
                "Begin it with keras.Input(shape).",
            )
        )


def _call(model: keras.Model, config: dict[str, Any]) -> None:
    """Calls the model with symbolic inputs of its build config, if that has their shapes."""
    if "input_shape" in config:
        model(_tensors(config["input_shape"]))
    elif "shapes_dict" in config:
        shapes = config["shapes_dict"]
        model(**{name.removesuffix("_shape"): _tensors(shapes[name]) for name in shapes})


def _shapes(value: Any) -> Any:
    """Turns lists of numbers into tuples: JSON has no tuples, and to Keras a tuple is a shape."""
    if isinstance(value, dict):
        return {key: _shapes(item) for key, item in value.items()}
    if isinstance(value, list):
        if all(item is None or isinstance(item, int) for item in value):
            return tuple(value)
        return [_shapes(item) for item in value]
    return value


def _tensors(shapes: Any) -> Any:
    """Symbolic inputs of these shapes; calling a model with them creates its variables."""
    if isinstance(shapes, dict):
        return {key: _tensors(shape) for key, shape in shapes.items()}
    if isinstance(shapes, list):
        return [_tensors(shape) for shape in shapes]
    return keras.KerasTensor(shapes)


def remove_checkpoint(path: Path) -> bool:
    """Deletes a checkpoint and the files beside it; returns whether there was one."""
    existed = path.is_file()
    for file in (path, path.parent / BUILD_CONFIG):
        file.unlink(missing_ok=True)
        _part(file).unlink(missing_ok=True)
    return existed


def _part(path: Path) -> Path:
    """Where a file is written before it gets its name. The name is fixed, so that the next process
    overwrites what a killed one left; Keras requires the ending of a checkpoint."""
    name, _, ending = path.name.partition(".")
    return path.with_name(f".{name}.part.{ending}")


def replace_file(part: Path, path: Path) -> None:
    """Gives the written file its name, once its bytes are on the disk."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def learning_rate(model: Any) -> float | None:
    """The current learning rate of a compiled model; None if a schedule sets it."""
    optimizer = model.optimizer
    if optimizer is None or not isinstance(rate_of(optimizer), keras.Variable):
        return None
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
