"""Reads what can be read of a damaged project, and says what cannot.

A store reads everything or raises: a search that continued with half of its trials would propose
different ones. People who inspect a project, or export its trials, prefer half of them to none.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afina.errors import StoreError
from afina.store import codec
from afina.store.base import Header
from afina.store.completeness import check_file
from afina.store.places import is_postgres
from afina.store.project import open_store
from afina.store.reader import SqliteReader, open_to_read
from afina.store.soundness import faults_of, gaps_in
from afina.store.sql import META_COLUMNS, SqlStore
from afina.store.sqlite import STORE_FILE
from afina.store.sqlite_errors import readable_errors
from afina.store.tables import META, REPORTS, TRIALS
from afina.trials import Report, Trial

_MOST = 20  # faults that are named one by one


@dataclass(frozen=True, slots=True)
class Readable:
    """The readable part of a project."""

    header: Header | None
    """None if no search has started, or if it cannot be read."""

    trials: list[Trial]
    """The readable trials, by number."""

    reports: list[Report]
    """By trial, attempt, execution and step; empty if they were only counted."""

    faults: list[str]
    """A sentence for each thing that is missing or unreadable; empty for an intact project."""

    counted: Counter[int] = field(default_factory=Counter)
    """How many reports there are besides `reports`, by trial."""

    def epochs(self) -> Counter[int]:
        """How many epochs each trial has reported, by its number."""
        return self.counted + Counter(report.trial for report in self.reports)


# What Afina itself writes of finite numbers. All other reports are decoded, to know their faults.
_PLAIN = (
    "typeof(trial) || typeof(attempt) || typeof(execution) || typeof(step) = "
    "'integerintegerintegerinteger' AND typeof(metrics) = 'text' AND json_valid(metrics) "
    "AND json_type(metrics) = 'object' AND metrics NOT GLOB '*:[^ ]*' "
    "AND metrics NOT GLOB '*: [^-0-9]*' AND metrics NOT GLOB '*[' || char(1) || '-' || char(31) "
    "|| ']*'"
)


def read_project(folder: Path | str, *, count_reports: bool = False) -> Readable:
    """Reads as much of a project as possible; changes nothing.

    Args:
        folder: `<directory>/<project_name>`, which need not exist, or the URL of a database.
        count_reports: Whether to count the reports rather than to read them.

    Raises:
        ProjectVersionError: Another version of Afina made it.
        StoreError: Nothing in it can be read.
    """
    if is_postgres(folder):  # the server keeps it whole: all of it can be read, or nothing
        store = open_store(folder)
        try:
            header, trials = store.header(), store.trials()
            if count_reports and isinstance(store, SqlStore):
                return Readable(header, trials, [], [], store.count_reports())
            return Readable(header, trials, store.history(), [])
        finally:
            store.close()
    file = Path(folder).absolute() / STORE_FILE
    check_file(file)
    if not file.exists():
        return Readable(None, [], [], [])
    faults: list[str] = []
    try:
        with SqliteReader(file).look():
            pass
    except StoreError as error:
        if type(error) is not StoreError:
            raise
        faults.append(str(error))
    with (
        readable_errors(file),
        contextlib.closing(open_to_read(file, truncated=True)) as connection,
    ):
        # A text that is not Unicode must spoil only its own row.
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        connection.row_factory = sqlite3.Row
        found = _Salvage(connection, faults)
        header = found.header()
        trials = found.trials()
        counted = found.count_plain_reports() if count_reports else None
        reports = found.reports(besides_plain=counted is not None)
    if not trials and header is None and faults:
        raise StoreError(faults[0])
    faults += [*gaps_in(trials)]
    more = len(faults) - _MOST
    if more > 0:
        faults[_MOST:] = [f"There are {more} more faults."]
    return Readable(header, trials, reports, faults, counted or Counter())


class _Salvage:
    """Reads the rows of one database, and collects faults instead of raising."""

    def __init__(self, connection: sqlite3.Connection, faults: list[str]) -> None:
        self._connection = connection
        self._faults = faults

    def header(self) -> Header | None:
        for row in self._all(META.name, "id"):
            try:
                codec.check_sum(row, META_COLUMNS)
                if row["header"] is not None:
                    return codec.header_from_json(row["header"])
            except codec.UNREADABLE as error:
                reason = codec.why_unreadable(error)
                self._faults.append(f"The search's header cannot be read: {reason}.")
        return None

    def trials(self) -> list[Trial]:
        found = {}
        for row in self._all(TRIALS.name, "number"):
            try:
                trial = codec.read_trial(row)
            except codec.UNREADABLE as error:
                reason = codec.why_unreadable(error)
                self._faults.append(f"Trial {row['number']!r:.20} cannot be read: {reason}.")
                continue
            if fault := faults_of(trial):
                self._faults.append(f"Trial {trial.number} cannot be right: {fault}.")
            else:
                found[trial.number] = trial
        return [found[number] for number in sorted(found)]

    def count_plain_reports(self) -> Counter[int] | None:
        """How many reports hold plain numbers, by trial; None if SQLite cannot tell."""
        query = f"SELECT trial, count(*) FROM {REPORTS.name} WHERE {_PLAIN} GROUP BY trial"
        try:
            return Counter(dict(map(tuple, self._connection.execute(query))))
        except (sqlite3.Error, UnicodeError, OverflowError, MemoryError):
            return None  # whoever reads them says what is wrong

    def reports(self, *, besides_plain: bool) -> list[Report]:
        found, unreadable = {}, 0
        where = f"WHERE NOT ({_PLAIN})" if besides_plain else ""
        for row in self._all(REPORTS.name, "rowid", where):
            try:
                report = codec.row_to_report(row)
            except codec.UNREADABLE:
                unreadable += 1
                continue
            found[report.trial, report.attempt, report.execution, report.step] = report
        if unreadable:
            what = "report of an epoch" if unreadable == 1 else "reports of epochs"
            self._faults.append(f"{unreadable} {what} cannot be read.")
        return [found[place] for place in sorted(found)]

    def _all(self, table: str, key: str, where: str = "") -> Iterator[dict[str, Any]]:
        """Each row once: forwards to the first damaged page, then backwards from the end."""
        seen: set[Any] = set()
        for order in ("ASC", "DESC"):
            query = f'SELECT {key} AS "the key", * FROM {table} {where} ORDER BY {key} {order}'
            try:
                rows = self._connection.execute(query)
                names = [column[0] for column in rows.description]
                for row in rows:
                    cells = {"crc": None, **dict(zip(names, row, strict=True))}
                    if cells["the key"] in seen:
                        continue
                    seen.add(cells["the key"])
                    yield cells
            except (sqlite3.Error, UnicodeError, OverflowError, MemoryError) as error:
                if order == "ASC":
                    self._faults.append(f"Parts of the table {table!r} cannot be read: {error}.")
            else:
                return
