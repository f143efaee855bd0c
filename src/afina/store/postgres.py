"""Trials kept in a PostgreSQL database, which the workers of many machines share.

    SqlStore ── a transaction ──▶ Session ── SQLAlchemy, psycopg ──▶ database
                                     │
                                     └── the connection is lost: wait, connect again, repeat

Each search has a schema of its own in the database. A transaction first locks the search's counter,
a single row, so that turns follow one another; nothing is locked outside of a transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from afina.errors import ArgumentError, StoreError, check_number, wrong
from afina.store import codec, rules
from afina.store.base import Changes, Claim
from afina.store.batches import BatchedTransaction, TurnStart
from afina.store.places import hide_password
from afina.store.presence import Life, is_gone, process_mark
from afina.store.session import PATIENCE, Session, Wanted
from afina.store.sql import TRIAL_COLUMNS, SqlStore, Transaction, leave, write_reports
from afina.trials import Report, Status

R = TypeVar("R")

_REST = 30.0  # seconds for which reports are not tried again

_MARK = "\u2400"  # stands before a 0 in place of a character 0, and before itself

_NOW = sql.text("SELECT extract(epoch FROM clock_timestamp())")


class PostgresStore(SqlStore):
    """A `SharedStore` in a PostgreSQL database, for the processes of many machines.

    The first write creates the search's tables, in a schema of their own. A connection that is lost
    is made again, and what was to be written is written then; trainings go on meanwhile.

    Args:
        url: `postgresql://user@host/database`, as for SQLAlchemy. `?project=name` in it goes before
            `project`. A password can be left to libpq's own ways, such as `~/.pgpass`.
        project: Tells the searches in one database apart.
        report_delay: How many seconds a report may wait for the next change of a trial's state.
        lease: After how many seconds without a sign of life a trial is given to others.
        patience: How many seconds to wait for a database that went away.

    Raises:
        ArgumentError: The URL cannot be read, or psycopg is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        project: str | None = None,
        report_delay: float = 5.0,
        lease: float = 60.0,
        patience: float = PATIENCE,
    ) -> None:
        place, own = read_url(url)
        self.lease = check_number("lease", lease, above=0.0)
        self.report_delay = report_delay
        self._place = place
        shown = place.set(drivername="postgresql").render_as_string(hide_password=True)
        self.url: str = hide_password(shown)
        """Where the trials are kept, without the password."""
        self.schema = schema_of(own or project or "afina")
        """The schema of this search."""
        self._patience = patience
        self._guard = threading.RLock()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Makes this a worker that has not connected yet."""
        host = re.sub(r"[^\w.-]", "_", socket.gethostname())[:60]
        self._worker = f"{os.getpid()} {process_mark()} {secrets.token_hex(4)} {host}"
        self._process = os.getpid()
        self._session: Session | None = None
        self._reports: dict[tuple[int, int, int, int], Report] = {}
        self._oldest = 0.0
        self._keys: list[str] = []  # of the notes that turns have asked for

    # -- what the database adds ---------------------------------------------------------------

    @property
    def worker(self) -> str:
        """The name of this worker."""
        self._check_process()
        return self._worker

    def _check_process(self) -> Session:
        if self._process != os.getpid():  # a forked child is another worker
            self._guard = threading.RLock()
            self._begin_anew()
        if self._session is None:
            self._session = Session(self._place, self.schema, self.url, self._patience)
            weakref.finalize(self, _leave, self._session, self._worker, self._process)
        return self._session

    @contextlib.contextmanager
    def _look(self) -> Iterator[Connection | None]:
        with self._guard:
            session = self._check_process()
            if session.open is not None:
                yield session.open.connection
            else:
                with session.look() as connection:
                    yield connection

    def _rows(self, query: sql.Select[Any]) -> Sequence[codec.Row]:
        return self._again(lambda: SqlStore._rows(self, query))

    def claims(self) -> Mapping[int, Claim]:
        """Who runs which trial, by number."""
        with self._guard:
            if (seen := self._seen()) is not None:
                rows = list(seen.claims.values())  # all of them read at the same moment
                return self._claims(rows, max((row["now"] for row in rows), default=0.0))
        return self._again(lambda: SqlStore.claims(self))

    def _seen(self) -> TurnStart | None:
        """What the open turn has read when it began, if that still holds."""
        now = self._check_process().open
        return now.seen if isinstance(now, BatchedTransaction) else None

    def news(self, since: int | None) -> Changes:
        """What was written after a revision."""
        return self._again(lambda: SqlStore.news(self, since))

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        with self._guard:
            if (seen := self._seen()) is not None:
                if key in self._keys:
                    with self._decoding():
                        return codec.from_json(seen.notes.get(key, "null"))
                self._keys.append(key)
        return self._again(lambda: SqlStore.note(self, key))

    def peek(self, key: str) -> Any:
        """What `note` returns; waits for nothing.

        Raises:
            StoreError: The database is away.
        """
        return self._again(lambda: SqlStore.note(self, key), patience=0.0)

    def last_steps(self, numbers: Sequence[int] | None) -> dict[int, int]:
        """The last step that each trial has reported; see `SqlStore`."""
        return self._again(lambda: SqlStore.last_steps(self, numbers))

    def histories(self, numbers: Sequence[int]) -> list[Report]:
        """The reports of some trials; see `SqlStore`."""
        return self._again(lambda: SqlStore.histories(self, numbers))

    def _again(self, read: Callable[[], R], *, patience: float | None = None) -> R:
        with self._guard:
            return self._check_process().again(read, patience=patience)

    def _transact(self, write: Callable[[Transaction], R]) -> R:
        return self._take_turn(write, None, None)

    def _take_turn(
        self,
        write: Callable[[Transaction], R],
        since: int | None,
        learn: Callable[[Changes], int] | None,
    ) -> R:
        def ahead(seen: TurnStart) -> int:
            assert learn is not None
            return learn(self._read_news(since, seen))

        with self._guard:
            session = self._check_process()
            if session.open is not None:
                return write(session.open)
            wanted = Wanted(since, tuple(self._keys), None if learn is None else ahead)
            result = self._with_reports(session, write, wanted)
            if since is not None:
                session.caught_up()
            return result

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Keeps the worker's place in the line from one turn to the next.

        Each turn is written by itself, and a result is on the disk before others can see it.
        """
        with self._guard, self._check_process().together():
            yield

    def _with_reports(
        self,
        session: Session,
        write: Callable[[Transaction], R],
        wanted: Wanted,
        *,
        patience: float | None = None,
    ) -> R:
        """Writes, with the reports that wait in the same transaction."""
        waiting = dict(self._reports)

        def whole(now: Transaction) -> R:
            result = write(now)
            reports = list(waiting.values())
            if isinstance(now, BatchedTransaction):
                now.write_reports([codec.report_to_row(each) for each in reports])
            else:
                write_reports(now.connection, reports)
            return result

        result = session.transact(whole, wanted, patience=patience)
        for key, report in waiting.items():
            if self._reports.get(key) is report:  # else a later one of the same step waits
                del self._reports[key]
        return result

    def _news_of_turn(self, now: Transaction, since: int | None) -> Changes:
        whole = now.anew and since is not None
        seen = now.seen if isinstance(now, BatchedTransaction) else None
        if seen is not None and seen.news is not None and not whole:
            return self._read_news(since, seen)
        changes = self._news(now.connection, None if whole else since, now.revision)
        changes.whole = whole
        return changes

    def _read_news(self, since: int | None, seen: TurnStart) -> Changes:
        if since == seen.revision or seen.news is None:
            return Changes(revision=seen.revision)
        return self._changes(since, seen.revision, seen.news, seen.reports, seen.meta)

    def _write_trial(self, now: Transaction, row: codec.Row) -> None:
        seen = now.seen if isinstance(now, BatchedTransaction) else None
        if seen is None or not isinstance(now, BatchedTransaction):
            super()._write_trial(now, row)
            return
        number, status = row["number"], Status(row["status"])
        held = seen.claims.get(number)
        if held is not None and held["owner"] != self.worker:
            claim = self._claim(held, held["now"], self._life_of)
            if not claim.lost:
                raise rules.claimed(number, claim.owner)
        row = self._to_database({**row, "crc": codec.checksum(row, TRIAL_COLUMNS)})
        now.write_trial({**row, "revision": now.count()}, self.worker)
        seen.claims.pop(number, None)
        if status is Status.RUNNING:
            seen.claims[number] = {"trial": number, "owner": self.worker, "beat": 0.0, "now": 0.0}
        now.finishes += status.finished
        now.lasting |= status is not Status.RUNNING  # one that begins: see `BatchedTransaction.end`

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # the session does it, once it has tried again

    def _waiting(self, number: int | None) -> list[Report]:
        with self._guard:
            return [r for r in self._reports.values() if number is None or r.trial == number]

    def _now(self, connection: Connection) -> float:
        return float(connection.execute(_NOW).scalar_one())

    def _life_of(self, owner: str) -> Life:
        pid, mark, _ = owner.split(" ", 2)
        return Life.DIED if is_gone(int(pid), mark) else Life.UNKNOWN

    def _claim(self, row: codec.Row, now: float, life_of: Callable[[str], Life]) -> Claim:
        mine = row["owner"] == self.worker
        pid, _, _, host = row["owner"].split(" ", 3)
        # One of this machine that is dead is known at once; of the others their silence tells.
        silent = now - row["beat"] > self.lease
        lost = not mine and (silent or life_of(row["owner"]) is Life.DIED)
        who = f"process {pid} on {host}"
        return Claim(trial=row["trial"], owner=who, mine=mine, lost=lost, died=lost)

    def _to_database(self, row: codec.Row) -> dict[Any, Any]:
        # PostgreSQL has no text with a character 0.
        message = row["failure_message"]
        kept = message and message.replace(_MARK, 2 * _MARK).replace("\0", f"{_MARK}0")
        return {**row, "failure_message": kept}

    def _from_database(self, row: codec.Row) -> codec.Row:
        message = row["failure_message"]
        if not message or _MARK not in message:
            return row
        read = re.sub(f"{_MARK}(.)", lambda m: "\0" if m[1] == "0" else _MARK, message)
        return {**row, "failure_message": read}

    def _damaged(self, reason: str) -> StoreError:
        return StoreError(
            f"The search {self.schema!r} in {self.url} is damaged ({reason}). Nothing was changed. "
            "Restore the database from a backup, or use another project_name."
        )

    # -- writing ------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics; they are written with the next change or seconds later."""
        plain = codec.row_to_report(codec.report_to_row(report))
        with self._guard:
            self._check_process()
            now = time.monotonic()
            if not self._reports:
                self._oldest = now
            key = (plain.trial, plain.attempt, plain.execution, plain.step)
            self._reports[key] = plain
            if now - self._oldest >= self.report_delay:
                self._oldest = now
                try:
                    self._flush(patience=0.0)
                except StoreError:  # the database is away: the training goes on
                    self._oldest = now + _REST

    def _flush(self, patience: float) -> None:
        session = self._check_process()
        if self._reports:
            wanted = Wanted(notes=tuple(self._keys))
            self._with_reports(session, lambda now: None, wanted, patience=patience)

    def beat(self) -> frozenset[int]:
        """Renews the leases of this worker; returns the trials that it still holds."""
        # A thread of its own calls it: it must not wait for long while others want to write.
        self._check_process().check()
        with self._guard:
            return super().beat()

    def delete(self) -> None:
        """Deletes the search. Stores of this process that are open on it can no longer write.

        Raises:
            ProjectLockedError: Another process works on it; nothing was deleted.
            StoreError: The database cannot be reached.
        """
        with self._guard:
            self._reports.clear()
            self._check_process().delete()

    def close(self) -> None:
        """Writes what is buffered and ends the leases; a later write connects again."""
        with self._guard:
            if self._session is None or self._process != os.getpid():
                return
            session = self._session
            try:
                if session.connected:
                    self._transact(lambda now: leave(now.connection, self._worker))
            finally:
                session.drop()


