"""What a store of trials promises. `afina.testing.check_store` tests each promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from afina.trials import Report, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What identifies a search: written when it begins, compared when it goes on."""

    algorithm: str
    """`Algorithm.name`."""

    settings: Mapping[str, Any]
    """`Algorithm.settings()`, JSON values."""

    objective: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    """Name and direction of the objective, or a list of them; JSON values."""

    seed: int
    """Every draw of the search and of its trainings follows from it."""

    space: Mapping[str, Any]
    """`HyperParameters.get_config()` when the search began."""


@runtime_checkable
class TrialStore(Protocol):
    """Keeps the trials of one search.

    **All or nothing.** After a crash each call has happened whole or not at all.
    **Finished is finished.** A COMPLETED or FAILED trial is never written again: StoreError.
    No two trials have the same place in the order in which they `ended`: StoreError.
    **One writer.** The first call that writes takes the project for this process until `close`,
    until nobody refers to the store, or until the process dies; meanwhile another process's write
    raises ProjectLockedError. Within a process the newest store that writes takes over, and the
    next write of an older one raises StoreError. Reading is always allowed.
    **Looking changes nothing.** A project is made by the first write.
    **Cheap reports.** `report` may be buffered; reports reach the disk at the latest with the next
    change of any trial's state, and at the latest a few seconds later while others come in. A
    report of the same trial, attempt, execution and step replaces the earlier one. Whoever buffers
    them shows them in `history` nevertheless.
    **What goes in comes out.** NaN and infinite metrics come back as they were; NumPy's numbers
    come back as Python's, tuples in JSON values as lists. A score is never NaN: StoreError.
    What is given back shares nothing with what is kept. Many threads may use one store.
    """

    def header(self) -> Header | None:
        """What was written by `begin`, or None for an empty store."""
        ...

    def begin(self, header: Header) -> None:
        """Starts a search in an empty store: StoreError if it has begun already."""
        ...

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that goes on with settings that may change."""
        ...

    def space(self) -> Mapping[str, Any] | None:
        """The search space as last given to `finish` or `set_space`, else the header's."""
        ...

    def set_space(self, config: Mapping[str, Any]) -> None:
        """Keeps a grown search space without finishing a trial."""
        ...

    def put(self, trial: Trial) -> None:
        """Adds a trial, or replaces an unfinished one, in one transaction.

        The way for every change of state: new RUNNING, WAITING for a retry, COMPLETED, FAILED.
        """
        ...

    def finish(self, trial: Trial, space: Mapping[str, Any] | None = None) -> None:
        """`put` of a finished trial together with its buffered reports and, where the trial
        discovered new hyperparameters, the grown space: one transaction."""
        ...

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics."""
        ...

    def trials(self) -> list[Trial]:
        """All trials by number."""
        ...

    def history(self, number: int | None = None) -> list[Report]:
        """The reports of one trial, all attempts, by attempt, execution and step.

        Without a number: those of all trials at once, by trial first.
        """
        ...

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        ...

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`: state of things outside the search's own trials."""
        ...

    def predecessor_died(self) -> bool:
        """Takes the project for this process, and tells of the one that wrote it before.

        Returns:
            True, at the first call only, where it died without warning: killed, out of memory, or
            crashed in compiled code. False where it closed its store, was ended by an exception
            or by Ctrl-C, or was asked to end (SIGTERM).
        """
        ...

    def close(self) -> None:
        """Writes what is buffered and lets go of the project."""
        ...
