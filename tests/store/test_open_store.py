"""What users pass as `store=`: a store, a folder, or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afina.errors import ArgumentError
from afina.store import MemoryStore, SqliteStore, TrialStore, open_store


@pytest.mark.parametrize("where", [None, "memory:", "memory://"])
def test_memory_has_a_url(where: Any) -> None:
    assert isinstance(open_store(where), MemoryStore)


@pytest.mark.parametrize(
    ("where", "folder"),
    [
        ("mine", "mine"),
        (Path("mine"), "mine"),
        ("sqlite:///mine", "mine"),
        ("sqlite:///down/there", "down/there"),
        ("SQLITE:///mine", "mine"),
        ("with:colon", "with:colon"),
        (Path("sqlite:") / "mine", "sqlite:/mine"),
    ],
)
def test_a_folder_has_a_path_and_a_url(
    where: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(where)
    assert isinstance(store, SqliteStore)
    assert Path(store.folder).resolve() == (tmp_path / folder).resolve()
    assert not any(tmp_path.iterdir()), "opening a store makes nothing"


def test_a_url_may_hold_an_absolute_path(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/mine")
    assert isinstance(store, SqliteStore)
    assert Path(store.folder) == tmp_path / "mine"


def test_a_store_is_taken_as_it_is() -> None:
    store = MemoryStore()
    assert isinstance(store, TrialStore)
    assert open_store(store) is store


@pytest.mark.parametrize(
    "where", ["mysql://host/db", "redis:", "sqlite://mine", "sqlite:", "sqlite:///"]
)
def test_a_url_that_is_not_known_is_refused_with_those_that_are(where: str) -> None:
    told = 'store: must be a folder, or a URL: "memory:", "sqlite:///folder" or '
    told += '"postgresql://user@host/database", but got '
    with pytest.raises(ArgumentError) as refused:
        open_store(where)
    assert str(refused.value).startswith(told + repr(where))


@pytest.mark.parametrize("where", [3, object(), {"trials": []}, MemoryStore])
def test_what_is_neither_a_store_nor_a_place_is_refused(where: Any) -> None:
    with pytest.raises(ArgumentError, match="store: must be a TrialStore, a folder, or a URL"):
        open_store(where)
