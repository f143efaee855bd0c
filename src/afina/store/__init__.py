"""Where trials are kept. `base.py` states what every store promises; `rules.py` what all refuse.

    open_store ──> MemoryStore
              ├──> SqliteStore ──reads──> SqliteReader
              │        │
              │        └─writes─> SqliteWriter, which needs the WriterLock (one store of this
              │                   process writes), its ProjectLock (shared by the processes that
              │                   search here) and its WorkerFile (the sign that this one lives)
              └──> PostgresStore, for several machines

`codec` turns trials and reports into rows and back, `tables` defines them, and `sql` has the
statements that both databases share. `completeness` and `soundness` notice lost or changed trials,
`sqlite_errors` says what to do about SQLite's errors, and `salvage` reads what is left of a damaged
project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afina.store.base import Changes, Claim, Header, SharedStore, TrialStore
from afina.store.codec import row_to_trial, trial_to_row
from afina.store.folder import make_project_folder
from afina.store.memory import MemoryStore
from afina.store.project import delete_project, open_store, recover_project
from afina.store.soundness import check_trials

if TYPE_CHECKING:
    from afina.store.sqlite import SqliteStore

__all__ = [
    "Changes",
    "Claim",
    "Header",
    "MemoryStore",
    "SharedStore",
    "SqliteStore",
    "TrialStore",
    "check_trials",
    "delete_project",
    "make_project_folder",
    "open_store",
    "recover_project",
    "row_to_trial",
    "trial_to_row",
]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes 0.2 s to import: only users of this store pay for it.
    if name == "SqliteStore":
        from afina.store.sqlite import SqliteStore

        return SqliteStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
