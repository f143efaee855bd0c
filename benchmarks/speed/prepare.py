"""Writes the arrays of one job to a file, so that all rivals read the very same.

    python benchmarks/speed/prepare.py F arrays.npz [--thin 10]

A process of its own: whoever holds the arrays would hand its peak memory down to its children.
"""

from __future__ import annotations

import argparse

import numpy as np

from afina.demos.data import SOURCES, load_fashion_mnist, load_reuters, multi_hot, one_hot

WORDS = 10_000
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=["F", "R"])
    parser.add_argument("path")
    parser.add_argument("--thin", type=int, default=1, help="keep one row in so many")
    options = parser.parse_args()
    source, arrays = {"F": fashion, "R": reuters}[options.job](options.thin)
    np.savez(options.path, source=np.array(source), **arrays)


if __name__ == "__main__":
    main()
