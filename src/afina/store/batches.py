"""A turn in two messages to PostgreSQL: one asks for all that it reads, one holds all it writes.

    ahead ── BEGIN, lock the line, header, news ──▶ TurnStart        (only where many workers wait)
    begin ── BEGIN, lock the counter, header, notes, claims, news ──▶ TurnStart
    end ──── trials, claims, reports, counter, COMMIT ──▶

Every other worker waits while a turn holds the counter, so its length is what all of them share. A
message of several statements takes as long as one statement.

This is the optimistic way: each statement checks what it assumes, and fails if that does not hold.
Then `RefusedError` sends the caller back to the statements of `sql.py`, which find out why.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy import Connection

from afina.store.codec import Row
from afina.store.sql import TRIAL_COLUMNS, Transaction
from afina.store.tables import CLAIMS, COUNTER, META, NOTES, REPORTS, TRIALS, UNCHECKED
from afina.trials import Status

if TYPE_CHECKING:
    from psycopg import Connection as Driver

_COLUMNS = [*TRIAL_COLUMNS, *UNCHECKED]
_REPORT = [column.name for column in REPORTS.columns]
_Asked = tuple[str, Mapping[str, Any]]
"""A statement and its parameters."""

_LINE = 20203

_PARAMETER = re.compile(r"%\((\w+)\)s")

_SERVER = "afina_server"
"""Under which a connection keeps the server's process that it has prepared its statements in."""

_OTHERS = ("26000", "42P05")
"""Of statements that the server does not know, or knows already: another connection's."""

_FORGOTTEN = "0A000"
"""Of statements that the server has planned for other columns."""

_NOW = "extract(epoch FROM clock_timestamp())::float8"


class RefusedError(Exception):
    """The database has refused a statement: something is not as it was assumed."""


class PooledError(Exception):
    """The server's connection is not the one that this worker has prepared: a pooler shares it."""


@dataclass(slots=True)
class TurnStart:
    """What a turn has read when it began."""

    revision: int
    tables: int
    """Which tables these are: those of a later search of the same name are others."""
    meta: Row
    notes: Mapping[str, str]
    """JSON texts of those that were asked for, by key."""
    claims: dict[int, Row]
    """By trial."""
    news: Sequence[Row] | None
    """Trials, each with its owner; None where no news was asked for."""
    reports: Sequence[Row]
    """Those of the finished trials among the news."""


