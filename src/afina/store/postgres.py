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
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from afina.errors import ArgumentError, ProjectLockedError, StoreError, check_number, wrong
from afina.store import codec
from afina.store.base import Changes, Claim
from afina.store.membership import check_same, delete_schema, join, was_deleted
from afina.store.migrations import prepare_schema
from afina.store.presence import is_gone, process_mark
from afina.store.sql import SqlStore, Transaction, leave, write_reports
from afina.store.tables import COUNTER
from afina.trials import Report

R = TypeVar("R")

PATIENCE = 3600.0
"""Seconds for which a search waits for its database to come back."""

_FIRST_PATIENCE = 20.0  # seconds to wait for a database that was never reached

_REST = 30.0  # seconds for which reports are not tried again

_LONGEST_PAUSE = 5.0  # seconds between two tries

_SETTINGS = (
    # The server ends the transaction of a worker that has vanished within it.
    "-c idle_in_transaction_session_timeout=300s -c lock_timeout=600s "
    "-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)

# A worker whose connection goes nowhere notices it in half a minute, rather than in hours.
_CLIENT = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_MARK = "\u2400"  # stands before a 0 in place of a character 0, and before itself

_GOODBYE = 5.0  # seconds that the server may take to notice that a connection was closed

_GONE = ("3F000", "42P01")  # there is no such schema, or table

# Locks the counter; the number that the server has given to its table tells one search from a
# later one of the same name.
_COUNTER = sql.select(COUNTER.c.revision, sql.literal_column("tableoid")).with_for_update()

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
        self.url = place.render_as_string(hide_password=True)
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
        return self._again(lambda: SqlStore.claims(self))

    def news(self, since: int | None) -> Changes:
        """What was written after a revision."""
        return self._again(lambda: SqlStore.news(self, since))

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
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

    def _again(self, read: Callable[[], R], *, patience: float | None = None) -> R:
        with self._guard:
            return self._check_process().again(read, patience=patience)

    def _transact(self, write: Callable[[Transaction], R]) -> R:
        with self._guard:
            session = self._check_process()
            if session.open is not None:
                return write(session.open)
            return self._with_reports(session, write, patience=None)

    def _with_reports(
        self, session: Session, write: Callable[[Transaction], R], *, patience: float | None
    ) -> R:
        """Writes, with the reports that wait in the same transaction."""
        waiting = dict(self._reports)

        def whole(now: Transaction) -> R:
            result = write(now)
            write_reports(now.connection, list(waiting.values()))
            return result

        result = session.transact(whole, patience=patience)
        for key, report in waiting.items():
            if self._reports.get(key) is report:  # else a later one of the same step waits
                del self._reports[key]
        return result

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # the session does it, once it has tried again

    def _waiting(self, number: int | None) -> list[Report]:
        with self._guard:
            return [r for r in self._reports.values() if number is None or r.trial == number]

    def _now(self, connection: Connection) -> float:
        return float(connection.execute(_NOW).scalar_one())

    def _claim(self, row: codec.Row, now: float) -> Claim:
        mine = row["owner"] == self.worker
        pid, mark, _, host = row["owner"].split(" ", 3)
        # One of this machine that is dead is known at once; of the others their silence tells.
        lost = not mine and (now - row["beat"] > self.lease or is_gone(int(pid), mark))
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
            self._with_reports(session, lambda now: None, patience=patience)

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


class Session:
    """A connection to one search, made again where it is lost.

    Args:
        place: Of the database.
        schema: Of the search.
        shown: The URL as messages may show it.
        patience: How many seconds to wait for a database that went away.
    """

    def __init__(self, place: URL, schema: str, shown: str, patience: float) -> None:
        self.schema = schema
        self.shown = shown
        self.patience = patience
        self.open: Transaction | None = None
        """The transaction of the thread that holds the store's guard."""
        self.connected = False
        """Whether the database has been reached and not been left since."""
        self._reached = False
        self._ready = False  # the tables are there
        self._tables: int | None = None  # which ones: those of a later search are others
        self._home = place, os.getpid()
        _SESSIONS.add(self)
        self._engine = sql.create_engine(
            place,
            pool_size=1,
            max_overflow=1,  # one to read, while a turn of the same thread is open
            connect_args={"options": _SETTINGS, **_CLIENT},
            hide_parameters=True,
            execution_options={"schema_translate_map": {None: schema}},
        )

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection | None]:
        """A connection for reading; None if the search has no tables yet."""
        with self._engine.connect() as connection:
            if not self._ready:
                self._ready = sql.inspect(connection).has_table("counter", schema=self.schema)
                if not self._ready:
                    yield None
                    return
                prepare_schema(connection, self.schema, self.shown, change=False)
            yield connection

    def transact(self, write: Callable[[Transaction], R], *, patience: float | None = None) -> R:
        """One transaction; repeated where the connection is lost before its end is confirmed."""
        tries = 0

        def once() -> R:
            nonlocal tries
            tries += 1
            with self._engine.connect() as connection, connection.begin():
                self.connected = True
                join(connection, self.schema)
                if not self._ready:
                    prepare_schema(connection, self.schema, self.shown, change=True)
                counter = connection.execute(_COUNTER).one()
                tables = check_same(self._tables, counter.tableoid, self.schema, self.shown)
                self.open = Transaction(connection, int(counter.revision), again=tries > 1)
                try:
                    result = write(self.open)
                finally:
                    self.open = None
            self._ready, self._tables = True, tables
            return result

        return self.again(once, patience=patience)

    def delete(self) -> None:
        """Deletes the search; the other sessions of this process on it end."""
        for each in list(_SESSIONS):
            if (each.schema, each._home) == (self.schema, self._home):
                each.drop()
        until = time.monotonic() + _GOODBYE

        def once() -> None:
            with self._engine.connect() as connection, connection.begin():
                delete_schema(connection, self.schema, self.shown)

        while True:
            try:
                self.again(once)
            except ProjectLockedError:  # or the server has not noticed yet that we have left
                if time.monotonic() >= until:
                    raise
                time.sleep(0.1)
            else:
                break
        self._ready, self._tables = False, None

    def check(self) -> None:
        """Connects, without much patience.

        Raises:
            StoreError: The database is away.
        """
        self.again(lambda: self._engine.connect().close(), patience=0.0)

    def again(self, work: Callable[[], R], *, patience: float | None = None) -> R:
        """Calls `work` until the database is there.

        Raises:
            StoreError: It was away for too long, or refuses.
        """
        if self.open is not None:
            return work()
        usual = self.patience if self._reached else min(self.patience, _FIRST_PATIENCE)
        until = time.monotonic() + (usual if patience is None else patience)
        pause, told = 0.05, False
        while True:
            try:
                result = work()
            except (sql.exc.OperationalError, sql.exc.InterfaceError) as error:
                if not _is_lost(error) or time.monotonic() >= until:
                    raise self._error(error) from None
                if self._reached and not told and patience is None:
                    told = True
                    warnings.warn(
                        f"The database {self.shown} cannot be reached. The search waits for it, up "
                        f"to {self.patience / 60:.0f} minutes.",
                        stacklevel=2,
                    )
                time.sleep(min(pause, max(until - time.monotonic(), 0.0)))
                pause = min(2 * pause, _LONGEST_PAUSE)
            except sql.exc.DBAPIError as error:
                raise self._error(error) from None
            else:
                self._reached = True
                return result

    def _error(self, error: sql.exc.DBAPIError) -> StoreError:
        if self._ready and getattr(error.orig, "sqlstate", None) in _GONE:
            return was_deleted(self.schema, self.shown)
        # libpq's own words may name the host, but never the password.
        said = " ".join(str(error.orig).split())
        return StoreError(
            f"The search {self.schema!r} in {self.shown} cannot be used: {said} Nothing was "
            "changed: the trials finished so far are kept. See that the server runs and that this "
            "user may create a schema and tables in the database, and search again."
        )

    def drop(self) -> None:
        """Closes the connections."""
        self.connected = False
        self._engine.dispose()


