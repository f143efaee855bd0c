"""Trials kept in one SQLite file in the project's folder."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy import Connection

from afina.store import codec, rules
from afina.store.base import Header
from afina.store.reader import SqliteReader
from afina.store.sqlite_errors import damaged, readable_errors
from afina.store.tables import META, NOTES, REPORTS, TRIALS
from afina.store.writer import SqliteWriter
from afina.store.writer_lock import WriterLock, writer_lock_of
from afina.trials import Report, Trial

STORE_FILE = "afina.sqlite3"

TRIAL_COLUMNS = [column.name for column in TRIALS.columns if column.name != "crc"]
META_COLUMNS = ["header", "space"]
"""The columns that the checksums cover."""

# Built once: SQLAlchemy takes longer to build these than SQLite to run them.
_THIS = TRIALS.c.number == sql.bindparam("its_number")
_STATUS = sql.select(TRIALS.c.status).where(_THIS)
_ADD = TRIALS.insert()
_REPLACE = TRIALS.update().where(_THIS)
_ALL = sql.select(TRIALS).order_by(TRIALS.c.number)
_META = sql.select(META)


class SqliteStore:
    """A `TrialStore` in the file `<folder>/afina.sqlite3`.

    The first write creates folder and file, and locks the project for this process. The lock ends
    with `close`, with the last reference to the store, or with the process. Within the process,
    the newest store that writes takes over from the others. Many threads may use a store; a forked
    child is another process.

    The file is plain SQL: `SELECT number, score, json_extract("values", '$.units') FROM trials`.

    Args:
        folder: The project's folder; it need not exist.
        report_delay: How many seconds a report may wait for the next change of a trial's state.
            After that, it is written alone.
    """

    def __init__(self, folder: Path, *, report_delay: float = 5.0) -> None:
        # Made absolute now: the working directory may change while a search runs.
        self.folder = Path(os.path.abspath(folder))
        self.file = self.folder / STORE_FILE
        self.report_delay = report_delay
        self._reader = SqliteReader(self.file)
        self._lock = writer_lock_of(self.folder)
        self._turn: int | None = None
        self._writer: SqliteWriter | None = None
        self._closing: weakref.finalize[..., Any] | None = None

    # -- reading ------------------------------------------------------------------------------

    def header(self) -> Header | None:
        """The header of the search; None for an empty store."""
        text = self._meta("header")
        with self._decoding():
            return None if text is None else codec.header_from_json(text)

    def space(self) -> Mapping[str, Any] | None:
        """The search space as last given to `finish` or `set_space`, else the header's."""
        text = self._meta("space")
        if text is None:
            header = self.header()
            return None if header is None else header.space
        with self._decoding():
            config: Mapping[str, Any] = codec.from_json(text)
            return config

    def trials(self) -> list[Trial]:
        """All trials by number."""
        rows, trials = self._rows(_ALL), []
        for row in rows:
            with self._decoding(f"trial {row['number']}: "):
                codec.check_sum(row, TRIAL_COLUMNS)
                trials.append(codec.row_to_trial(row))
        return trials

    def history(self, number: int | None = None) -> list[Report]:
        """The reports of one trial, or of all; by trial, attempt, execution and step."""
        query = sql.select(REPORTS)
        with self._lock.guard:
            rows = self._rows(query if number is None else query.where(REPORTS.c.trial == number))
            mine = self._current_writer()
            waiting = mine.waiting(number) if mine else []
        reports = []
        for row in rows:
            with self._decoding(f"a report of trial {row['trial']}: "):
                reports.append(codec.row_to_report(row))
        # A waiting report replaces the written one of the same step.
        latest = {(r.trial, r.attempt, r.execution, r.step): r for r in [*reports, *waiting]}
        return [latest[place] for place in sorted(latest)]

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        rows = self._rows(sql.select(NOTES.c.value).where(NOTES.c.key == key))
        with self._decoding():
            return codec.from_json(rows[0]["value"]) if rows else None

    def _meta(self, column: str) -> str | None:
        for row in self._rows(_META):
            with self._decoding("the search's header: "):
                codec.check_sum(row, META_COLUMNS)
            text: str | None = row[column]
            return text
        return None

    def _rows(self, query: sql.Select[Any]) -> Sequence[codec.Row]:
        with self._looking() as connection:
            if connection is None:
                return []
            return [row._mapping for row in connection.execute(query)]

    @contextlib.contextmanager
    def _looking(self) -> Iterator[Connection | None]:
        with self._lock.guard:
            mine = self._current_writer()
            if mine is not None:
                with mine.look() as connection:
                    yield connection
                return
        with self._reader.look() as connection:
            yield connection

    @contextlib.contextmanager
    def _decoding(self, what: str = "") -> Iterator[None]:
        try:
            yield
        except codec.UNREADABLE as error:
            raise damaged(self.file, f"{what}{codec.why_unreadable(error)}") from error

    # -- writing ------------------------------------------------------------------------------

    def begin(self, header: Header) -> None:
        """Starts a search in an empty store; raises StoreError if one has started already."""
        text = codec.header_to_json(header)
        with self._changing() as connection:
            rules.check_begin(begun=_has_begun(connection))
            _write_meta(connection, header=text)

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that resumes with changed settings."""
        text = codec.header_to_json(header)
        with self._changing() as connection:
            rules.check_begun(begun=_has_begun(connection))
            _write_meta(connection, header=text)

    def set_space(self, config: Mapping[str, Any]) -> None:
        """Keeps a grown search space without finishing a trial."""
        text = codec.to_json(config, "space")
        with self._changing() as connection:
            _write_meta(connection, space=text)

    def put(self, trial: Trial) -> None:
        """Adds a trial, or replaces an unfinished one, in one transaction."""
        row = codec.trial_to_row(trial)
        with self._changing(finishes=trial.status.finished) as connection:
            _write_trial(connection, row)

    def finish(self, trial: Trial, space: Mapping[str, Any] | None = None) -> None:
        """Writes a finished trial, its reports and the grown space in one transaction."""
        rules.check_finished(trial)
        row = codec.trial_to_row(trial)
        text = None if space is None else codec.to_json(space, "space")
        with self._changing(finishes=True) as connection:
            _write_trial(connection, row)
            if text is not None:
                _write_meta(connection, space=text)

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics; they are written with the next change or seconds later."""
        plain = codec.row_to_report(codec.report_to_row(report))
        with self._lock.guard:
            self._acquire_writer().report(plain, self.report_delay)

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`."""
        text = codec.to_json(value, f"note {key!r}")
        with self._changing() as connection:
            connection.execute(NOTES.delete().where(NOTES.c.key == key))
            connection.execute(NOTES.insert().values(key=key, value=text))

    def predecessor_died(self) -> bool:
        """Whether the process that wrote before died without warning; True at most once."""
        with self._lock.guard:
            self._acquire_writer()
            died, self._lock.predecessor_died = self._lock.predecessor_died, False
            return died

    def close(self) -> None:
        """Writes what is buffered and unlocks the project; a later write locks it again."""
        with self._lock.guard:
            if self._current_writer() is not None:
                self._lock.release()
            self._forget_writer()

    @contextlib.contextmanager
    def _changing(self, *, finishes: bool = False) -> Iterator[Connection]:
        with self._lock.guard, self._acquire_writer().change(finishes=finishes) as connection:
            yield connection

    def _current_writer(self) -> SqliteWriter | None:
        """This store's writer, unless another store took over or this is a forked child."""
        return self._writer if self._lock.writer is self._writer else None

    def _acquire_writer(self) -> SqliteWriter:
        writer = self._current_writer()
        if writer is None:
            self._forget_writer()
            with readable_errors(self.file):
                writer = self._lock.take(self._turn, lambda: SqliteWriter(self.file))
            self._writer, self._turn = writer, self._lock.turn
            # Closes the writer when the store is garbage-collected or the process exits normally.
            self._closing = weakref.finalize(self, _release, self._lock, writer)
        return writer

    def _forget_writer(self) -> None:
        self._writer = None
        if self._closing is not None:
            self._closing.detach()
            self._closing = None


def _release(lock: WriterLock, writer: SqliteWriter) -> None:
    # May be called at any moment in any thread, so it never waits. If the guard is taken, its
    # holder replaces or closes the writer; otherwise the end of the process closes it.
    if lock.guard.acquire(blocking=False):
        try:
            if lock.writer is writer:
                lock.release()
        finally:
            lock.guard.release()


def _has_begun(connection: Connection) -> bool:
    return connection.execute(sql.select(META.c.header)).scalar_one() is not None


def _write_meta(connection: Connection, **texts: str) -> None:
    row = {**connection.execute(_META).one()._mapping, **texts}
    crc = codec.checksum(row, META_COLUMNS)
    connection.execute(META.update().values(crc=crc, **texts))


def _write_trial(connection: Connection, row: codec.Row) -> None:
    row = {**row, "crc": codec.checksum(row, TRIAL_COLUMNS)}
    number, ended = row["number"], row["ended"]
    old = connection.execute(_STATUS, {"its_number": number}).scalar_one_or_none()
    rules.check_replaceable(number, old)
    try:
        if old is None:
            connection.execute(_ADD, row)
        else:
            connection.execute(_REPLACE, {**row, "its_number": number})
    except sql.exc.IntegrityError as error:
        raise rules.same_end(number, ended) from error