class Texts:
    """The statements of one search, with its schema in them.

    Args:
        schema: Of the search.
    """

    def __init__(self, schema: str) -> None:
        def table(known: sql.Table) -> str:
            return f"{_quoted(schema)}.{_quoted(known.name)}"

        self.prepare: list[str] = []
        """Prepares the statements on a connection. The server takes longer to read and plan one
        of them than to run it."""

        def prepared(name: str, text: str) -> str:
            self.prepare.append(f"PREPARE {name} AS {_numbered(text)}")
            given = ", ".join(f"%({each})s" for each in _names(text))
            return f"EXECUTE {name} ({given})" if given else f"EXECUTE {name}"

        trials, claims = table(TRIALS), table(CLAIMS)
        line = f"{_LINE}, hashtext('{schema}')"  # letters, digits and underscores; see `schema_of`
        self.line = f"SELECT pg_advisory_lock({line})"
        self.leave_line = f"SELECT pg_advisory_unlock({line})"
        counter = (
            "SELECT revision, tableoid::bigint AS tables, pg_backend_pid() AS server FROM "
            f"{table(COUNTER)}"
        )
        self.counter = prepared("afina_counter", counter)
        self.lock = prepared("afina_lock", f"{counter} FOR UPDATE")
        self.meta = prepared(
            "afina_meta",
            f"SELECT header, space, crc, (SELECT json_object_agg(key, value) FROM {table(NOTES)} "
            f"WHERE key = ANY(%(keys)s::text[])) AS notes FROM {table(META)}",
        )
        self.claims = prepared(
            "afina_claims", f"SELECT trial, owner, beat, {_NOW} AS now FROM {claims}"
        )
        self.news = prepared(
            "afina_news",
            f"SELECT t.*, c.owner FROM {trials} t LEFT JOIN {claims} c ON c.trial = t.number "
            "WHERE t.revision > %(since)s ORDER BY coalesce(t.ended, -1), t.number",
        )
        self.reports = prepared(
            "afina_reports",
            # OFFSET has it look up the reports of each trial: a plan for any revision reads all.
            f"SELECT r.* FROM {trials} t CROSS JOIN LATERAL (SELECT * FROM {table(REPORTS)} r "
            "WHERE r.trial = t.number OFFSET 0) r "
            "WHERE t.revision > %(since)s AND t.ended IS NOT NULL",
        )
        # Waits for the server's disk: a commit writes all that was committed before it.
        self.wait = prepared(
            "afina_wait",
            f"UPDATE {claims} SET beat = beat WHERE trial = %(number)s AND owner = %(owner)s",
        )
        self.count = prepared("afina_count", f"UPDATE {table(COUNTER)} SET revision = %(revision)s")
        claim = (
            f"INSERT INTO {claims} (trial, owner, beat) VALUES (%(number)s, %(owner)s, {_NOW}) "
            "ON CONFLICT (trial) DO UPDATE SET owner = excluded.owner, beat = excluded.beat"
        )
        self.claim = prepared("afina_claim", _write(trials, claim))
        unclaim = f"DELETE FROM {claims} WHERE trial = %(number)s"
        self.unclaim = prepared("afina_unclaim", _write(trials, unclaim))
        kinds = ["text" if name == "metrics" else "integer" for name in _REPORT]
        lists = ", ".join(
            f"%({name})s::{kind}[]" for name, kind in zip(_REPORT, kinds, strict=True)
        )
        self.report = prepared(
            "afina_report",
            f"INSERT INTO {table(REPORTS)} ({', '.join(_REPORT)}) SELECT * FROM unnest({lists}) "
            f"ON CONFLICT ({', '.join(_REPORT[:-1])}) DO UPDATE SET metrics = excluded.metrics",
        )

    def since(self, revision: int) -> list[_Asked]:
        """The news after a revision, and the reports of the finished trials among them.

        Args:
            revision: The last one that is known.
        """
        # Put in here, as the driver takes its time to look for parameters.
        return [(text % {"since": int(revision)}, {}) for text in (self.news, self.reports)]


def _names(text: str) -> list[str]:
    """The parameters of a statement, each once."""
    return list(dict.fromkeys(_PARAMETER.findall(text)))


def _numbered(text: str) -> str:
    """A statement as the server prepares it.

    Example:
        >>> _numbered("SELECT %(a)s, %(b)s, %(a)s")
        'SELECT $1, $2, $1'
    """
    names = _names(text)
    return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text)


def _write(trials: str, claim: str) -> str:
    """Adds or replaces a trial, and its claim; divides by zero if the trial has finished."""
    names = ", ".join(map(_quoted, _COLUMNS))
    values = ", ".join(f"%({name})s" for name in _COLUMNS)
    new = ", ".join(f"{_quoted(n)} = excluded.{_quoted(n)}" for n in _COLUMNS if n != "number")
    finished = ", ".join(f"'{each.value}'" for each in Status if each.finished)
    return (
        f"WITH written AS (INSERT INTO {trials} AS t ({names}) VALUES ({values}) "
        f"ON CONFLICT (number) DO UPDATE SET {new} WHERE t.status NOT IN ({finished}) RETURNING 1),"
        f" claimed AS ({claim}) SELECT 1 / count(*) FROM written"
    )


