"""Every store keeps every promise of `TrialStore`, each checked on its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.plugins import Counting

from afina.store import MemoryStore, SqliteStore, TrialStore, open_store
from afina.testing import STORE_CHECKS, check_store

MAKERS: dict[str, Callable[[Path], TrialStore]] = {
    "memory": lambda folder: open_store(None),
    "sqlite": lambda folder: open_store(folder / "project"),
    # 0 s: every report is written at once, none waits.
    "sqlite-unbuffered": lambda folder: SqliteStore(folder / "project", report_delay=0.0),
    "of-somebody-else": lambda folder: Counting(open_store(folder / "project")),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_a_store_keeps_its_promises(
    check: Callable[[TrialStore], None], make: Callable[[Path], TrialStore], tmp_path: Path
) -> None:
    store = make(tmp_path)
    check(store)
    store.close()


def test_everything_outlives_closing_a_project(tmp_path: Path) -> None:
    folders = iter(range(100))

    def reopen(store: TrialStore) -> TrialStore:
        assert isinstance(store, SqliteStore)
        return SqliteStore(store.folder)

    check_store(lambda: SqliteStore(tmp_path / str(next(folders))), reopen)


class Forgetful(MemoryStore):
    """Breaks one promise: replaces finished trials."""

    def put(self, trial: object) -> None:
        self._kept.trials.pop(trial.number, None)
        super().put(trial)


def test_the_checks_notice_a_broken_promise() -> None:
    with pytest.raises(AssertionError, match=r"put of a .* trial over a completed one must raise"):
        check_store(Forgetful)
