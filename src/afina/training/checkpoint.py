"""Checkpoints: a training's whole state in one file, which plain Keras can read too.

The file is what `model.save_weights` writes, which holds the weights and the optimizer, plus one
group of our own for what Keras leaves out: the states of seed generators and the epoch. One file
that is replaced in one step is whole at any moment, however the process ends.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np

from afina.errors import StoreError, wrong
from afina.training.snapshot import (
    Array,
    Snapshot,
    applied,
    apply_snapshot,
    assign,
    copies,
    optimizers_of,
)

CHECKPOINT = "checkpoint.weights.h5"
"""The file's name within a trial's folder, as in Keras Tuner."""

BUILD_CONFIG = "build_config.json"
"""Beside it: the input shapes, for models that only their first batch builds."""

EXTRAS = "afina"
"""Our group within the file; Keras reads the groups that it knows by name."""


def save_state(model: keras.Model, path: Path, *, epochs: int | None = None) -> None:
    """Writes weights, optimizer and seed generators; the old file stays whole until the new is.

    Args:
        model: Built, i.e. with variables.
        path: Ends in ".weights.h5"; its folder is made.
        epochs: Epochs trained so far, kept with the state.

    Raises:
        StoreError: The model is not built.
    """
    _save(model, path, epochs=epochs, with_optimizer=True)


def save_snapshot(
    snapshot: Snapshot, model: keras.Model, path: Path, *, restore: bool = True
) -> None:
    """Writes a snapshot in the same format; the model lends its structure.

    Args:
        snapshot: What to write.
        model: Of the same architecture.
        path: As for `save_state`.
        restore: False leaves the model in the snapshot's state, which is quicker.

    Raises:
        StoreError: The model has other variables than the snapshot.
    """
    if not restore:
        both = apply_snapshot(snapshot, model)
        _save(model, path, epochs=snapshot.epochs, with_optimizer=both)
        return
    with applied(snapshot, model) as optimizer_too:
        _save(model, path, epochs=snapshot.epochs, with_optimizer=optimizer_too)


def _save(model: keras.Model, path: Path, *, epochs: int | None, with_optimizer: bool) -> None:
    if not model.built:
        raise StoreError(
            wrong(
                f"model {model.name!r}",
                "must be built before it is saved",
                "no variables",
                "Train it, or begin it with keras.Input(shape).",
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _save_build_config(model, path.parent / BUILD_CONFIG)
    part = _part(path)
    try:
        with warnings.catch_warnings():
            # Keras hands its variables to NumPy in a way that NumPy 2 deprecates.
            warnings.filterwarnings("ignore", "__array__", DeprecationWarning)
            model.save_weights(part)
        _add_extras(model, part, epochs=epochs, with_optimizer=with_optimizer)
        _replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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
        else:  # it belongs to a later `compile` than the weights
            file.pop("optimizer", None)


def load_state(model: keras.Model, path: Path, *, optimizer: bool = True) -> int | None:
    """Restores a checkpoint into a freshly built model, so that training goes on exactly.

    Args:
        model: Of the architecture that was saved. One that is not built yet is built from the
            build config beside the file.
        path: The checkpoint, by Afina or by Keras Tuner.
        optimizer: Also restore iterations, moments and learning rate; else the optimizer is
            left as it is.

    Returns:
        Epochs trained when it was saved; None where the file does not tell.

    Raises:
        StoreError: There is no such file, it is damaged, or it does not fit the model.
    """
    if not path.is_file():
        raise StoreError(
            wrong("checkpoint", "must exist to be loaded", str(path), "It may have been pruned.")
        )
    if not model.built:
        _build(model, path.parent / BUILD_CONFIG)
    main = getattr(model, "optimizer", None)
    if main is not None and not main.built:
        main.build(model.trainable_variables)
    kept = [] if optimizer else [copies(each.variables) for each in optimizers_of(model)]
    try:
        extras = _read_extras(path)
        _load_weights(model, path, quiet=extras is not None or not optimizer)
        if extras is not None:
            assign(_seed_states(model), extras.seeds)
    except (ValueError, KeyError, OSError) as error:
        raise StoreError(
            wrong(
                f"checkpoint {path}",
                "must hold the weights of this very model",
                str(error),
                "Has build(hp) changed since it was written?",
            )
        ) from error
    if not optimizer:
        for each, values in zip(optimizers_of(model), kept, strict=True):
            assign(each.variables, values)
    elif extras is not None and extras.iterations not in (None, _iterations(model)):
        raise StoreError(
            wrong(
                f"checkpoint {path}",
                "must hold the state of this model's optimizer",
                f"another optimizer's, after {extras.iterations} steps",
                "Has the optimizer in build(hp) changed since it was written?",
            )
        )
    return None if extras is None else extras.epochs


def _load_weights(model: keras.Model, path: Path, *, quiet: bool) -> None:
    with warnings.catch_warnings():
        if quiet:  # an optimizer that does not fit is not asked for, or is an error of ours
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        model.load_weights(path)


@dataclass(frozen=True, slots=True)
class _Extras:
    """What a checkpoint holds beside Keras' own groups."""

    seeds: list[Array]
    epochs: int | None
    iterations: int | None
    """Steps of the compiled optimizer; None where its state was left out."""


