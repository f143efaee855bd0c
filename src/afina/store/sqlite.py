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
from afina.store.seat import Seat, seat_of
from afina.store.tables import META, NOTES, REPORTS, TRIALS
from afina.store.trouble import damaged, told_of
from afina.store.writer import SqliteWriter
from afina.trials import Report, Trial

STORE_FILE = "afina.sqlite3"

TRIAL_COLUMNS = [column.name for column in TRIALS.columns if column.name != "crc"]
META_COLUMNS = ["header", "space"]
"""What the checksums are of."""

# Made once: SQLAlchemy takes longer to make these than SQLite to run them.
_THIS = TRIALS.c.number == sql.bindparam("its_number")
_STATUS = sql.select(TRIALS.c.status).where(_THIS)
_ADD = TRIALS.insert()
_REPLACE = TRIALS.update().where(_THIS)
_ALL = sql.select(TRIALS).order_by(TRIALS.c.number)
_META = sql.select(META)


class SqliteStore:
    """A `TrialStore` in `<folder>/afina.sqlite3`; see there for the promises.

    Folder and file are made at the first write. From then on the project belongs to this process
    until `close`, until nobody refers to the store any more, or until the process dies. Within the
    process the newest store that writes takes over from the others. It may be used by many
    threads; a forked child is another process.

    The file is plain SQL: `SELECT number, score, json_extract("values", '$.units') FROM trials`.

    Args:
        folder: The project's folder; need not exist.
        report_delay: Seconds that a report may wait for a change of a trial's state before it is
            written by itself.
    """

    def __init__(self, folder: Path, *, report_delay: float = 5.0) -> None:
        # Made absolute now: the working directory may change while a search runs.
        self.folder = Path(os.path.abspath(folder))
        self.file = self.folder / STORE_FILE
        self.report_delay = report_delay
        self._reader = SqliteReader(self.file)
        self._seat = seat_of(self.folder)
        self._turn: int | None = None
        self._writer: SqliteWriter | None = None
        self._farewell: weakref.finalize[..., Any] | None = None

    # -- reading ------------------------------------------------------------------------------

    def header(self) -> Header | None:
        """What was written by `begin`, or None for an empty store."""
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
        with self._seat.guard:
            rows = self._rows(query if number is None else query.where(REPORTS.c.trial == number))
            mine = self._seated()
            waiting = mine.waiting(number) if mine else []
        with self._decoding():
            reports = [codec.row_to_report(row) for row in rows]
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
        with self._seat.guard:
            mine = self._seated()
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
        """Starts a search in an empty store: StoreError if it has begun already."""
        text = codec.header_to_json(header)
        with self._changing() as connection:
            rules.check_begin(begun=_has_begun(connection))
            _write_meta(connection, header=text)

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that goes on with settings that may change."""
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
        """`put` of a finished trial, its reports and the grown space: one transaction."""
        rules.check_finished(trial)
        row = codec.trial_to_row(trial)
        text = None if space is None else codec.to_json(space, "space")
        with self._changing(finishes=True) as connection:
            _write_trial(connection, row)
            if text is not None:
                _write_meta(connection, space=text)

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics, written with the next change or some seconds later."""
        plain = codec.row_to_report(codec.report_to_row(report))
        with self._seat.guard:
            self._sit().report(plain, self.report_delay)

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`."""
        text = codec.to_json(value, f"note {key!r}")
        with self._changing() as connection:
            connection.execute(NOTES.delete().where(NOTES.c.key == key))
            connection.execute(NOTES.insert().values(key=key, value=text))

    def predecessor_died(self) -> bool:
        """Whether the process that wrote before this one died without warning; said once."""
        with self._seat.guard:
            self._sit()
            died, self._seat.predecessor_died = self._seat.predecessor_died, False
            return died

    def close(self) -> None:
        """Writes what is buffered and lets go of the project; a later write takes it again."""
        with self._seat.guard:
            if self._seated() is not None:
                self._seat.leave()
            self._rise()

    @contextlib.contextmanager
    def _changing(self, *, finishes: bool = False) -> Iterator[Connection]:
        with self._seat.guard, self._sit().change(finishes=finishes) as connection:
            yield connection

    def _seated(self) -> SqliteWriter | None:
        """This store's writer, if no other store and no fork has taken its place."""
        return self._writer if self._seat.writer is self._writer else None

    def _sit(self) -> SqliteWriter:
        writer = self._seated()
        if writer is None:
            self._rise()
            with told_of(self.file):
                writer = self._seat.take(self._turn, lambda: SqliteWriter(self.file))
            self._writer, self._turn = writer, self._seat.turn
            # Closed also when the store is forgotten and when the process ends in peace.
            self._farewell = weakref.finalize(self, _leave, self._seat, writer)
        return writer

    def _rise(self) -> None:
        self._writer = None
        if self._farewell is not None:
            self._farewell.detach()
            self._farewell = None


def _leave(seat: Seat, writer: SqliteWriter) -> None:
    # Called at any moment and in any thread: never wait. Whoever holds the guard takes over or
    # closes; failing that, the end of the process does.
    if seat.guard.acquire(blocking=False):
        try:
            if seat.writer is writer:
                seat.leave()
        finally:
            seat.guard.release()


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
