"""Reads the files of the case studies: from a folder, Keras's cache, or Keras's download."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from afina.errors import DataError, wrong

TOPICS = (
    "cocoa, grain, veg-oil, earn, acq, wheat, copper, housing, money-supply, coffee, sugar, trade, "
    "reserves, ship, cotton, carcass, crude, nat-gas, cpi, money-fx, interest, gnp, meal-feed, "
    "alum, oilseed, gold, tin, strategic-metal, livestock, retail, ipi, iron-steel, rubber, heat, "
    "jobs, lei, bop, zinc, orange, pet-chem, dlr, gas, silver, wpi, hog, lead"
)
CLOTHES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
DOWNLOAD_SECONDS = 60
"""A download is aborted after this time."""

SILENCE_SECONDS = 5
"""A connection is aborted after this time without an answer."""

# Errors from reading a damaged or incomplete file.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Texts as lists of word ranks, before the split; the most frequent word has rank 1."""

    texts: tuple[NDArray[np.int64], ...]
    labels: NDArray[np.int64]
    topics: tuple[str, ...]
    words: tuple[str, ...]
    """By rank: `words[0]` has rank 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Album:
    """Images as they are stored, split into training and test data."""

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    white: int
    """The highest value of a pixel."""

    classes: tuple[str, ...]


def newswires_in_folder() -> tuple[Corpus, str] | None:
    """The newswires from the folder in `AFINA_DATA`; None if it does not have them."""
    return _in_folder("reuters", ("reuters_flat.npz", "reuters.npz"), read_newswires)


def pictures_in_folder() -> tuple[Album, str] | None:
    """The images from the folder in `AFINA_DATA`; None if it does not have them."""
    return _in_folder("fashion_mnist", ("fashion_mnist.npz",), read_pictures)


def newswires_in_cache() -> tuple[Corpus, str] | None:
    """The newswires from Keras's cache; None if it does not have them."""
    file = _keras_cache() / "reuters.npz"
    return _unless_unreadable(read_newswires, file, "Reuters newswires from Keras's cache")


def pictures_in_cache() -> tuple[Album, str] | None:
    """The images from Keras's cache; None if it does not have them."""
    folder = _keras_cache() / "fashion-mnist"
    return _unless_unreadable(read_idx_pictures, folder, "Fashion-MNIST from Keras's cache")


def newswires_downloaded() -> tuple[Corpus, str] | None:
    """Lets Keras download the newswires into its cache; None without a network."""
    load = "d = keras.datasets.reuters; d.load_data(); d.get_word_index()"
    return newswires_in_cache() if _keras_downloads(load) else None


def pictures_downloaded() -> tuple[Album, str] | None:
    """Lets Keras download the images into its cache; None without a network."""
    return (
        pictures_in_cache()
        if _keras_downloads("keras.datasets.fashion_mnist.load_data()")
        else None
    )


def read_newswires(file: Path) -> Corpus:
    """Reads Keras's `reuters.npz`, or `reuters_flat.npz`, which has no pickled lists."""
    if file.name == "reuters_flat.npz":
        with file.open("rb") as opened, np.load(opened) as arrays:
            tokens, offsets, labels = arrays["tokens"], arrays["offsets"], arrays["y"]
        texts = np.split(tokens.astype(np.int64), offsets[1:-1])
    else:
        # Pickled lists are only opened from the user's own folder or from Keras's cache.
        with file.open("rb") as opened, np.load(opened, allow_pickle=True) as arrays:
            texts, labels = [np.asarray(ranks, np.int64) for ranks in arrays["x"]], arrays["y"]
    rank_of = json.loads((file.parent / "reuters_word_index.json").read_text(encoding="utf-8"))
    return Corpus(
        texts=tuple(texts),
        labels=labels.astype(np.int64),
        topics=tuple(TOPICS.split(", ")),
        words=tuple(sorted(rank_of, key=rank_of.__getitem__)),
    )


def read_pictures(file: Path) -> Album:
    """Reads the four arrays of `fashion_mnist.npz`."""
    with file.open("rb") as opened, np.load(opened) as arrays:
        parts = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    return Album(**parts, white=255, classes=tuple(CLOTHES.split(", ")))


def read_idx_pictures(folder: Path) -> Album:
    """Reads the four gzipped idx files in which Fashion-MNIST is published."""

    def unpacked(name: str, head: int) -> NDArray[np.uint8]:
        with gzip.open(folder / f"{name}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=head)

    return Album(
        x_train=unpacked("train-images-idx3", 16).reshape(-1, 28, 28),
        y_train=unpacked("train-labels-idx1", 8),
        x_test=unpacked("t10k-images-idx3", 16).reshape(-1, 28, 28),
        y_test=unpacked("t10k-labels-idx1", 8),
        white=255,
        classes=tuple(CLOTHES.split(", ")),
    )


T = TypeVar("T")


def _in_folder(
    name: str, choices: tuple[str, ...], read: Callable[[Path], T]
) -> tuple[T, str] | None:
    given = os.environ.get("AFINA_DATA")
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DataError(wrong("AFINA_DATA", "must name a folder", given))
    for file in (place / choice for place in (folder / name, folder) for choice in choices):
        if file.is_file():
            try:
                return read(file), f"{file.name} in the folder that AFINA_DATA names"
            except _UNREADABLE as error:
                # The user chose this folder, so its damage must be reported.
                raise DataError(wrong(file.name, "must be readable", str(error))) from error
    return None


def _unless_unreadable(read: Callable[[Path], T], place: Path, source: str) -> tuple[T, str] | None:
    """What `read` returns; None if the file is missing, or incomplete after a killed download."""
    try:
        return read(place), source
    except _UNREADABLE:
        return None


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets"


def _keras_downloads(load: str) -> bool:
    """Lets Keras download in a separate process, which can be aborted cleanly."""
    script = f"import socket; socket.setdefaulttimeout({SILENCE_SECONDS}); import keras; {load}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
