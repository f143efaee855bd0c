from __future__ import annotations

import gc
import sys
import weakref

import keras
import pytest

from afina.training import release, resident_bytes
from afina.training.memory import BLIND_TRIALS, Keeper

from .conftest import Data, MakeModel

MB = 2**20


def keeper(sizes: list[int | None], clears: list[int]) -> Keeper:
    """A keeper that reads these sizes, one after the other."""
    readings = iter(sizes)
    return Keeper(growth=10, resident=lambda: next(readings), clear=lambda: clears.append(1))


def test_programs_are_thrown_away_when_the_process_has_grown_and_only_then() -> None:
    clears: list[int] = []
    # The first is the baseline; 112 is read twice (before and after the heap is trimmed), and
    # 103 is the size after the clearing.
    steps = keeper([100, 105, 112, 112, 103, 110, 113], clears)
    assert [steps.release() for _ in range(5)] == [False, False, True, False, False]
    assert len(clears) == 1


def test_a_heap_that_a_trim_gives_back_is_no_growth() -> None:
    clears: list[int] = []
    steps = keeper([100, 150, 101], clears)
    assert [steps.release() for _ in range(2)] == [False, False]
    assert clears == []


def test_growth_counts_from_the_smallest_size_since_the_last_clearing() -> None:
    clears: list[int] = []
    steps = keeper([100, 80, 95, 95, 85], clears)
    assert [steps.release() for _ in range(3)] == [False, False, True]


def test_where_the_size_cannot_be_read_programs_are_thrown_away_every_few_trials() -> None:
    clears: list[int] = []
    steps = keeper([None] * 100, clears)
    assert [steps.release() for _ in range(2 * BLIND_TRIALS)].count(True) == 2


def test_a_released_model_is_gone(data: Data, make_model: MakeModel) -> None:
    model = make_model()
    model.fit(*data, verbose=0)
    gone = weakref.ref(model)
    gc.collect()
    assert gone() is not None
    del model
    release()
    assert gone() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process' size from /proc")
def test_trials_of_ever_new_widths_hardly_grow_the_process(data: Data) -> None:
    keeper = Keeper(growth=MB)  # a small allowance, as there are few trials here
    sizes = []
    for number in range(12):
        units = 20 + 7 * number
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation="relu")])
        model.add(keras.layers.Dense(1))
        model.compile("adam", "mse")
        model.fit(*data, verbose=0)
        del model
        keeper.release()
        sizes.append(resident_bytes() or 0)
    growth = (sum(sizes[-3:]) - sum(sizes[3:6])) / 3 / 6
    assert growth < MB  # several times that, where programs are never thrown away
