"""Trials in a database that speaks SQL: the statements that SQLite and PostgreSQL share."""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy import Connection

from afina.errors import StoreError
from afina.store import codec, rules
from afina.store.base import Changes, Claim, Header
from afina.store.presence import Life
from afina.store.statements import Statement
from afina.store.tables import CLAIMS, COUNTER, META, NOTES, REPORTS, TRIALS, UNCHECKED
from afina.trials import Report, Status, Trial

R = TypeVar("R")

TRIAL_COLUMNS = [column.name for column in TRIALS.columns if column.name not in UNCHECKED]
META_COLUMNS = ["header", "space"]
"""The columns that the checksums cover."""

# Built once: SQLAlchemy takes longer to build these than a database to run them.
_THIS = TRIALS.c.number == sql.bindparam("its_number")
_HELD = TRIALS.outerjoin(CLAIMS, CLAIMS.c.trial == TRIALS.c.number)
_STATUS = Statement(
    sql.select(TRIALS.c.status, CLAIMS.c.owner, CLAIMS.c.beat).select_from(_HELD).where(_THIS)
)
_SAME = sql.select(*(TRIALS.c[name] for name in TRIAL_COLUMNS)).where(_THIS)
_ADD = Statement(TRIALS.insert())
_REPLACE = Statement(TRIALS.update().where(_THIS))
_ALL = sql.select(TRIALS).order_by(TRIALS.c.number)
_WHOLE_NEWS = (
    sql.select(TRIALS, CLAIMS.c.owner)
    .select_from(_HELD)
    .order_by(sql.func.coalesce(TRIALS.c.ended, sql.literal_column("-1")), TRIALS.c.number)
)
_SINCE = TRIALS.c.revision > sql.bindparam("since")
_NEWS = Statement(_WHOLE_NEWS.where(_SINCE))
_NEW_REPORTS = Statement(
    sql.select(REPORTS)
    .join(TRIALS, TRIALS.c.number == REPORTS.c.trial)
    .where(_SINCE, TRIALS.c.ended.is_not(None))
)
_META = sql.select(META)
_SPACE = Statement(sql.select(META.c.header, META.c.space, META.c.crc))
REVISION = sql.select(COUNTER.c.revision)
_REVISION = Statement(REVISION)
_COUNT = Statement(COUNTER.update().values(revision=sql.bindparam("its_revision")))
_CLAIMS = Statement(sql.select(CLAIMS))
_CLAIM = Statement(CLAIMS.insert())
_RENEW = CLAIMS.update().where(CLAIMS.c.trial == sql.bindparam("its_trial"))
_UNCLAIM = Statement(CLAIMS.delete().where(CLAIMS.c.trial == sql.bindparam("its_trial")))
_LEAVE = CLAIMS.delete().where(CLAIMS.c.owner == sql.bindparam("its_owner"))
_HOLDS = sql.select(CLAIMS.c.trial).where(CLAIMS.c.owner == sql.bindparam("its_owner"))
_NOTE = Statement(sql.select(NOTES.c.value).where(NOTES.c.key == sql.bindparam("its_key")))
_THIS_REPORT = sql.and_(
    REPORTS.c.trial == sql.bindparam("its_trial"),
    REPORTS.c.attempt == sql.bindparam("its_attempt"),
    REPORTS.c.execution == sql.bindparam("its_execution"),
    REPORTS.c.step == sql.bindparam("its_step"),
)


class Transaction:
    """A transaction that writes; no other worker writes meanwhile.

    Args:
        connection: Open, with the transaction begun.
        revision: The search's, before this transaction.
        again: Whether an earlier try may have been written, as its end was never confirmed.
    """

    def __init__(self, connection: Connection, revision: int, *, again: bool = False) -> None:
        self.connection = connection
        self.before = self.revision = revision
        self.again = again
        self.finishes = 0
        """How many trials it has finished."""
        self.anew = False
        """Whether the connection was made anew: what was not to last may be lost."""
        self.lasting = False
        """Whether it writes what must survive a power loss, which ends all workers of a machine:
        after one, a trial that was only begun is begun again."""

    def count(self) -> int:
        """The revision of what is written now."""
        if self.revision == self.before:
            self.revision += 1
            _COUNT.run(self.connection, {"its_revision": self.revision})
        return self.revision


