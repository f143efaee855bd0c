"""The data of the case studies, and where they come from.

Sources, in this order:

1. `folder`: the folder in the environment variable `AFINA_DATA`;
2. `cache`: earlier downloads of Keras (in `KERAS_HOME`, or `.keras` in the home folder);
3. `download`: Keras's own download, which gives up quickly without a network;
4. `stand-in`: data that every installation has. Then `stand_in` is True, so that nobody
   mistakes the results for those of the real data.

NumPy reads the files. Keras must not read from the user's folder: it deletes a file with an
unexpected checksum, even if it cannot download another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from afina.demos import files, stand_ins
from afina.demos.files import Corpus
from afina.errors import DataError, wrong

SOURCES = ("folder", "cache", "download", "stand-in")

FIRST_WORD = 3
"""Keras's convention: 1 starts a text, 2 replaces a rare word, r + 3 is the word of rank r."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newswires:
    """Texts as lists of word indices, and their topics."""

    source: str
    """Where they come from, in words."""

    stand_in: bool
    """Whether these are other data instead of the real newswires."""

    x_train: tuple[NDArray[np.int64], ...]
    """Word indices of each text, in Keras's convention (see `FIRST_WORD`)."""

    y_train: NDArray[np.int64]
    """Topic of each text: an index of `topics`."""

    x_test: tuple[NDArray[np.int64], ...]
    y_test: NDArray[np.int64]
    topics: tuple[str, ...]
    """Names of the topics."""

    words: tuple[str, ...]
    """Known words by rank; `words[0]` is the most frequent one and has index `FIRST_WORD + 1`."""

    def decode(self, text: Iterable[int]) -> str:
        """The words of a text; `?` for words that are too rare.

        Example:
            >>> few = Newswires(source="", stand_in=True, x_train=(), y_train=np.zeros(0, int),
            ...                 x_test=(), y_test=np.zeros(0, int), topics=(), words=("the", "oil"))
            >>> few.decode([1, 4, 2, 5])
            'the ? oil'
        """
        known = range(FIRST_WORD + 1, FIRST_WORD + 1 + len(self.words))
        return " ".join(
            self.words[number - FIRST_WORD - 1] if number in known else "?"
            for number in map(int, text)
            if number != 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Grey images and their classes."""

    source: str
    """Where they come from, in words."""

    stand_in: bool
    """Whether these are other data instead of the real images."""

    x_train: NDArray[np.float32]
    """(n, height, width); 0 is black and 1 is white."""

    y_train: NDArray[np.int64]
    """Class of each image: an index of `classes`."""

    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    classes: tuple[str, ...]
    """Names of the classes."""


def load_reuters(num_words: int = 10_000, sources: Sequence[str] = SOURCES) -> Newswires:
    """Loads the Reuters newswires, split as Keras splits them.

    Args:
        num_words: Word indices below this are kept; rarer words become 2.
        sources: The sources to try; see the module's text.

    Raises:
        DataError: None of `sources` has them.
    """
    corpus, source, stand_in = _first(
        sources,
        {
            "folder": files.newswires_in_folder,
            "cache": files.newswires_in_cache,
            "download": files.newswires_downloaded,
            "stand-in": stand_ins.standard_library_functions,
        },
    )
    return _newswires(corpus, num_words, source, stand_in)


def load_fashion_mnist(sources: Sequence[str] = SOURCES) -> Pictures:
    """Loads the Fashion-MNIST pictures, in their canonical order and split.

    Args:
        sources: The sources to try; see the module's text.

    Raises:
        DataError: None of `sources` has them.
    """
    album, source, stand_in = _first(
        sources,
        {
            "folder": files.pictures_in_folder,
            "cache": files.pictures_in_cache,
            "download": files.pictures_downloaded,
            "stand-in": stand_ins.handwritten_digits,
        },
    )
    scale = np.float32(album.white)
    return Pictures(
        source=source,
        stand_in=stand_in,
        x_train=album.x_train.astype(np.float32) / scale,
        y_train=album.y_train.astype(np.int64),
        x_test=album.x_test.astype(np.float32) / scale,
        y_test=album.y_test.astype(np.int64),
        classes=album.classes,
    )


def multi_hot(texts: Sequence[NDArray[np.int64]], num_words: int = 10_000) -> NDArray[np.float32]:
    """Rows with a 1 for each word that occurs in the text, (texts, num_words).

    Example:
        >>> multi_hot([np.array([1, 3, 3]), np.array([0])], num_words=4).tolist()
        [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    """
    rows = np.zeros((len(texts), num_words), np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[text] = 1.0
    return rows


def one_hot(labels: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Rows with a 1 at the label's index, (labels, count)."""
    return np.eye(count, dtype=np.float32)[labels]


def thinned(news: Newswires, limit: int) -> Newswires:
    """At most the first `limit` texts of both parts, to try things out."""
    return replace(
        news,
        x_train=news.x_train[:limit],
        y_train=news.y_train[:limit],
        x_test=news.x_test[:limit],
        y_test=news.y_test[:limit],
    )


T = TypeVar("T")


def _first(
    sources: Sequence[str], finders: dict[str, Callable[[], tuple[T, str] | None]]
) -> tuple[T, str, bool]:
    """The data of the first source that has them, its description, and whether it is a stand-in."""
    for unknown in set(sources) - set(finders):
        raise DataError(wrong("sources", f"each must be one of {SOURCES}", unknown))
    for name, find in finders.items():
        found = find() if name in sources else None
        if found is not None:
            return *found, name == "stand-in"
    raise DataError(
        wrong(
            "data",
            "one of the allowed sources must have them",
            tuple(sources),
            "Name their folder in the environment variable AFINA_DATA, or allow the download.",
        )
    )


def _newswires(corpus: Corpus, num_words: int, source: str, stand_in: bool) -> Newswires:
    """Converts ranked texts to Keras's form and split."""
    # Keras shuffles with this generator, so others report results for the same split.
    order = np.arange(len(corpus.texts))
    np.random.RandomState(113).shuffle(order)
    texts = [_numbered(corpus.texts[place], num_words) for place in order]
    labels = corpus.labels[order].astype(np.int64)
    cut = int(len(texts) * 0.8)
    return Newswires(
        source=source,
        stand_in=stand_in,
        x_train=tuple(texts[:cut]),
        y_train=labels[:cut],
        x_test=tuple(texts[cut:]),
        y_test=labels[cut:],
        topics=corpus.topics,
        words=corpus.words,
    )


def _numbered(ranks: NDArray[np.int64], num_words: int) -> NDArray[np.int64]:
    numbers = np.concatenate([[1], np.asarray(ranks, np.int64) + FIRST_WORD])
    return np.where(numbers < num_words, numbers, 2)