def _read_extras(path: Path) -> _Extras | None:
    """Our group of a checkpoint; None for a file that Keras wrote alone."""
    with h5py.File(path, "r") as file:
        if EXTRAS not in file:
            return None
        group = file[EXTRAS]
        stored = group.get("seeds", {})
        epochs, iterations = group.attrs.get("epochs"), group.attrs.get("iterations")
        return _Extras(
            seeds=[np.array(stored[str(index)]) for index in range(len(stored))],
            epochs=None if epochs is None else int(epochs),
            iterations=None if iterations is None else int(iterations),
        )


def _seed_states(model: keras.Model) -> list[Any]:
    """The variables that Keras leaves out of a weights file: states of seed generators."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _iterations(model: keras.Model) -> int:
    """Steps that the compiled optimizer has made; 0 without one."""
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(optimizer.iterations)


def _save_build_config(model: keras.Model, path: Path) -> None:
    config = model.get_build_config()
    if not config:
        return
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(config), encoding="utf-8")
    except TypeError:  # a config of the user's own that is no JSON: only an unbuilt model needs it
        part.unlink(missing_ok=True)
    else:
        os.replace(part, path)  # not worth a sync: only a model that is returned unbuilt needs it


def _build(model: keras.Model, path: Path) -> None:
    """Creates the variables of a model that was returned unbuilt."""
    config = _shapes(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    with warnings.catch_warnings():  # Keras warns where it gives up; the next lines do not
        warnings.filterwarnings("ignore", "Model .* had a build config", UserWarning)
        model.build_from_config(config)
    if not model.built and "input_shape" in config:  # e.g. inputs in a dict
        model(_tensors(config["input_shape"]))
    if not model.built and "shapes_dict" in config:
        shapes = config["shapes_dict"]
        model(**{name.removesuffix("_shape"): _tensors(shapes[name]) for name in shapes})
    if not model.built:
        raise StoreError(
            wrong(
                f"model {model.name!r}",
                f"must be built, or buildable from {BUILD_CONFIG}, to load weights",
                "no variables",
                "Begin it with keras.Input(shape).",
            )
        )


def _shapes(value: Any) -> Any:
    """JSON has no tuples, and Keras tells a shape from a list of inputs by that."""
    if isinstance(value, dict):
        return {key: _shapes(item) for key, item in value.items()}
    if isinstance(value, list):
        if all(item is None or isinstance(item, int) for item in value):
            return tuple(value)
        return [_shapes(item) for item in value]
    return value


def _tensors(shapes: Any) -> Any:
    """Symbolic inputs of these shapes: calling a model with them creates its variables."""
    if isinstance(shapes, dict):
        return {key: _tensors(shape) for key, shape in shapes.items()}
    if isinstance(shapes, list):
        return [_tensors(shape) for shape in shapes]
    return keras.KerasTensor(shapes)


def remove_checkpoint(path: Path) -> bool:
    """Deletes a checkpoint with what lies beside it; whether there was one."""
    existed = path.is_file()
    for file in (path, path.parent / BUILD_CONFIG, _part(path)):
        file.unlink(missing_ok=True)
    return existed


def _part(path: Path) -> Path:
    """Where a checkpoint is written before it takes its name. A fixed name, so that what a
    killed process left is overwritten by the next; Keras asks for the ending."""
    return path.with_name("." + path.name.replace(".weights.h5", ".part.weights.h5"))


def _replace(part: Path, path: Path) -> None:
    """Gives the written file its name, once its bytes are on the disk."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def learning_rate(model: Any) -> float | None:
    """The rate that a compiled model's optimizer has now; None where a schedule sets it."""
    optimizer = model.optimizer
    if optimizer is None or not isinstance(optimizer._learning_rate, keras.Variable):
        return None
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
