"""Folds for cross-validation of Keras models: which rows train, and which rows validate.

    cv=5, a splitter or pairs ──> Folds.prepare(args, kwargs) ──> Folds.arguments(fold, ...)

The folds are the same for all trials of a search, so that trials can be compared fold by fold.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, DataError, check_whole, wrong
from afina.training.data import are_arrays, by_name
from afina.tuners.cross_validation import take_rows

Index = NDArray[np.intp]
Split = tuple[Index, Index]
"""The rows to train on and the rows to validate on."""

FEW_CLASSES = 0.5
"""Whole numbers are classes if at most so many are different, as a share of all rows."""

GROUPS = "groups"
"""The argument of `search` that goes to the splitter, and not to `fit`."""

LARGEST = 1 << 30
"""Bytes of data up to which the rows of all folds are kept; else each training copies its own."""


class Folds:
    """The folds of a search, and the data of each.

    Args:
        cv: A number of folds, a splitter as those of scikit-learn, or pairs of row numbers. None
            is no cross-validation.
        seed: Shuffles the rows if `cv` is a number.

    Raises:
        ArgumentError: `cv` is nothing of these.
    """

    def __init__(self, cv: Any, seed: int = 0) -> None:
        check_cv(cv)
        self.cv = cv
        self.seed = seed
        self.splits: tuple[Split, ...] = ()
        self._kept: dict[tuple[int, ...], Any] = {}
        self._here = threading.local()

    def __bool__(self) -> bool:
        return self.cv is not None

    def __len__(self) -> int:
        return len(self.splits)

    def __reduce__(self) -> Any:
        # Worker processes get the rows of each fold, and copy the data themselves.
        return _restored, (self.cv, self.seed, self.splits)

    @property
    def current(self) -> int | None:
        """The fold that the calling thread trains; None outside of a training."""
        return getattr(self._here, "fold", None)

    @contextmanager
    def training(self, fold: int) -> Iterator[None]:
        """Within the block, the calling thread trains this fold."""
        self._here.fold = fold
        try:
            yield
        finally:
            self._here.fold = None

    def prepare(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Splits the rows of the data that `search` was given.

        Raises:
            ArgumentError: Validation data were given too, or `cv` does not split the rows.
            DataError: The data are not arrays.
        """
        given = by_name(args, kwargs)
        for name in ("validation_data", "validation_split"):
            if given.get(name) is not None and given.get(name) != 0:
                advice = "Each fold validates on the rows that it does not train on."
                rule = "must not be given together with cv"
                raise ArgumentError(wrong(name, rule, _shown(given[name]), advice))
        for name in ("x", "y", "sample_weight"):
            part = given.get(name)
            if not (are_arrays(part) or (part is None and name != "x")):
                advice = "Read streams into arrays first, or validate without cv."
                rule = "must be an array, or a dict or list of arrays, for cv"
                raise DataError(wrong(name, rule, type(part).__name__, advice))
        count = len(next(iter(keras.tree.flatten(given["x"]))))
        self.forget()
        self.splits = self._split(given["x"], given.get("y"), given.get(GROUPS), count)

    def _split(self, x: Any, y: Any, groups: Any, count: int) -> tuple[Split, ...]:
        if isinstance(self.cv, int | np.integer):
            if self.cv > count:
                rule = f"must not exceed the number of rows ({count})"
                raise ArgumentError(wrong("cv", rule, self.cv))
            return shuffled_folds(y, count, int(self.cv), self.seed)
        if not hasattr(self.cv, "split"):
            return _checked(self.cv, count)
        # A splitter looks at the number of rows and at the targets.
        places, targets = np.zeros((count, 1)), _labels(y)
        first = _checked(self.cv.split(places, targets, groups), count)
        again = _checked(self.cv.split(places, targets, groups), count)
        if not all(np.array_equal(a, b) for a, b in zip(_flat(first), _flat(again), strict=True)):
            rule = "must split in the same way each time"
            advice = "Give the splitter a random_state, or shuffle=False."
            raise ArgumentError(wrong("cv", rule, self.cv, advice))
        return first

    def arguments(
        self, fold: int, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of `fit` for one fold, from those of `search`."""
        train, test = self.splits[fold]
        named = {name: value for name, value in kwargs.items() if name != GROUPS}
        given = by_name(args, named)
        rows = {name: given.get(name) for name in ("x", "y", "sample_weight")}
        ours = {name: self._rows(name, part, train, fold, 0) for name, part in rows.items()}
        theirs = [self._rows(name, part, test, fold, 1) for name, part in rows.items()]
        while len(theirs) > 1 and theirs[-1] is None:
            theirs.pop()
        names = list(by_name(range(20), {}))[: len(args)]
        changed = tuple(ours.get(n, a) for n, a in zip(names, args, strict=True))
        named.update({n: part for n, part in ours.items() if n in named})
        named["validation_data"] = tuple(theirs) if len(theirs) > 1 else theirs[0]
        return changed, named

    def _rows(self, name: str, part: Any, index: Index, fold: int, side: int) -> Any:
        if part is None:
            return None
        leaves = keras.tree.flatten(part)
        key = (fold, side, *map(id, leaves))
        if key not in self._kept:
            found = keras.tree.map_structure(lambda leaf: take(leaf, index), part)
            if not self._are_kept(leaves):
                return found
            self._kept[key] = (found, part)  # so that no other array gets its identity
        return self._kept[key][0]

    def are_kept(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether the rows of each fold are the same arrays for all trials of the search."""
        given = by_name(args, kwargs)
        parts = [given.get(name) for name in ("x", "y", "sample_weight")]
        return all(self._are_kept(keras.tree.flatten(part)) for part in parts if part is not None)

    def _are_kept(self, leaves: Sequence[Any]) -> bool:
        size = sum(getattr(leaf, "nbytes", 0) for leaf in leaves)
        return size * len(self) <= LARGEST

    def forget(self) -> None:
        """Lets go of the data; the rows of the folds stay."""
        self._kept.clear()


def _restored(cv: Any, seed: int, splits: tuple[Split, ...]) -> Folds:
    folds = Folds(cv, seed)
    folds.splits = splits
    return folds


def check_cv(cv: Any) -> None:
    """Raises ArgumentError for a `cv` that says nothing about folds."""
    if cv is None or (hasattr(cv, "split") and not isinstance(cv, str)):
        return
    if isinstance(cv, Sequence) and not isinstance(cv, str | bytes):
        return
    rule = "must be a number of folds from 2 up, a splitter with split(X, y, groups), or None"
    check_whole("cv", cv, least=2, rule=rule)


def shuffled_folds(y: Any, count: int, folds: int, seed: int) -> tuple[Split, ...]:
    """Shuffled folds of about equal size; each class is spread evenly over them.

    Args:
        y: Targets: class numbers, texts or one-hot rows count as classes. None for no targets.
        count: How many rows there are.
        folds: How many folds.
        seed: Fixes the shuffling.

    Example:
        >>> y = np.array([0] * 6 + [1] * 3)
        >>> [int(y[test].sum()) for _, test in shuffled_folds(y, 9, 3, seed=0)]
        [1, 1, 1]
    """
    rng = np.random.default_rng([seed, folds])
    labels = _labels(y)
    kinds = np.zeros(count, dtype=np.intp)
    if labels is not None and _are_classes(labels):
        kinds = np.unique(labels, return_inverse=True)[1].reshape(-1)
    order = rng.permutation(count)
    order = order[np.argsort(kinds[order], kind="stable")]
    fold_of = np.empty(count, dtype=np.intp)
    fold_of[order] = np.arange(count) % folds
    return tuple(
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(folds)
    )


def _labels(y: Any) -> Any:
    """(n,) one label a row, as splitters of scikit-learn take them; None if there is none."""
    leaves = [] if y is None else keras.tree.flatten(y)
    if len(leaves) != 1:
        return None
    labels = np.asarray(leaves[0])
    if labels.ndim == 2 and labels.shape[1] > 1:
        one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
        return labels.argmax(axis=1) if one_hot else None
    return labels.reshape(len(labels)) if labels.size == len(labels) else None


def _are_classes(labels: Any) -> bool:
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels % 1 == 0).all()):
        return False
    return len(np.unique(labels)) <= max(2, FEW_CLASSES * len(labels))


