"""What users pass as `store=`: a store, a folder, or a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afina.errors import ArgumentError
from afina.store import MemoryStore, SqliteStore, TrialStore, open_store
from afina.store.places import hide_password


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


@pytest.mark.parametrize(
    ("where", "advice"),
    [
        ("postgresql:/me:secret@host/db", "Two slashes follow the colon"),
        ("postgres:me:secret@host/db", "Two slashes follow the colon"),
        ("host=db user=me password=secret dbname=x", "Write these settings as a URL"),
        ("host=db user=me password='se cret' dbname=x", "Write these settings as a URL"),
        ("sqlite:///:memory:", 'use "memory:"'),
        ("mysql+pymysql://me:se/cret@host/db", ""),
        ("mysql://me:half@secret@host/db?charset=utf8", ""),
    ],
)
def test_what_looks_like_a_database_never_becomes_a_folder(
    where: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="must be a folder, or a URL") as refused:
        open_store(where)
    assert advice in str(refused.value)
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:se/cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:a@se@host/db?project=a@b", "postgresql://me:***@host/db?project=a@b"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        (
            "postgresql://host/db?user=me&password=s&x=1",
            "postgresql://host/db?user=me&password=***&x=1",
        ),
        ("a/folder", "a/folder"),
        ("C:\\folder", "C:\\folder"),
    ],
)
def test_a_url_is_shown_without_its_password(where: str, shown: str) -> None:
    assert hide_password(where) == shown


@pytest.mark.parametrize("where", [3, object(), {"trials": []}, MemoryStore])
def test_what_is_neither_a_store_nor_a_place_is_refused(where: Any) -> None:
    with pytest.raises(ArgumentError, match="store: must be a TrialStore, a folder, or a URL"):
        open_store(where)