class SqlStore(ABC):
    """A `SharedStore` in a database; subclasses say how to connect, and how to wait."""

    lease: float
    _space_known: tuple[str | None, int] = None, -1
    """The text of the space when it was last read, and the first revision at which it was so."""

    # -- what a database must add -------------------------------------------------------------

    @property
    @abstractmethod
    def worker(self) -> str:
        """The name of this worker, known once it has begun to write."""

    @abstractmethod
    def _look(self) -> contextlib.AbstractContextManager[Connection | None]:
        """A connection for reading; None if there is nothing to read."""

    @abstractmethod
    def _transact(self, write: Callable[[Transaction], R]) -> R:
        """Calls `write` in a transaction, or in the one that this thread has open."""

    @abstractmethod
    def _explained(self) -> contextlib.AbstractContextManager[None]:
        """Turns errors of the database into StoreErrors that say what to do."""

    @abstractmethod
    def _waiting(self, number: int | None) -> list[Report]:
        """This worker's reports that are not written yet."""

    @abstractmethod
    def _now(self, connection: Connection) -> float:
        """The sign of life to write for this worker."""

    @abstractmethod
    def _life_of(self, owner: str) -> Life:
        """What this machine knows of another worker."""

    @abstractmethod
    def _claim(self, row: codec.Row, now: float, life_of: Callable[[str], Life]) -> Claim:
        """Reads a row of the table of claims.

        Args:
            row: Its trial, owner and beat.
            now: `_now`.
            life_of: `_life_of`, or what remembers its answers.
        """

    def _claims(self, rows: Iterable[codec.Row], now: float) -> dict[int, Claim]:
        """Reads rows of the table of claims; each worker is looked at once."""
        life_of = functools.cache(self._life_of)
        return {row["trial"]: self._claim(row, now, life_of) for row in rows}

    @abstractmethod
    def _damaged(self, reason: str) -> StoreError:
        """The error for what cannot be read."""

    def _to_database(self, row: codec.Row) -> dict[Any, Any]:
        """The row of a trial as this database can keep it."""
        return dict(row)

    def _from_database(self, row: codec.Row) -> codec.Row:
        """What `_to_database` was given."""
        return row

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
        return self._trials(self._rows(_ALL))

    def _trials(self, rows: Sequence[codec.Row]) -> list[Trial]:
        trials: list[Trial] = []
        try:
            for row in rows:
                trials.append(codec.read_trial(self._from_database(row)))
        except codec.UNREADABLE as error:
            what = f"trial {rows[len(trials)]['number']}: "
            raise self._damaged(f"{what}{codec.why_unreadable(error)}") from error
        return trials

    def history(self, number: int | None = None) -> list[Report]:
        """The reports of one trial, or of all; by trial, attempt, execution and step."""
        query = sql.select(REPORTS)
        # Those that wait first: they may be written before the others are read.
        waiting = self._waiting(number)
        rows = self._rows(query if number is None else query.where(REPORTS.c.trial == number))
        return self._latest(rows, waiting)

    def histories(self, numbers: Sequence[int]) -> list[Report]:
        """The reports of some trials, in one read; see `store.reported`."""
        waiting = [each for each in self._waiting(None) if each.trial in set(numbers)]
        query = sql.select(REPORTS).where(REPORTS.c.trial.in_(numbers))
        return self._latest(self._rows(query), waiting)

    def _latest(self, rows: Sequence[codec.Row], waiting: Sequence[Report]) -> list[Report]:
        """Both, in order; a waiting report replaces the written one of the same step."""
        reports = [*self._reports_of(rows), *waiting]
        latest = {(r.trial, r.attempt, r.execution, r.step): r for r in reports}
        return [latest[place] for place in sorted(latest)]

    def last_steps(self, numbers: Sequence[int] | None) -> dict[int, int]:
        """The last step that each trial has reported, by trial; see `store.reported`.

        Args:
            numbers: The trials; None for all.
        """
        query = sql.select(REPORTS.c.trial, sql.func.max(REPORTS.c.step)).group_by(REPORTS.c.trial)
        queries = [query]
        if numbers is not None:  # databases limit how many numbers a statement may name
            parts = (numbers[start : start + 500] for start in range(0, len(numbers), 500))
            queries = [query.where(REPORTS.c.trial.in_(part)) for part in parts]
        steps: dict[int, int] = {}
        with self._look() as connection:
            if connection is not None:
                for each in queries:
                    steps.update({row[0]: row[1] for row in connection.execute(each)})
        for report in self._waiting(None):
            if numbers is None or report.trial in numbers:
                steps[report.trial] = max(steps.get(report.trial, -1), report.step)
        return steps

    def last_reports(self) -> list[Report]:
        """The reports of the last step of each attempt, without those that wait."""
        keys = (REPORTS.c.trial, REPORTS.c.attempt)
        last = sql.select(*keys, sql.func.max(REPORTS.c.step).label("step")).group_by(*keys)
        found = last.subquery()
        same = (REPORTS.c[name] == found.c[name] for name in ("trial", "attempt", "step"))
        return self._reports_of(self._rows(sql.select(REPORTS).join(found, sql.and_(*same))))

    def count_reports(self) -> Counter[int]:
        """How many reports each trial has, by its number, without those that wait."""
        query = sql.select(REPORTS.c.trial, sql.func.count().label("reports")).group_by(
            REPORTS.c.trial
        )
        return Counter({row["trial"]: row["reports"] for row in self._rows(query)})

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        with self._look() as connection:
            if connection is None:
                return None
            row = _NOTE.row(connection, {"its_key": key})
        with self._decoding():
            return None if row is None else codec.from_json(row["value"])

    def news(self, since: int | None) -> Changes:
        """What was written after a revision."""
        with self._look() as connection:
            if connection is None:
                return Changes(revision=0)
            return self._news(connection, since, read_revision(connection))

    def claims(self) -> Mapping[int, Claim]:
        """Who runs which trial, by number."""
        with self._look() as connection:
            if connection is None:
                return {}
            rows = _CLAIMS.rows(connection)
            now = self._now(connection) if rows else 0.0
        return self._claims(rows, now)

    def _news(self, connection: Connection, since: int | None, revision: int) -> Changes:
        if since is not None and revision == since:
            return Changes(revision=revision)
        found: Sequence[codec.Row]
        if since is None:
            found = [row._mapping for row in connection.execute(_WHOLE_NEWS)]
        else:
            found = _NEWS.rows(connection, {"since": since})
        reports: Sequence[codec.Row] | None = None if since is None else []
        if since is not None and any(row["ended"] is not None for row in found):
            reports = _NEW_REPORTS.rows(connection, {"since": since})
        meta = _SPACE.row(connection) or {}
        return self._changes(since, revision, found, reports, meta)

    def _changes(
        self,
        since: int | None,
        revision: int,
        trials: Sequence[codec.Row],
        reports: Sequence[codec.Row] | None,
        meta: codec.Row,
    ) -> Changes:
        """What rows say that were written after a revision."""
        return Changes(
            revision=revision,
            trials=self._trials(trials),
            mine=frozenset(row["number"] for row in trials if row["owner"] == self.worker),
            space=self._new_space(since, revision, meta) if meta else None,
            reports=None if reports is None else self._reports_of(reports),
        )

    def _new_space(
        self, since: int | None, revision: int, meta: codec.Row
    ) -> Mapping[str, Any] | None:
        """The space; None if it is what it was at revision `since`."""
        text: str | None = meta["space"] or meta["header"]
        known, first = self._space_known
        if text != known:
            first = revision
            self._space_known = text, first
        elif since is not None and since >= first:
            return None  # the same text: neither checked nor read again
        if text is None:
            return None
        with self._decoding("the search's header: "):
            codec.check_sum(meta, META_COLUMNS)
            if meta["space"] is None:
                return codec.header_from_json(text).space
            config: Mapping[str, Any] = codec.from_json(text)
            return config

    def _reports_of(self, rows: Sequence[codec.Row]) -> list[Report]:
        reports = []
        for row in rows:
            with self._decoding(f"a report of trial {row['trial']}: "):
                reports.append(codec.row_to_report(row))
        return reports

    def _meta(self, column: str) -> str | None:
        for row in self._rows(_META):
            with self._decoding("the search's header: "):
                codec.check_sum(row, META_COLUMNS)
            text: str | None = row[column]
            return text
        return None

    def _rows(self, query: sql.Select[Any]) -> Sequence[codec.Row]:
        with self._look() as connection:
            if connection is None:
                return []
            return [row._mapping for row in connection.execute(query)]

    @contextlib.contextmanager
    def _decoding(self, what: str = "") -> Iterator[None]:
        try:
            yield
        except codec.UNREADABLE as error:
            raise self._damaged(f"{what}{codec.why_unreadable(error)}") from error

    # -- writing ------------------------------------------------------------------------------

    def turn(self, work: Callable[[Changes], R], since: int | None) -> R:
        """Calls `work` while no other worker changes the search."""
        return self.turn_after(work, since, None)

    def turn_after(
        self,
        work: Callable[[Changes], R],
        since: int | None,
        learn: Callable[[Changes], None] | None,
    ) -> R:
        """A `turn` of a worker that learns most of the news while the one before it writes.

        With many workers, most of a turn is spent on learning what the others have written since
        the last one. So the next in line learns that before its turn begins.

        Args:
            work: See `turn`.
            since: See `turn`.
            learn: Gets what is new by then, where the worker has to learn ahead; `work` gets what
                is newer than that.
        """
        seen: list[tuple[Changes, Transaction]] = []
        known = since

        def learnt(changes: Changes) -> int:
            nonlocal known
            assert learn is not None
            if changes.revision != known:
                learn(changes)
            known = changes.revision
            return known

        def whole(now: Transaction) -> R:
            with self._explained():
                changes = self._news_of_turn(now, known)
            seen[:] = [(changes, now)]
            return work(changes)

        result = self._take_turn(whole, since, None if learn is None else learnt)
        for changes, transaction in seen:
            changes.revision = transaction.revision
        return result

    def _take_turn(
        self,
        write: Callable[[Transaction], R],
        since: int | None,
        learn: Callable[[Changes], int] | None,
    ) -> R:
        """`_transact`, for a transaction that begins with the news since a revision.

        Args:
            write: What it does.
            since: The revision.
            learn: Called with what is new before it begins, if the store can; returns the last
                revision known then.
        """
        del since, learn
        return self._transact(write)

    def _news_of_turn(self, now: Transaction, since: int | None) -> Changes:
        return self._news(now.connection, since, now.revision)

    def _change(self, write: Callable[[Transaction], R]) -> R:
        """Writes in a transaction; `write` does nothing but that."""

        def explained(now: Transaction) -> R:
            with self._explained():
                return write(now)

        return self._transact(explained)

    def begin(self, header: Header) -> None:
        """Starts a search in an empty store; raises StoreError if one has started already."""
        text = codec.header_to_json(header)

        def write(now: Transaction) -> None:
            begun = now.connection.execute(sql.select(META.c.header)).scalar_one()
            if not (now.again and begun == text):
                rules.check_begin(begun=begun is not None)
                _write_meta(now, header=text)

        self._change(write)

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that resumes with changed settings."""
        text = codec.header_to_json(header)

        def write(now: Transaction) -> None:
            begun = now.connection.execute(sql.select(META.c.header)).scalar_one()
            rules.check_begun(begun=begun is not None)
            _write_meta(now, header=text)

        self._change(write)

    def set_space(self, config: Mapping[str, Any]) -> None:
        """Keeps a grown search space without finishing a trial."""
        text = codec.to_json(config, "space")
        self._change(lambda now: _write_meta(now, space=text))

    def put(self, trial: Trial) -> None:
        """Adds a trial, or replaces an unfinished one, in one transaction."""
        row = codec.trial_to_row(trial)
        self._change(lambda now: self._write_trial(now, row))

    def finish(self, trial: Trial, space: Mapping[str, Any] | None = None) -> None:
        """Writes a finished trial, its reports and the grown space in one transaction."""
        rules.check_finished(trial)
        row = codec.trial_to_row(trial)
        text = None if space is None else codec.to_json(space, "space")

        def write(now: Transaction) -> None:
            self._write_trial(now, row)
            if text is not None:
                _write_meta(now, space=text)

        self._change(write)

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`."""
        text = codec.to_json(value, f"note {key!r}")

        def write(now: Transaction) -> None:
            now.connection.execute(NOTES.delete().where(NOTES.c.key == key))
            now.connection.execute(NOTES.insert().values(key=key, value=text))
            now.lasting = True
            now.count()

        self._change(write)

    def beat(self) -> frozenset[int]:
        """Renews the leases of this worker; returns the trials that it still holds."""

        def write(now: Transaction) -> frozenset[int]:
            mine = {"its_owner": self.worker}
            held = frozenset(now.connection.execute(_HOLDS, mine).scalars())
            if held:
                beat = self._now(now.connection)
                now.connection.execute(
                    _RENEW, [{"its_trial": number, "beat": beat} for number in sorted(held)]
                )
            return held

        return self._change(write)

    def predecessor_died(self) -> bool:
        """False: each claim says by itself whether its owner has died."""
        return False

    def _write_trial(self, now: Transaction, row: codec.Row) -> None:
        row = self._to_database({**row, "crc": codec.checksum(row, TRIAL_COLUMNS)})
        number, ended = row["number"], row["ended"]
        old = _STATUS.row(now.connection, {"its_number": number})
        if old is not None and now.again and Status(old["status"]).finished:
            there = now.connection.execute(_SAME, {"its_number": number}).one()._mapping
            if all(there[name] == row[name] for name in TRIAL_COLUMNS):
                return  # an earlier try has been written after all
        rules.check_replaceable(number, None if old is None else old["status"])
        owner = None if old is None else old["owner"]
        if old is not None and owner is not None and owner != self.worker:
            beat = {"trial": number, "owner": owner, "beat": old["beat"]}
            claim = self._claim(beat, self._now(now.connection), self._life_of)
            if not claim.lost:
                raise rules.claimed(number, claim.owner)
        row["revision"] = now.count()
        try:
            if old is None:
                _ADD.run(now.connection, row)
            else:
                _REPLACE.run(now.connection, {**row, "its_number": number})
        except sql.exc.IntegrityError as error:
            raise rules.same_end(number, ended) from error
        self._write_claim(now, row, owner)
        finished = Status(row["status"]).finished
        now.finishes += finished
        now.lasting |= finished

    def _write_claim(self, now: Transaction, row: codec.Row, owner: str | None) -> None:
        running = row["status"] == Status.RUNNING.value
        if owner is not None and not (running and owner == self.worker):
            _UNCLAIM.run(now.connection, {"its_trial": row["number"]})
            owner = None
        if running and owner is None:
            beat = self._now(now.connection)
            claim = {"trial": row["number"], "owner": self.worker, "beat": beat}
            _CLAIM.run(now.connection, claim)


