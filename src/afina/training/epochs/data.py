"""The data of a search, placed on the device once and shared by all its trials, on any backend.

Arrays are recognised by their identity and a look at some of their numbers, so a callback that
augments them in place, or a `build` that scales them, makes them other data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts

LOOKS = 64
"""How many rows, and how many numbers in each, are looked at to see changes made in place."""


class Compressed(Protocol):
    """Inputs in a form of a backend's own, in place of a NumPy array."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        ...

    def dense(self) -> NDArray[Any]:
        """The inputs as a NumPy array."""
        ...

    def signature(self) -> tuple[Any, ...]:
        """The shapes and types that a program is compiled for."""
        ...


Place = Callable[[Any, Any], Any]
"""Puts a leaf onto a device: not the user's own memory, which may change, but a copy."""


@dataclass(frozen=True)
class Arrays:
    """Inputs, targets and sample weights, in the types in which batches of them reach a model."""

    structure: Any
    """`(x,)`, `(x, y)` or `(x, y, sample_weight)`, each leaf an index into `leaves`."""

    leaves: tuple[Any, ...]
    """NumPy arrays; the inputs may be `Compressed`."""

    place: Place = field(compare=False)

    placed: dict[Any, tuple[Any, ...]] = field(default_factory=dict, compare=False)
    """The leaves on devices, by device."""

    _dense: list[Arrays] = field(default_factory=list, compare=False)

    @classmethod
    def read(
        cls,
        batches: keras_parts.Batches,
        place: Place,
        compress: Callable[[NDArray[Any]], Compressed | None] | None = None,
    ) -> Arrays:
        """The arrays behind some batches.

        Args:
            batches: Keras' view of the samples.
            place: Puts a leaf onto a device.
            compress: Compresses inputs, or returns None if that does not pay.
        """
        arrays = batches.arrays()
        leaves: list[Any] = []

        def number(leaf: Any) -> int | None:
            if leaf is None:
                return None
            leaves.append(leaf)
            return len(leaves) - 1

        structure = keras.tree.map_structure(number, arrays, none_is_leaf=True)
        if compress is not None and isinstance(arrays[0], np.ndarray):
            leaves[0] = compress(leaves[0]) or leaves[0]
        return cls(structure, tuple(leaves), place)

    @property
    def is_sparse(self) -> bool:
        """Whether the inputs are kept by their non-zeros."""
        return not isinstance(self.leaves[0], np.ndarray)

    @property
    def nbytes(self) -> int:
        """Bytes of all leaves."""
        return sum(leaf.nbytes for leaf in self.leaves)

    def on(self, device: Any) -> tuple[Any, ...]:
        """The leaves on a device; copied there the first time only."""
        if device not in self.placed:
            self.placed[device] = tuple(self.place(leaf, device) for leaf in self.leaves)
        return self.placed[device]

    def dense(self) -> Arrays:
        """These arrays with dense inputs, for models that cannot read sparse ones."""
        if not self.is_sparse:
            return self
        if not self._dense:
            leaves = self.leaves[0].dense(), *self.leaves[1:]
            self._dense.append(Arrays(self.structure, leaves, self.place))
        return self._dense[0]

    def signature(self) -> tuple[Any, ...]:
        """The structure, shapes and types that a program is compiled for."""
        return str(self.structure), tuple(
            (leaf.shape, str(leaf.dtype)) if isinstance(leaf, np.ndarray) else leaf.signature()
            for leaf in self.leaves
        )


@dataclass(frozen=True)
class Samples:
    """The training or the validation samples of one training."""

    batches: keras_parts.Batches
    """Keras' view of the samples: sizes, order, building."""

    arrays: Arrays
    """All of them, shared by the trainings of the search."""

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.batches.size

    def dense(self) -> Samples:
        """These samples with dense inputs."""
        return Samples(self.batches, self.arrays.dense())


