"""How well a classifier separates its classes: confusion matrix, precision, recall and F1."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well one class is separated from the others."""

    name: str

    precision: float
    """The share of examples predicted as this class that belong to it; 0 if there are none."""

    recall: float
    """The share of examples of this class that are predicted as it; 0 if there are none."""

    f1: float
    """Harmonic mean of precision and recall; 0 if both are 0."""

    count: int
    """How many examples belong to this class."""


def accuracy(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """The share of correct predictions.

    Example:
        >>> accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
        0.75
    """
    return float(np.mean(true == predicted))


def confusion_matrix(
    true: NDArray[np.int64], predicted: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """(count, count) how often class i (row) was predicted as class j (column).

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    cells = np.bincount(true * count + predicted, minlength=count * count)
    return cells.reshape(count, count)


def class_scores(confusion: NDArray[np.int64], names: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of each class, in the order of the classes."""
    right = np.diag(confusion)
    taken, there = confusion.sum(axis=0), confusion.sum(axis=1)
    return [
        ClassScore(
            name=name,
            precision=_share(right[place], taken[place]),
            recall=_share(right[place], there[place]),
            f1=_share(2 * right[place], taken[place] + there[place]),
            count=int(there[place]),
        )
        for place, name in enumerate(names)
    ]


def mean_f1(scores: Sequence[ClassScore]) -> float:
    """F1 averaged over the classes that occur: rare classes count as much as frequent ones."""
    there = [score.f1 for score in scores if score.count]
    return float(np.mean(there)) if there else 0.0


def write_scores(scores: Sequence[ClassScore], file: Path) -> None:
    """Writes the table as CSV, one line for each class."""
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["class", "precision", "recall", "f1", "count"])
        for s in scores:
            table.writerow([s.name, *(f"{x:.4f}" for x in (s.precision, s.recall, s.f1)), s.count])


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
