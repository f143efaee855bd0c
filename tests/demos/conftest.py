"""Small data in the layouts that the loaders read."""

import json
from pathlib import Path

import numpy as np
import pytest

WORDS = ["the", "oil", "price", "wheat", "bank", "rate"]


def write_newswires(folder: Path, count: int = 400) -> None:
    """Newswires whose topic (0 or 1) follows from the second word's rank (2 or 4)."""
    rng = np.random.default_rng(0)
    topics = rng.integers(0, 2, count)
    texts = [[1, 2 + 2 * topic, *rng.integers(5, 7, 3)] for topic in topics]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "reuters_flat.npz",
        tokens=np.concatenate(texts).astype(np.uint16),
        offsets=np.cumsum([0, *map(len, texts)]).astype(np.int32),
        y=topics.astype(np.uint8),
    )
    index = {word: rank for rank, word in enumerate(WORDS, start=1)}
    (folder / "reuters_word_index.json").write_text(json.dumps(index), encoding="utf-8")


def pickled_twin(folder: Path) -> None:
    """Turns the flat file into the layout that Keras publishes."""
    flat = np.load(folder / "reuters_flat.npz")
    texts = np.empty(len(flat["y"]), dtype=object)
    for place in range(len(texts)):
        first, last = flat["offsets"][place : place + 2]
        texts[place] = flat["tokens"][first:last].tolist()
    np.savez(folder / "reuters.npz", x=texts, y=flat["y"].astype(np.int64))
    (folder / "reuters_flat.npz").unlink()


@pytest.fixture
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No AFINA_DATA, and a Keras home that is empty; returns that home's data folder."""
    monkeypatch.delenv("AFINA_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets"
