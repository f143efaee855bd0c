"""Stores for several workers keep their promises, each checked on its own."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.store.learning_ahead import CHECKS, begun

from afina.store import MemoryStore, SharedStore, SqliteStore, open_store
from afina.testing import SHARED_STORE_CHECKS, check_shared_store
from afina.trials import Trial

_workers = itertools.count()


def in_memory(folder: Path) -> MemoryStore:
    return MemoryStore()


def beside_in_memory(store: Any) -> MemoryStore:
    return MemoryStore(beside=store)


def in_folder(folder: Path) -> SqliteStore:
    return SqliteStore(folder / "project")


def beside_in_folder(store: Any) -> SqliteStore:
    return SqliteStore(store.folder, worker=f"w{next(_workers)}-")


@pytest.mark.parametrize(
    ("make", "join"),
    [(in_memory, beside_in_memory), (in_folder, beside_in_folder)],
    ids=["memory", "sqlite"],
)
@pytest.mark.parametrize("check", SHARED_STORE_CHECKS, ids=lambda check: check.__name__)
def test_a_shared_store_keeps_its_promises(
    check: Callable[..., None],
    make: Callable[[Path], SharedStore],
    join: Callable[[SharedStore], SharedStore],
    tmp_path: Path,
) -> None:
    store = make(tmp_path)
    check(store, join)
    store.close()


def test_another_worker_is_looked_at_once_however_many_trials_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = in_folder(tmp_path)
    begun(store)
    other = beside_in_folder(store)
    looks: list[str] = []
    life_of = other._life_of
    monkeypatch.setattr(other, "_life_of", lambda owner: looks.append(owner) or life_of(owner))
    for number in range(1, 9):
        store.put(Trial(number=number, values={}))
    other.put(Trial(number=9, values={}))
    claims = other.claims()
    assert [claim.mine for claim in claims.values()] == [False] * 9 + [True]
    assert not any(claim.lost for claim in claims.values())
    assert looks == [store.worker]
    store.close()
    assert all(claim.lost for claim in other.claims().values() if not claim.mine)
    other.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_worker_learns_ahead_of_its_turn(check: Callable[..., None], tmp_path: Path) -> None:
    store = in_folder(tmp_path)
    check(store, beside_in_folder)
    store.close()


class Generous(MemoryStore):
    """Breaks one promise: gives every trial to everybody."""

    def _claim(self, number: int) -> Any:
        return replace(super()._claim(number), mine=True)


def test_the_checks_notice_a_trial_with_two_owners() -> None:
    with pytest.raises(AssertionError, match="another worker's trial must raise LostLeaseError"):
        check_shared_store(Generous, lambda store: Generous(beside=store))


def test_stores_of_afina_can_be_shared(tmp_path: Path) -> None:
    assert isinstance(open_store(None), SharedStore)
    assert isinstance(open_store(tmp_path), SharedStore)
