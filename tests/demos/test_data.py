import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from afina.demos import load_fashion_mnist, load_reuters
from afina.demos.data import multi_hot
from afina.errors import DataError

from .conftest import pickled_twin, write_newswires

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = Path(os.environ.get("AFINA_DATA") or BESIDE)
needs_real_newswires = pytest.mark.skipif(
    not (REAL / "reuters").is_dir(), reason="the real newswires are not on this machine"
)
needs_real_pictures = pytest.mark.skipif(
    not (REAL / "fashion_mnist").is_dir(), reason="the real pictures are not on this machine"
)


@pytest.mark.parametrize("place", ["reuters", "."])
def test_newswires_are_found_in_the_folder_and_in_its_own_subfolder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_newswires(tmp_path / place)
    monkeypatch.setenv("AFINA_DATA", str(tmp_path))
    news = load_reuters(sources=("folder",))
    assert (len(news.x_train), len(news.x_test), news.stand_in) == (320, 80, False)
    assert "AFINA_DATA" in news.source


def test_pickled_and_flat_newswires_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_newswires(tmp_path)
    monkeypatch.setenv("AFINA_DATA", str(tmp_path))
    flat = load_reuters(sources=("folder",))
    pickled_twin(tmp_path)
    pickled = load_reuters(sources=("folder",))
    for one, other in zip(
        flat.x_train + flat.x_test, pickled.x_train + pickled.x_test, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(flat.y_train, pickled.y_train)


def test_words_are_numbered_as_keras_numbers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_newswires(tmp_path)
    monkeypatch.setenv("AFINA_DATA", str(tmp_path))
    news = load_reuters(num_words=8, sources=("folder",))
    for text, topic in zip(news.x_train, news.y_train, strict=True):
        # 1 starts; rank r is r + 3; numbers from num_words up are 2.
        assert text[:3].tolist() == [1, 4, 5 if topic == 0 else 7]
        assert set(text[3:]) == {2}
        assert news.decode(text).split() == ["the", "oil" if topic == 0 else "wheat", *"???"]


@needs_real_newswires
def test_real_newswires_are_split_as_keras_splits_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFINA_DATA", str(REAL))
    news = load_reuters()
    assert (len(news.x_train), len(news.x_test), len(news.words)) == (8982, 2246, 30979)
    counts = dict(zip(news.topics, np.bincount(news.y_train, minlength=46), strict=True))
    assert (counts["earn"], counts["acq"], counts["cocoa"], counts["lead"]) == (3159, 1949, 55, 18)
    assert max(text.max() for text in news.x_train) == 9999
    assert "wheat" in news.decode(news.x_train[list(news.y_train).index(5)])


@needs_real_pictures
def test_real_pictures_come_whole_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFINA_DATA", str(REAL))
    pictures = load_fashion_mnist()
    assert pictures.x_train.shape == (60000, 28, 28)
    assert (pictures.x_train.min(), pictures.x_train.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(np.bincount(pictures.y_test), np.full(10, 1000))


def test_pictures_are_read_from_keras_cache(nothing_at_hand: Path) -> None:
    folder = nothing_at_hand / "fashion-mnist"
    folder.mkdir(parents=True)
    pixels = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8)
    for part in ("train", "t10k"):
        for name, head, content in (
            ("images-idx3", 16, pixels),
            ("labels-idx1", 8, np.array([9, 0, 2], np.uint8)),
        ):
            with gzip.open(folder / f"{part}-{name}-ubyte.gz", "wb") as file:
                file.write(bytes(head) + content.tobytes())
    pictures = load_fashion_mnist(sources=("folder", "cache"))
    assert pictures.x_train.shape == (3, 28, 28)
    assert pictures.x_train[0, 0, 5] == np.float32(5 / 255)
    assert [pictures.classes[label] for label in pictures.y_test] == [
        "Ankle boot",
        "T-shirt/top",
        "Pullover",
    ]


def test_newswires_are_read_from_keras_cache(nothing_at_hand: Path) -> None:
    write_newswires(nothing_at_hand)
    pickled_twin(nothing_at_hand)
    assert len(load_reuters(sources=("folder", "cache")).x_train) == 320


def test_a_half_written_download_in_the_cache_is_passed_over(nothing_at_hand: Path) -> None:
    write_newswires(nothing_at_hand)
    pickled_twin(nothing_at_hand)
    file = nothing_at_hand / "reuters.npz"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DataError, match="one of the allowed sources must have them"):
        load_reuters(sources=("cache",))


def test_a_damaged_file_in_the_users_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion_mnist.npz").write_bytes(b"PK no archive")
    monkeypatch.setenv("AFINA_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"fashion_mnist\.npz: must be readable"):
        load_fashion_mnist()


def test_a_folder_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFINA_DATA", "no/such/folder")
    with pytest.raises(DataError, match="must name a folder"):
        load_reuters()


def test_an_unknown_source_is_an_error() -> None:
    with pytest.raises(DataError, match="'moon'"):
        load_reuters(sources=("moon",))


@pytest.mark.usefixtures("nothing_at_hand")
def test_the_standard_library_stands_in_for_the_newswires() -> None:
    news = load_reuters(sources=("folder", "cache", "stand-in"))
    assert news.stand_in
    assert len(news.topics) == 46
    assert len(news.x_train) > 3000
    text = news.x_train[list(news.y_train).index(news.topics.index("logging"))]
    assert "def" in news.decode(text).split()


@pytest.mark.usefixtures("nothing_at_hand")
def test_handwritten_digits_stand_in_for_the_pictures() -> None:
    pictures = load_fashion_mnist(sources=("folder", "cache", "stand-in"))
    assert pictures.stand_in
    assert pictures.x_train.shape[1:] == (8, 8)
    assert pictures.x_train.max() == 1.0
    assert len(pictures.x_train) + len(pictures.x_test) == 1797


def test_multi_hot_rows_hold_each_word_once() -> None:
    rows = multi_hot([np.array([1, 4, 4, 2]), np.array([1])], num_words=6)
    np.testing.assert_array_equal(rows, [[0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0]])
