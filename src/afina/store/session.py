"""A connection to one search in PostgreSQL: transactions, repeated where the connection is lost."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from afina.errors import ProjectLockedError, StoreError
from afina.store.batches import (
    BatchedTransaction,
    PooledError,
    RefusedError,
    Texts,
    TurnStart,
    finish,
    prepare,
    read,
    read_ahead,
)
from afina.store.membership import check_same, delete_schema, join, was_deleted
from afina.store.migrations import prepare_schema
from afina.store.postgres_errors import is_hopeless, pooled, refused
from afina.store.sql import Transaction
from afina.store.tables import COUNTER

R = TypeVar("R")

PATIENCE = 3600.0
"""Seconds for which a search waits for its database to come back."""

_FIRST_PATIENCE = 20.0  # seconds to wait for a database that was never reached

_LONGEST_PAUSE = 5.0  # seconds between two tries

_SETTINGS = (
    # The server ends the transaction of a worker that has vanished within it.
    "-c idle_in_transaction_session_timeout=300s -c lock_timeout=600s "
    "-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    # Prepared statements are planned once, while there are few trials: by index, as for many. The
    # price that the server puts on a scan of a table is no reason to compile one.
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
)

# A worker whose connection goes nowhere notices it in half a minute, rather than in hours.
_CLIENT = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_GOODBYE = 5.0  # seconds that the server may take to notice that a connection was closed

_GONE = ("3F000", "42P01")  # there is no such schema, or table

# Locks the counter; the number that the server has given to its table tells one search from a
# later one of the same name.
_COUNTER = sql.select(COUNTER.c.revision, sql.literal_column("tableoid")).with_for_update()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a transaction reads when it begins."""

    since: int | None = None
    """The last revision that is known, if news are wanted."""

    notes: tuple[str, ...] = ()
    """Keys of notes."""

    learn: Callable[[TurnStart], int] | None = None
    """Called with the news before the transaction has its turn; returns the last revision known
    then. None where there is nothing to learn ahead."""


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
        self._losses = 0  # of the connection; any thread may notice one
        self._begun = self._caught_up = 0  # how many there were at the last transaction, and news
        self._in_line = False  # it has the place next to the worker whose turn it is
        self._together = False  # that place is kept from one transaction to the next
        self._reached = False
        self._ready = False  # the tables are there
        self._tables: int | None = None  # which ones: those of a later search are others
        self._home = place, os.getpid()
        self._texts = Texts(schema)
        _SESSIONS.add(self)
        self._engine = sql.create_engine(
            place,
            pool_size=1,
            max_overflow=1,  # one to read, while a turn of the same thread is open
            # The driver prepares nothing by itself: it would forget all that is prepared with it.
            connect_args={"options": _SETTINGS, "prepare_threshold": None, **_CLIENT},
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

    def transact(
        self,
        write: Callable[[Transaction], R],
        wanted: Wanted,
        *,
        patience: float | None = None,
    ) -> R:
        """One transaction; repeated where the connection is lost before its end is confirmed.

        Args:
            write: What it does.
            wanted: What it reads when it begins.
            patience: Seconds to wait for the database; None for the usual ones.
        """
        tries, careful = 0, False

        def once() -> R:
            nonlocal tries, careful
            tries += 1
            if tries == 1 and not careful:
                try:
                    return self._once(write, wanted, again=False)
                except RefusedError:
                    careful = True  # to learn why; nothing has been written
                except PooledError:
                    raise pooled(self.schema, self.shown) from None
            return self._once(write, None, again=tries > 1)

        return self.again(once, patience=patience)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Keeps the place in the line from one transaction to the next; see `PostgresStore`."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            if self._in_line:  # there was one transaction only
                self._in_line = False
                self._leave_line()

    def _leave_line(self) -> None:
        with contextlib.suppress(sql.exc.SQLAlchemyError), self._engine.connect() as connection:
            try:
                connection.exec_driver_sql(self._texts.leave_line)
            except sql.exc.SQLAlchemyError:
                connection.invalidate()  # the server gives the place to the next one
                raise

    def _once(self, write: Callable[[Transaction], R], wanted: Wanted | None, *, again: bool) -> R:
        written = False
        with self._engine.connect() as connection:
            try:
                with connection.begin():
                    result = self._within(connection, write, wanted, again=again)
                written = True
                return result
            finally:
                if self._in_line and not (written and self._together):  # it has failed
                    self._in_line = False
                    connection.invalidate()  # the server gives the place to the next one
                elif wanted is not None:
                    finish(connection)

    def _within(
        self,
        connection: Connection,
        write: Callable[[Transaction], R],
        wanted: Wanted | None,
        *,
        again: bool,
    ) -> R:
        self.connected = True
        join(connection, self.schema)
        if not self._ready:
            prepare_schema(connection, self.schema, self.shown, change=True)
        if wanted is None:
            counter = connection.execute(_COUNTER).one()
            now = Transaction(connection, int(counter.revision), again=again)
            found = counter.tableoid
        else:
            prepare(connection, self._texts)
            kept = self._in_line
            since = wanted.since if kept else self._learn_ahead(connection, wanted)
            leaves = self._in_line and (kept or not self._together)
            seen = read(connection, self._texts, since, wanted.notes, leave_line=leaves)
            self._in_line &= not leaves
            now, found = BatchedTransaction(connection, self._texts, seen), seen.tables
        self._begun = self._losses
        now.anew = self._begun != self._caught_up
        now.lasting = not self._ready  # its tables are new
        tables = check_same(self._tables, found, self.schema, self.shown)
        self.open = now
        try:
            result = write(now)
            if isinstance(now, BatchedTransaction):
                now.end()
        finally:
            self.open = None
        self._ready, self._tables = True, tables
        return result

    def caught_up(self) -> None:
        """Remembers that the last transaction has read all news.

        After a loss of the connection these are the whole search: a server that has crashed may
        have lost the latest changes that were no results, and count revisions anew.
        """
        self._caught_up = self._begun

    def _learn_ahead(self, connection: Connection, wanted: Wanted) -> int | None:
        """Learns the news while another worker has its turn; returns the revision known then."""
        whole = self._losses != self._caught_up  # then all of it is read in the turn
        if wanted.learn is None or wanted.since is None or whole or self._tables is None:
            return wanted.since
        self._in_line = True
        seen = read_ahead(connection, self._texts, wanted.since)
        check_same(self._tables, seen.tables, self.schema, self.shown)
        return wanted.learn(seen)

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
        """Connects, without much patience; another thread may have a transaction open.

        Raises:
            StoreError: The database is away.
        """
        self._repeat(lambda: self._engine.connect().close(), patience=0.0)

    def again(self, work: Callable[[], R], *, patience: float | None = None) -> R:
        """Calls `work` until the database is there.

        Raises:
            StoreError: It was away for too long, or refuses.
        """
        if self.open is not None:
            return work()  # what holds the transaction begins again as a whole
        return self._repeat(work, patience=patience)

    def _repeat(self, work: Callable[[], R], *, patience: float | None) -> R:
        usual = self.patience if self._reached else min(self.patience, _FIRST_PATIENCE)
        until = time.monotonic() + (usual if patience is None else patience)
        pause, told = 0.05, False
        while True:
            try:
                result = work()
            except (sql.exc.OperationalError, sql.exc.InterfaceError) as error:
                lost = _is_lost(error)
                self._losses += lost and self._reached
                if not lost or time.monotonic() >= until:
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
        return refused(self.schema, self.shown, str(error.orig))

    def drop(self) -> None:
        """Closes the connections."""
        self.connected = False
        self._losses += self._reached
        self._engine.dispose()


_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()
"""Those of this process, and those that a forked child has inherited."""


def _is_lost(error: sql.exc.DBAPIError) -> bool:
    """Whether the connection is lost or cannot be made now, so that a later try may succeed."""
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return not is_hopeless(str(error.orig))  # no server has answered
    # Connection lost, too many of them, shutting down or starting up; ended for idling; a deadlock.
    return state[:2] in ("08", "53", "57") or state in ("25P03", "40001", "40P01")