class BatchedTransaction(Transaction):
    """A transaction whose writes wait until its end, or until something else is to be done in it.

    Args:
        connection: Open, with the transaction begun.
        texts: The statements of the search.
        seen: What was read when it began.
    """

    def __init__(self, connection: Connection, texts: Texts, seen: TurnStart) -> None:
        super().__init__(connection, seen.revision)
        self.seen: TurnStart | None = seen
        """None once other statements have been run: they may have changed what was read."""
        self._texts = texts
        self._counted = self.before
        self._waiting: list[_Asked] = []
        self._begun: Mapping[str, Any] | None = None  # the claim of a trial that begins

    @property
    def connection(self) -> Connection:
        """The connection, for another statement: what waits is written before it."""
        self.seen = None
        self._send()
        return self._connection

    @connection.setter
    def connection(self, connection: Connection) -> None:
        """The connection that the transaction is on."""
        self._connection = connection

    def count(self) -> int:
        """The revision of what is written now."""
        self.revision = self.before + 1
        return self.revision

    def write_trial(self, row: Row, owner: str) -> None:
        """Writes a trial, and whose it is.

        Args:
            row: As the table has it.
            owner: Its worker, if it is running.
        """
        running = row["status"] == Status.RUNNING.value
        text = self._texts.claim if running else self._texts.unclaim
        claim = {"number": row["number"], "owner": owner}
        self._begun = claim if running else self._begun
        self._waiting.append((text, {**row, **claim}))

    def write_reports(self, rows: Sequence[Row]) -> None:
        """Writes reports, each in place of an earlier one of the same step."""
        if rows:
            lists = {name: [row[name] for row in rows] for name in _REPORT}
            self._waiting.append((self._texts.report, lists))

    def end(self) -> None:
        """Writes what waits, and commits.

        A result is on the server's disk before others can see it. A trial that begins is there
        before it is handed out, but the lock is given up before: a crash may show that others have
        seen what is lost, and they write it again (`study.lost`). Nothing waits for the disk
        because of reports and leases.
        """
        last: list[_Asked] = [("COMMIT", {})]
        if not self.lasting:
            last.insert(0, ("SET LOCAL synchronous_commit TO off", {}))
            if self._begun is not None:
                last.append((self._texts.wait, self._begun))
        self._send(last)

    def _send(self, last: Sequence[_Asked] = ()) -> None:
        waiting, self._waiting = self._waiting, []
        if self._counted != self.revision:
            waiting.append((self._texts.count, {"revision": self.revision}))
            self._counted = self.revision
        waiting += last
        if waiting:
            with _driver(self._connection) as driver:
                _send(driver, waiting)


def prepare(connection: Connection, texts: Texts) -> None:
    """Prepares the statements of all turns, once for each connection.

    Args:
        connection: Open; the search has its tables.
        texts: The statements of the search.
    """
    if _SERVER not in connection.info:
        asked: list[_Asked] = [
            (text, {}) for text in [*texts.prepare, "SELECT pg_backend_pid() AS server"]
        ]
        connection.info[_SERVER] = _begin(connection, asked)[-1][0]["server"]


def read_ahead(connection: Connection, texts: Texts, since: int) -> TurnStart:
    """Begins a transaction, waits until only one worker is before this one, and reads the news.

    That place in the line outlives the transaction: `read` or the end of the connection leaves it.

    Args:
        connection: Open.
        texts: The statements of the search.
        since: The last revision that is known.
    """
    # The news may be newer than the revision; then they are read once more, and known already.
    asked: list[_Asked] = [
        (texts.line, {}),
        (texts.counter, {}),
        (texts.meta, {"keys": []}),
    ]
    _, counter, meta, *news = _begin(connection, [*asked, *texts.since(since)])
    _check_server(connection, counter)
    return _start(counter, meta, [], news)