_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()
"""Those of this process, and those that a forked child has inherited."""


def read_url(url: str) -> tuple[URL, str | None]:
    """The database that a URL means, and the project that it names.

    Raises:
        ArgumentError: It cannot be read, or psycopg is not installed.
    """
    try:
        place = sql.make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        rule = "must be a URL such as postgresql://user@host/database"
        raise ArgumentError(wrong("store", rule, "one that cannot be read")) from None
    try:
        import psycopg  # noqa: F401
    except ImportError:
        rule = "needs the package psycopg for a PostgreSQL database"
        advice = "Install it: pip install 'afina[postgres]'."
        raise ArgumentError(wrong("store", rule, "none", advice)) from None
    project = place.query.get("project")
    place = place.difference_update_query(["project"]).set(drivername="postgresql+psycopg")
    return place, project if isinstance(project, str) else None


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


def _is_lost(error: sql.exc.DBAPIError) -> bool:
    """Whether the connection is lost or cannot be made now, so that a later try may succeed."""
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # No answer of a server; but a wrong password or database name is not worth waiting for.
        said = str(error.orig)
        return not any(f"{what} " in said for what in ("authentication failed", "does not exist"))
    # Connection lost, too many of them, shutting down or starting up; ended for idling; a deadlock.
    return state[:2] in ("08", "53", "57") or state in ("25P03", "40001", "40P01")


def _leave(session: Session, worker: str, process: int) -> None:
    if process != os.getpid():
        return  # a forked child: its parent uses the connection
    with contextlib.suppress(Exception):
        if session.connected and session.open is None:
            session.transact(lambda now: leave(now.connection, worker), patience=0.0)
    session.drop()
