"""The searches that a page can show: one project, or all projects in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from afina.errors import StoreError, wrong
from afina.page.lessons import Lessons
from afina.page.watch import Watch
from afina.store import TrialStore, open_store
from afina.store.places import hide_password, is_postgres, name_of_search

STORE_FILE = "afina.sqlite3"
"""The file that makes a folder a project."""

DEEPEST = 2
"""How many folders below the given one are looked into."""

MOST = 200
"""Searches in one folder that are shown."""

WORKER = "dashboard"
"""Names this reader within its process, which may search too."""


class Searches:
    """The searches in a place, opened when they are looked at.

    Args:
        place: A project's folder, a folder that holds projects, a database's URL, or a store.
        name: What to call the search of a store.
    """

    def __init__(self, place: TrialStore | Path | str, name: str | None = None) -> None:
        self._place = place
        self._name = name
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Watch, Lessons]] = {}

    def names(self) -> list[str]:
        """Of all searches, in order."""
        return list(self._places())

    def watch(self, name: str | None) -> Watch | None:
        """The watch of a search; None if there is no such search.

        Args:
            name: One of `names`; None for the first.
        """
        found = self._found(name)
        return None if found is None else found[0]

    def lessons(self, name: str | None) -> Lessons | None:
        """The lessons of a search; None if there is no such search.

        Args:
            name: One of `names`; None for the first.
        """
        found = self._found(name)
        return None if found is None else found[1]

    def _found(self, name: str | None) -> tuple[Watch, Lessons] | None:
        with self._lock:
            if name in self._open:
                return self._open[name]
            places = self._places()
            chosen = next(iter(places), None) if name is None else name
            if chosen is None or chosen not in places:
                return None
            if chosen not in self._open:
                watch = Watch(_open(places[chosen]), chosen, own=self._place is not places[chosen])
                self._open[chosen] = (watch, Lessons(watch))
            return self._open[chosen]

    def _places(self) -> dict[str, Any]:
        place = self._place
        if is_postgres(place):
            return {name_of_search(str(place)): place}
        if not isinstance(place, str | Path):
            return {self._name or "search": place}
        folder = Path(place)
        if (folder / STORE_FILE).exists() or not folder.is_dir():
            return {name_of_search(folder): folder}
        below = [each for _, each in zip(range(MOST), projects_in(folder), strict=False)]
        return {each.relative_to(folder).as_posix(): each for each in below}

    def warm_up(self) -> None:
        """Reads the first search in a thread: 10,000 trials take a second."""

        def read() -> None:
            watch = self.watch(None)
            if watch is not None:
                watch.refresh()

        threading.Thread(target=read, daemon=True, name="afina-dashboard-first").start()

    def close(self) -> None:
        """Closes the stores that were opened here."""
        with self._lock:
            for watch, _ in self._open.values():
                if watch.store is not self._place:
                    watch.store.close()
            self._open.clear()


def _open(place: Any) -> TrialStore:
    if isinstance(place, Path):
        from afina.store import SqliteStore

        # A worker of its own: it takes nothing over from a search in this process.
        return SqliteStore(place, worker=WORKER)
    return open_store(place)


def projects_in(folder: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """The projects below a folder, in alphabetical order.

    Args:
        folder: Where to look.
        depth: How deep.
    """
    try:
        below = sorted(each.name for each in os.scandir(folder) if each.is_dir())
    except OSError:
        return
    for name in below:
        if (folder / name / STORE_FILE).exists():
            yield folder / name
        elif depth > 1 and not name.startswith("."):
            yield from projects_in(folder / name, depth - 1)


def check_place(place: TrialStore | Path | str) -> None:
    """Checks that there is a search to show.

    Raises:
        StoreError: There is none.
    """
    searches = Searches(place)
    try:
        if not searches.names():
            advice = "Give the directory/project_name of a tuner, or the directory above."
            raise StoreError(wrong("FOLDER", "must hold a search", _shown(place), advice))
    finally:
        searches.close()


def _shown(place: Any) -> Any:
    return hide_password(str(place))