def _checked(pairs: Any, count: int) -> tuple[Split, ...]:
    splits = []
    for pair in pairs:
        try:
            train, test = (np.asarray(part, dtype=np.intp).reshape(-1) for part in pair)
        except (TypeError, ValueError) as error:
            rule = "must give pairs of row numbers: (train, validate)"
            raise ArgumentError(wrong("cv", rule, _shown(pair))) from error
        both = np.concatenate([train, test])
        if not len(train) or not len(test) or both.min() < 0 or both.max() >= count:
            rule = f"each fold must train and validate on rows from 0 to {count - 1}"
            raise ArgumentError(wrong("cv", rule, (len(train), len(test))))
        splits.append((train, test))
    if len(splits) < 2:
        raise ArgumentError(wrong("cv", "must give at least 2 folds", len(splits)))
    return tuple(splits)


def _flat(splits: Sequence[Split]) -> list[Index]:
    return [part for split in splits for part in split]


def take(data: Any, index: Index) -> Any:
    """Some rows of an array or a table, in the order of `index`, of the same kind if it can be."""
    kept = isinstance(data, np.ndarray) or hasattr(data, "iloc") or hasattr(data, "tocsr")
    return take_rows(data if kept else np.asarray(data), index)


def _shown(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else type(value).__name__
