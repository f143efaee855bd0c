"""Large arrays on their way to worker processes: real processes, real files."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest

from afina.run import WorkerProcesses


def is_mapped(array):
    return type(array) is np.ndarray and isinstance(array.base, np.memmap)


def files(pool):
    return sorted(pool._arrays.folder.iterdir())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(100_000, dtype=np.float32).reshape(100, 1000),
        np.asfortranarray(np.arange(90_000).reshape(300, 300)),
        np.arange(200_000)[::2],
        np.arange(100_000).astype(">i4"),
        np.array(["text", "longer text"] * 10_000),
        np.zeros(10_000, dtype=[("a", "f8"), ("b", "i4")]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_a_large_array_is_mapped_with_the_same_values(pool, array):
    def look(given):
        return is_mapped(given), np.isfortran(given), given.tobytes(), given.dtype

    got = pool.call(0, look, array)
    assert got == (True, np.isfortran(array), array.tobytes(), array.dtype)


def test_arrays_are_written_once_wherever_they_are(pool):
    array = np.random.default_rng(0).random(100_000)
    frame = pd.DataFrame({"a": array, "b": array})
    before = len(files(pool))

    def look(nested, again):
        mine = nested["x"][0]
        return mine is again and mine is array, is_mapped(mine), float(mine.sum())

    for _ in range(3):
        assert pool.call(0, look, {"x": (array, 1)}, array) == (True, True, array.sum())
        assert pool.call(1, lambda: float(array.sum())) == array.sum()
    assert len(files(pool)) == before + 1
    sums = [pool.call(0, lambda given: dict(given.sum()), frame) for _ in range(3)]
    assert sums == [dict(frame.sum())] * 3
    assert len(files(pool)) == before + 2  # the frame's own block


def test_a_file_goes_with_its_array(pool):
    array = np.ones(100_000)
    reference, before = weakref.ref(array), len(files(pool))
    pool.call(0, np.sum, array)
    assert len(files(pool)) == before + 1
    del array
    gc.collect()
    assert reference() is None
    assert len(files(pool)) == before


def test_what_a_child_writes_into_an_array_is_its_own(pool):
    array = np.zeros(100_000)

    def write(given):
        given += 1
        return float(given.sum())

    assert pool.call(0, write, array) == 100_000
    assert pool.call(1, np.sum, array) == 0
    assert array.sum() == 0


@pytest.mark.parametrize(
    "value",
    [
        np.arange(10),
        np.array([{"a": 1}, None] * 50_000, dtype=object),
        np.ma.masked_array(np.arange(100_000), mask=np.arange(100_000) % 2 == 0),
        "x" * 100_000,
    ],
    ids=["small", "objects", "masked", "text"],
)
def test_what_cannot_be_mapped_travels_by_itself(pool, value):
    before = len(files(pool))
    got = pool.call(0, lambda given: given, value)
    assert type(got) is type(value)
    assert np.all(got == value)
    assert len(files(pool)) == before


def test_types_that_numpy_s_files_would_spoil_travel_by_themselves(pool):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.arange(100_000).astype(ml_dtypes.bfloat16)
    assert pool.call(0, lambda given: str(given.dtype), array) == "bfloat16"


def test_without_room_for_files_arrays_travel_by_themselves(tmp_path):
    with WorkerProcesses(1) as pool:
        pool._arrays.folder = tmp_path / "nothing"
        assert pool.call(0, lambda given: is_mapped(given), np.ones(100_000)) is False
