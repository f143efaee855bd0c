"""Trials in memory: for searches without a project folder, and as the reference in tests."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from afina.store import rules
from afina.store.base import Changes, Claim, Header
from afina.store.codec import (
    Row,
    from_json,
    header_from_json,
    header_to_json,
    report_to_row,
    row_to_report,
    row_to_trial,
    to_json,
    trial_to_row,
)
from afina.trials import Report, Status, Trial

R = TypeVar("R")

_HEADER, _SPACE, _REVISION = "header", "space", "revision"


class _Kept:
    """What the workers of one search share."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.names = itertools.count()
        self.meta: dict[str, Any] = {_REVISION: 0}
        self.trials: dict[int, Row] = {}
        self.revisions: dict[int, int] = {}
        self.ended: dict[int, int] = {}  # place in the order of ending: number
        self.reports: dict[tuple[int, int, int, int], Row] = {}
        self.notes: dict[str, str] = {}
        self.claims: dict[int, tuple[str, float]] = {}  # number: owner, last sign of life
        self.undo: list[Callable[[], Any]] | None = None  # within a turn

    def set(self, kept: dict[Any, Any], key: Any, value: Any) -> None:
        """Writes an entry, so that a turn that fails can be undone; None removes it."""
        if self.undo is not None:
            old = kept.get(key)
            self.undo.append(lambda: _set(kept, key, old))
        _set(kept, key, value)


