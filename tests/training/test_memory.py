from __future__ import annotations

import gc
import sys
import weakref

import jax
import pytest

from afina.training import memory, resident_bytes
from afina.training.memory import BLIND_TRIALS, Keeper, cheap_collections

from .conftest import Data, MakeModel

MB = 2**20


def keeper(sizes: list[int | None], clears: list[int]) -> Keeper:
    """A keeper that reads these sizes, one after the other, and always collects garbage."""
    readings = iter(sizes)
    return Keeper(
        growth=10,
        resident=lambda: next(readings),
        clear=lambda: clears.append(1),
        shows=lambda: False,
    )


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


@pytest.mark.skipif(sys.platform != "linux", reason="the C library may not be glibc")
def test_memory_that_lies_between_what_stays_is_given_back_to_the_system() -> None:
    blocks = [bytearray(b"x" * 20_000) for _ in range(4000)]
    kept = blocks[::20]
    blocks.clear()
    before = resident_bytes() or 0
    Keeper(growth=2**60).release()
    assert before - (resident_bytes() or 0) > 40 * MB
    assert len(kept) == 200


def test_growth_counts_from_the_smallest_size_since_the_last_clearing() -> None:
    clears: list[int] = []
    steps = keeper([100, 80, 95, 95, 85], clears)
    assert [steps.release() for _ in range(3)] == [False, False, True]


@pytest.mark.service  # as above, elsewhere
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
    Keeper().release()
    assert gone() is None


def test_a_clearing_throws_compiled_programs_away_and_none_keeps_them() -> None:
    traces: list[int] = []

    @jax.jit
    def program(x: jax.Array) -> jax.Array:
        traces.append(1)
        return x + 1

    program(jax.numpy.ones(3))
    Keeper(growth=2**60).release()
    program(jax.numpy.ones(3))
    assert len(traces) == 1

    keeper = Keeper(growth=-1)  # any size is too much
    assert keeper.release()
    program(jax.numpy.ones(3))
    assert len(traces) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process' size from /proc")
def test_the_size_of_the_process_is_in_bytes() -> None:
    before = resident_bytes()
    block = bytearray(b"x" * (64 * MB))
    after = resident_bytes()
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(len(block), rel=0.25)


def test_only_what_a_search_has_frozen_itself_is_thawed_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_skips", [])  # the whole suite is in a block: see conftest.py
    frozen = gc.get_freeze_count()
    assert frozen
    with cheap_collections():
        pass
    assert gc.get_freeze_count() == frozen
    gc.unfreeze()
    try:
        with cheap_collections():
            assert gc.get_freeze_count()
            with cheap_collections():
                pass
            assert gc.get_freeze_count(), "the outer block is still open"
        assert not gc.get_freeze_count()
    finally:
        gc.freeze()