def read_url(url: str) -> tuple[URL, str | None]:
    """The database that a URL means, and the project that it names.

    Raises:
        ArgumentError: It cannot be read, or psycopg is not installed.
    """
    try:
        place = sql.make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        raise _unreadable(url) from None
    if "@" in (place.host or "") or "@" in (place.database or ""):
        raise _unreadable(url)
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ArgumentError(
            "store: a PostgreSQL database needs the package psycopg, which is not installed. "
            "Install it: pip install 'afina[postgres]'."
        ) from None
    project = place.query.get("project")
    place = place.difference_update_query(["project"]).set(drivername="postgresql+psycopg")
    return place, project if isinstance(project, str) else None


def _unreadable(url: str) -> ArgumentError:
    rule = "must be a URL such as postgresql://user@host:5432/database"
    advice = "In a password, write %40 for @, %2F for / and %3A for :, or put it in PGPASSWORD."
    return ArgumentError(wrong("store", rule, hide_password(url), advice))


def schema_of(project: str) -> str:
    """The schema in which a project's tables are kept.

    Example:
        >>> schema_of("digits")
        'afina_digits'
    """
    plain = re.sub(r"[^a-z0-9_]+", "_", project.lower()).strip("_")[:40]
    if plain == project:
        return f"afina_{plain}"
    # Two projects never share a schema: a digest tells what is left out.
    digest = hashlib.blake2b(project.encode("utf-8", "backslashreplace"), digest_size=4)
    return f"afina_{plain}_{digest.hexdigest()}"


def _leave(session: Session, worker: str, process: int) -> None:
    if process != os.getpid():
        return  # a forked child: its parent uses the connection
    with contextlib.suppress(Exception):
        if session.connected and session.open is None:
            session.transact(lambda now: leave(now.connection, worker), Wanted(), patience=0.0)
    session.drop()