def prepare(connection: Connection) -> None:
    """Makes the statements of all turns, before the first one."""
    columns = [column.name for column in TRIALS.columns]
    for each in (_STATUS, _NEWS, _NEW_REPORTS, _SPACE, _REVISION, _CLAIMS, _NOTE):
        each.prepare(connection, ())
    _ADD.prepare(connection, columns)
    _REPLACE.prepare(connection, [*columns, "its_number"])
    _COUNT.prepare(connection, ["its_revision"])
    _CLAIM.prepare(connection, ["trial", "owner", "beat"])
    _UNCLAIM.prepare(connection, ["its_trial"])


def read_revision(connection: Connection) -> int:
    """The revision of the search."""
    return int(_REVISION.rows(connection)[0]["revision"])


def leave(connection: Connection, worker: str) -> None:
    """Ends all claims of a worker."""
    connection.execute(_LEAVE, {"its_owner": worker})


def write_reports(connection: Connection, reports: Sequence[Report]) -> None:
    """Writes reports, each in place of an earlier one of the same step."""
    if not reports:
        return
    rows = [codec.report_to_row(report) for report in reports]
    keys = [
        {f"its_{name}": row[name] for name in ("trial", "attempt", "execution", "step")}
        for row in rows
    ]
    # Delete and insert: every database spells "replace" differently.
    connection.execute(REPORTS.delete().where(_THIS_REPORT), keys)
    connection.execute(REPORTS.insert(), rows)


def _write_meta(now: Transaction, **texts: str) -> None:
    row = {**now.connection.execute(_META).one()._mapping, **texts}
    crc = codec.checksum(row, META_COLUMNS)
    now.connection.execute(META.update().values(crc=crc, **texts))
    now.lasting = True
    now.count()