def read(
    connection: Connection,
    texts: Texts,
    since: int | None,
    keys: Sequence[str],
    *,
    leave_line: bool = False,
) -> TurnStart:
    """Begins a transaction, locks the counter, and reads what a turn may need.

    Args:
        connection: Open.
        texts: The statements of the search.
        since: The last revision that is known; None leaves the news out.
        keys: Of the notes to read.
        leave_line: Whether `read_ahead` was called before: the next worker may learn now.
    """
    # Each statement sees what was committed when it began: all but the first see what the holders
    # of the lock before have written.
    asked: list[_Asked] = [(texts.lock, {}), (texts.meta, {"keys": list(keys)}), (texts.claims, {})]
    if since is not None:
        asked += texts.since(since)
    if leave_line:
        asked.insert(1, (texts.leave_line, {}))
    results = _begin(connection, asked)
    if leave_line:
        del results[1]
    counter, meta, claims, *news = results
    _check_server(connection, counter)
    return _start(counter, meta, claims, news)


def _check_server(connection: Connection, counter: Sequence[Row]) -> None:
    if counter and counter[0]["server"] != connection.info.get(_SERVER):
        raise PooledError


def _begin(connection: Connection, asked: Sequence[_Asked]) -> list[list[Row]]:
    """Asks, in the open transaction or in a new one."""
    from psycopg.pq import TransactionStatus

    with _driver(connection) as driver:
        if driver.info.transaction_status is not TransactionStatus.IDLE:
            return _send(driver, asked)
        driver.autocommit = True  # else the driver sends a message of its own to begin
        return _send(driver, [("BEGIN", {}), *asked])[1:]


def _start(
    counter: Sequence[Row], meta: Sequence[Row], claims: Sequence[Row], news: Sequence[list[Row]]
) -> TurnStart:
    known = meta[0] if meta else {}
    return TurnStart(
        revision=counter[0]["revision"],
        tables=counter[0]["tables"],
        meta=known,
        notes=known.get("notes") or {},
        claims={row["trial"]: row for row in claims},
        news=news[0] if news else None,
        reports=news[1] if news else [],
    )


def finish(connection: Connection) -> None:
    """Has the driver begin transactions by itself again."""
    driver: Driver[Any] = connection.connection.driver_connection
    if not driver.closed and driver.autocommit:
        driver.autocommit = False


def _send(driver: Driver[Any], asked: Sequence[_Asked]) -> list[list[Row]]:
    """Sends statements as one message; the rows that each returns."""
    from psycopg import ClientCursor
    from psycopg.rows import dict_row

    cursor = ClientCursor(driver, row_factory=dict_row)
    # The driver takes longer to look through a text for parameters than the server to run it.
    texts = [cursor.mogrify(text, values) if values else text for text, values in asked]
    cursor.execute("; ".join(texts).encode())
    results: list[list[Row]] = []
    more: bool | None = True
    while more:
        returned = cursor.pgresult is not None and cursor.pgresult.nfields > 0
        results.append(list(cursor.fetchall()) if returned else [])
        more = cursor.nextset()
    return results


@contextlib.contextmanager
def _driver(connection: Connection) -> Iterator[Driver[Any]]:
    """The driver's connection, for statements that SQLAlchemy does not see.

    Raises:
        sqlalchemy.exc.OperationalError: The connection is lost, as SQLAlchemy's own would say.
        PooledError: A pooler has put another connection in its place.
        RefusedError: The database has refused something.
    """
    import psycopg

    driver: Driver[Any] = connection.connection.driver_connection
    try:
        yield driver
    except psycopg.OperationalError as error:
        if driver.closed or driver.broken:
            connection.invalidate(error)
        raise sql.exc.OperationalError("batch", {}, error, hide_parameters=True) from error
    except psycopg.Error as error:
        if error.sqlstate in _OTHERS:
            raise PooledError from error
        if error.sqlstate == _FORGOTTEN:
            connection.invalidate(error)  # the next connection prepares them anew
        raise RefusedError from error


def _quoted(name: str) -> str:
    return f'"{name}"'