class DataCache:
    """Remembers the arrays of recent arguments of `fit`, by their identity.

    Args:
        place: Puts a leaf onto a device.
        compress: Compresses inputs, or returns None if that does not pay.
        most: How many different arguments are remembered; a search has one or two.
        batches: Keras' view of the samples on the backend.
    """

    def __init__(
        self,
        place: Place,
        compress: Callable[[NDArray[Any]], Compressed | None] | None = None,
        *,
        most: int = 4,
        batches: type[keras_parts.Batches] = keras_parts.Batches,
    ) -> None:
        self.place = place
        self.compress = compress
        self.batches = batches
        self.most = most
        self._lock = threading.Lock()
        self._splits: dict[Any, tuple[Any, Any]] = {}
        self._arrays: dict[Any, tuple[Any, Arrays]] = {}

    def forget(self) -> None:
        """Forgets all data; they are read again when they are needed."""
        with self._lock:
            self._splits.clear()
            self._arrays.clear()

    def parts(self, given: Mapping[str, Any]) -> tuple[Samples, Samples | None]:
        """The training and validation samples in the arguments of `fit`, all given by name.

        Raises:
            ValueError: Keras refuses the data.
        """
        train = given["x"], given["y"], given["sample_weight"]
        validation = given["validation_data"]
        if validation is None and given["validation_split"]:
            train, validation = self._split(train, given["validation_split"])
        elif validation is not None:
            validation = (*validation, None, None)[:3]
        size = given["batch_size"]
        trained = self._samples(train, size, given["shuffle"], given["class_weight"])
        if validation is None:
            return trained, None
        tested = self._samples(validation, given["validation_batch_size"] or size, False, None)
        return trained, tested

    def look(self, given: Mapping[str, Any]) -> int:
        """A number that almost certainly changes when an array among the arguments is changed in
        place."""
        names = ("x", "y", "sample_weight", "validation_data")
        return _look([given[name] for name in names])

    def _split(self, arrays: Any, fraction: float) -> tuple[Any, Any]:
        key = (_identity(arrays), _look(arrays), fraction)
        with self._lock:
            if key not in self._splits:
                _forget_oldest(self._splits, self.most)
                # The arrays are kept: otherwise others could get their identity.
                self._splits[key] = (arrays, keras_parts.split(arrays, fraction))
            parts: tuple[Any, Any] = self._splits[key][1]
            return parts

    def _samples(self, arrays: Any, batch_size: Any, shuffle: Any, class_weight: Any) -> Samples:
        x, y, sample_weight = arrays
        batches = self.batches(
            x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, class_weight=class_weight
        )
        floats = keras.config.floatx()
        key = (_identity(arrays), _look(arrays), repr(class_weight), floats)
        with self._lock:
            if key not in self._arrays:
                _forget_oldest(self._arrays, self.most)
                self._arrays[key] = (arrays, Arrays.read(batches, self.place, self.compress))
            return Samples(batches, self._arrays[key][1])


def _identity(arrays: Any) -> tuple[Any, ...]:
    leaves = keras.tree.flatten(arrays)
    return (repr(keras.tree.map_structure(lambda _: 0, arrays)), *map(id, leaves))


def _look(arrays: Any) -> int:
    """A hash of some of the numbers, to see when they have changed."""
    return hash(tuple(_some(leaf).tobytes() for leaf in keras.tree.flatten(arrays)))


def _some(leaf: Any) -> NDArray[Any]:
    """A few numbers of an array that may be changed in place; none of anything else."""
    if hasattr(leaf, "iloc"):
        some = np.asarray(leaf.iloc[:: max(1, len(leaf) // LOOKS)])
    elif isinstance(leaf, np.ndarray) and leaf.ndim:
        some = leaf
    else:
        return np.empty(0)
    rows = max(1, len(some) // (LOOKS if some.ndim > 1 else LOOKS**2))
    matrix = some if some.flags.c_contiguous else some[::rows]
    matrix = matrix.reshape(len(matrix), -1)
    every = max(1, matrix.shape[1] // LOOKS)
    return matrix[:: rows if matrix.shape[0] == len(some) else 1, ::every]


def _forget_oldest(cache: dict[Any, Any], most: int) -> None:
    while len(cache) >= most:
        del cache[next(iter(cache))]