def _set(kept: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        kept.pop(key, None)
    else:
        kept[key] = value


class MemoryStore:
    """A `SharedStore` that ends with the process.

    It keeps the same rows and JSON texts as the SQL stores. So it returns equal values, and they
    share no mutable part with what was put in.

    Args:
        beside: Another worker's store of the same search; None begins a search of its own.
        lease: After how many seconds without a sign of life a trial is given to others.

    Example:
        >>> store = MemoryStore()
        >>> store.put(Trial(number=0, values={"units": 8}))
        >>> store.trials()[0].values
        {'units': 8}
    """

    def __init__(self, *, beside: MemoryStore | None = None, lease: float = 60.0) -> None:
        self._kept: _Kept = _Kept() if beside is None else beside._kept
        self._guard = self._kept.guard
        self.lease = lease
        self.worker = f"worker {next(self._kept.names)}"
        """The name of this worker."""

    def header(self) -> Header | None:
        """The header of the search; None for an empty store."""
        text = self._kept.meta.get(_HEADER)
        return None if text is None else header_from_json(text)

    def begin(self, header: Header) -> None:
        """Starts a search in an empty store."""
        text = header_to_json(header)
        with self._guard:
            rules.check_begin(begun=_HEADER in self._kept.meta)
            self._set_meta(_HEADER, text)

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that resumes."""
        text = header_to_json(header)
        with self._guard:
            rules.check_begun(begun=_HEADER in self._kept.meta)
            self._set_meta(_HEADER, text)

    def space(self) -> Mapping[str, Any] | None:
        """The search space as last given to `finish` or `set_space`, else the header's."""
        with self._guard:
            if (text := self._kept.meta.get(_SPACE)) is not None:
                config: Mapping[str, Any] = from_json(text)
                return config
            header = self.header()
            return None if header is None else header.space

    def set_space(self, config: Mapping[str, Any]) -> None:
        """Keeps a grown search space without finishing a trial."""
        text = to_json(config, "space")
        with self._guard:
            self._set_meta(_SPACE, text)

    def put(self, trial: Trial) -> None:
        """Adds a trial, or replaces an unfinished one."""
        self._put(trial_to_row(trial), None)

    def finish(self, trial: Trial, space: Mapping[str, Any] | None = None) -> None:
        """Writes a finished trial and, if given, the grown space."""
        rules.check_finished(trial)
        self._put(trial_to_row(trial), None if space is None else to_json(space, "space"))

    def _put(self, row: Row, space: str | None) -> None:
        kept, number, ended = self._kept, row["number"], row["ended"]
        with self._guard:
            old = kept.trials.get(number)
            rules.check_replaceable(number, None if old is None else old["status"])
            claim = self._claim(number) if number in kept.claims else None
            if claim is not None and not claim.mine and not claim.lost:
                raise rules.claimed(number, claim.owner)
            if ended is not None:
                if kept.ended.get(ended, number) != number:
                    raise rules.same_end(number, ended)
                kept.set(kept.ended, ended, number)
            kept.set(kept.trials, number, row)
            kept.set(kept.revisions, number, self._count())
            running = row["status"] == Status.RUNNING.value
            mine = (self.worker, time.monotonic())
            kept.set(kept.claims, number, mine if running else None)
            if space is not None:
                self._set_meta(_SPACE, space)

    def _count(self) -> int:
        revision: int = self._kept.meta[_REVISION] + 1
        self._kept.set(self._kept.meta, _REVISION, revision)
        return revision

    def _set_meta(self, key: str, text: str) -> None:
        self._kept.set(self._kept.meta, key, text)
        self._count()

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics."""
        row = report_to_row(report)
        key = (row["trial"], row["attempt"], row["execution"], row["step"])
        with self._guard:
            self._kept.set(self._kept.reports, key, row)

    def trials(self) -> list[Trial]:
        """All trials by number."""
        with self._guard:
            rows = self._kept.trials
            return [row_to_trial(rows[number]) for number in sorted(rows)]

    def history(self, number: int | None = None) -> list[Report]:
        """The reports of one trial, or of all; by trial, attempt, execution and step."""
        with self._guard:
            reports = self._kept.reports
            keys = sorted(key for key in reports if number is None or key[0] == number)
            return [row_to_report(reports[key]) for key in keys]

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        with self._guard:
            return from_json(self._kept.notes.get(key, "null"))

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`."""
        text = to_json(value, f"note {key!r}")
        with self._guard:
            self._kept.set(self._kept.notes, key, text)
            self._count()

    # -- several workers ----------------------------------------------------------------------

    def turn(self, work: Callable[[Changes], R], since: int | None) -> R:
        """Calls `work` while no other worker changes the search."""
        kept = self._kept
        with self._guard:
            changes = self.news(since)
            outermost = kept.undo is None
            if outermost:
                kept.undo = []
            try:
                result = work(changes)
            except BaseException:
                if outermost:
                    for step in reversed(kept.undo or []):
                        step()
                raise
            finally:
                if outermost:
                    kept.undo = None
            changes.revision = kept.meta[_REVISION]
            return result

    def news(self, since: int | None) -> Changes:
        """What was written after a revision."""
        kept = self._kept
        with self._guard:
            revision = kept.meta[_REVISION]
            if since == revision:
                return Changes(revision=revision)
            known = -1 if since is None else since
            new = [number for number, own in kept.revisions.items() if own > known]
            trials = [row_to_trial(kept.trials[number]) for number in sorted(new)]
            trials.sort(key=lambda trial: -1 if trial.ended is None else trial.ended)
            mine = frozenset(n for n in new if kept.claims.get(n, ("",))[0] == self.worker)
            return Changes(revision=revision, trials=trials, mine=mine, space=self.space())

    def claims(self) -> Mapping[int, Claim]:
        """Who runs which trial, by number."""
        with self._guard:
            return {number: self._claim(number) for number in self._kept.claims}

    def _claim(self, number: int) -> Claim:
        owner, beat = self._kept.claims[number]
        mine = owner == self.worker
        lost = not mine and time.monotonic() - beat > self.lease
        return Claim(trial=number, owner=owner, mine=mine, lost=lost, died=lost)

    def beat(self) -> frozenset[int]:
        """Renews the leases of this worker; returns the trials that it still holds."""
        with self._guard:
            held = [n for n, (owner, _) in self._kept.claims.items() if owner == self.worker]
            for number in held:
                self._kept.claims[number] = (self.worker, time.monotonic())
            return frozenset(held)

    def predecessor_died(self) -> bool:
        """False: no other process can have written this store."""
        return False

    def close(self) -> None:
        """Ends the leases of this worker; nothing is buffered."""
        with self._guard:
            for number in self.beat():
                del self._kept.claims[number]
