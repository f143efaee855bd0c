"""Writes the arrays of one job to a file, so that all rivals read the very same.

    python benchmarks/speed/prepare.py F arrays.npz [--thin 10]

A process of its own: whoever holds the arrays would hand its peak memory down to its children.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from afina.demos.data import SOURCES, load_fashion_mnist, load_reuters, multi_hot, one_hot

WORDS = 10_000
LENGTH = 80
REAL = tuple(source for source in SOURCES if source != "stand-in")
"""Other data in place of the real ones would make other figures."""


def fashion(thin: int) -> tuple[str, dict[str, np.ndarray]]:
    pictures = load_fashion_mnist(REAL)
    count = len(pictures.x_train) // thin
    return pictures.source, {"x": pictures.x_train[:count], "y": pictures.y_train[:count]}


def reuters(thin: int) -> tuple[str, dict[str, np.ndarray]]:
    news = load_reuters(WORDS, REAL)
    topics = len(news.topics)
    train = slice(len(news.x_train) // thin)
    chooses = slice(len(news.x_test) // 2 // thin)
    return news.source, {
        "x": multi_hot(news.x_train[train], WORDS),
        "y": one_hot(news.y_train[train], topics),
        "x_val": multi_hot(news.x_test[chooses], WORDS),
        "y_val": one_hot(news.y_test[chooses], topics),
    }


def sequences(thin: int) -> tuple[str, dict[str, np.ndarray]]:
    """Texts as their last 80 word numbers, with zeros before shorter ones."""
    news = load_reuters(WORDS, REAL)

    def padded(texts: Sequence[np.ndarray]) -> np.ndarray:
        found = np.zeros((len(texts), LENGTH), np.int32)
        for row, text in zip(found, texts, strict=True):
            row[-len(text) :] = text[-LENGTH:]
        return found

    train = slice(len(news.x_train) // thin)
    chooses = slice(len(news.x_test) // 2 // thin)
    return news.source, {
        "x": padded(news.x_train[train]),
        "y": news.y_train[train],
        "x_val": padded(news.x_test[chooses]),
        "y_val": news.y_test[chooses],
    }


def table(thin: int) -> tuple[str, dict[str, np.ndarray]]:
    """Rows of two classes: the sign of a few products of columns, and noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000 // thin, 30)).astype(np.float32)
    score = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + x[:, 4] + 0.5 * rng.normal(size=len(x))
    return "generated", {"x": x, "y": (score > 0).astype(np.float32)}


MAKERS = {"F": fashion, "R": reuters, "CNN": fashion, "GRU": sequences, "TABULAR": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", choices=list(MAKERS))
    parser.add_argument("path")
    parser.add_argument("--thin", type=int, default=1, help="keep one row in so many")
    options = parser.parse_args()
    source, arrays = MAKERS[options.job](options.thin)
    np.savez(options.path, source=np.array(source), **arrays)


if __name__ == "__main__":
    main()
