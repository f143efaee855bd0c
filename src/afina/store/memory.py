"""Trials in memory: for searches without a project folder, and as the reference in tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from afina.store import rules
from afina.store.base import Header
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
from afina.trials import Report, Trial


class MemoryStore:
    """A `TrialStore` that ends with the process.

    It keeps the same rows and JSON texts as the SQL stores. So it returns equal values, and they
    share no mutable part with what was put in.

    Example:
        >>> store = MemoryStore()
        >>> store.put(Trial(number=0, values={"units": 8}))
        >>> store.trials()[0].values
        {'units': 8}
    """

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._header: str | None = None
        self._space: str | None = None
        self._trials: dict[int, Row] = {}
        self._ended: dict[int, int] = {}  # place in the order of ending: number
        self._reports: dict[tuple[int, int, int, int], Row] = {}
        self._notes: dict[str, str] = {}

    def header(self) -> Header | None:
        """The header of the search; None for an empty store."""
        with self._guard:
            return None if self._header is None else header_from_json(self._header)

    def begin(self, header: Header) -> None:
        """Starts a search in an empty store."""
        text = header_to_json(header)
        with self._guard:
            rules.check_begin(begun=self._header is not None)
            self._header = text

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that resumes."""
        text = header_to_json(header)
        with self._guard:
            rules.check_begun(begun=self._header is not None)
            self._header = text

    def space(self) -> Mapping[str, Any] | None:
        """The search space as last given to `finish` or `set_space`, else the header's."""
        with self._guard:
            if self._space is not None:
                config: Mapping[str, Any] = from_json(self._space)
                return config
            header = self.header()
            return None if header is None else header.space

    def set_space(self, config: Mapping[str, Any]) -> None:
        """Keeps a grown search space without finishing a trial."""
        text = to_json(config, "space")
        with self._guard:
            self._space = text

    def put(self, trial: Trial) -> None:
        """Adds a trial, or replaces an unfinished one."""
        self._put(trial_to_row(trial), None)

    def finish(self, trial: Trial, space: Mapping[str, Any] | None = None) -> None:
        """Writes a finished trial and, if given, the grown space."""
        rules.check_finished(trial)
        self._put(trial_to_row(trial), None if space is None else to_json(space, "space"))

    def _put(self, row: Row, space: str | None) -> None:
        number, ended = row["number"], row["ended"]
        with self._guard:
            old = self._trials.get(number)
            rules.check_replaceable(number, None if old is None else old["status"])
            if ended is not None and self._ended.setdefault(ended, number) != number:
                raise rules.same_end(number, ended)
            self._trials[number] = row
            if space is not None:
                self._space = space

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics."""
        row = report_to_row(report)
        key = (row["trial"], row["attempt"], row["execution"], row["step"])
        with self._guard:
            self._reports[key] = row

    def trials(self) -> list[Trial]:
        """All trials by number."""
        with self._guard:
            return [row_to_trial(self._trials[number]) for number in sorted(self._trials)]

    def history(self, number: int | None = None) -> list[Report]:
        """The reports of one trial, or of all; by trial, attempt, execution and step."""
        with self._guard:
            keys = sorted(key for key in self._reports if number is None or key[0] == number)
            return [row_to_report(self._reports[key]) for key in keys]

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        with self._guard:
            return from_json(self._notes.get(key, "null"))

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`."""
        text = to_json(value, f"note {key!r}")
        with self._guard:
            self._notes[key] = text

    def predecessor_died(self) -> bool:
        """False: no other process can have written this store."""
        return False

    def close(self) -> None:
        """Does nothing: nothing is buffered, and no other process can write."""
