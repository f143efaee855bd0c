"""What a store of trials promises. `afina.testing.check_store` tests each promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from afina.trials import Report, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What identifies a search: written when the search starts, compared when it resumes."""

    algorithm: str
    """The algorithm's `name`."""

    settings: Mapping[str, Any]
    """The algorithm's `settings()`, as JSON values."""

    objective: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    """Name and direction of the objective, or a list of them; JSON values."""

    seed: int
    """All random draws of the search and of its trainings follow from it."""

    space: Mapping[str, Any]
    """`HyperParameters.get_config()` when the search started."""


@runtime_checkable
class TrialStore(Protocol):
    """Keeps the trials of one search.

    **All or nothing.** After a crash, each call has happened completely or not at all.
    **Finished is finished.** Writing a COMPLETED or FAILED trial again raises StoreError. So does
    a second trial with the same place in `ended`, the order in which trials finish.
    **One writer.** The first write locks the project for this process. The lock ends with `close`,
    with the last reference to the store, or with the process. Until then a write of another
    process raises ProjectLockedError. Within a process, the newest store that writes takes over,
    and the next write of an older one raises StoreError. Reading is always allowed.
    **Reading changes nothing.** The first write creates the project.
    **Cheap reports.** A store may buffer reports. It writes them with the next change of any
    trial's state, or a few seconds later while other reports come in. A report of the same trial,
    attempt, execution and step replaces the earlier one. `history` includes buffered reports.
    **What goes in comes out.** NaN and infinite metrics come back unchanged, NumPy's numbers as
    Python's, tuples in JSON values as lists. A score that is NaN raises StoreError.
    Returned values share nothing with stored ones. Many threads may use one store.
    """

    def header(self) -> Header | None:
        """The header of the search; None for an empty store."""
        ...

    def begin(self, header: Header) -> None:
        """Starts a search in an empty store; raises StoreError if one has started already."""
        ...

    def set_header(self, header: Header) -> None:
        """Replaces the header of a search that resumes with changed settings."""
        ...

    def space(self) -> Mapping[str, Any] | None:
        """The search space as last given to `finish` or `set_space`, else the header's."""
        ...

    def set_space(self, config: Mapping[str, Any]) -> None:
        """Keeps a grown search space without finishing a trial."""
        ...

    def put(self, trial: Trial) -> None:
        """Adds a trial, or replaces an unfinished one, in one transaction.

        All changes of a trial's state use it: RUNNING, WAITING for a retry, COMPLETED, FAILED.
        """
        ...

    def finish(self, trial: Trial, space: Mapping[str, Any] | None = None) -> None:
        """Writes a finished trial and its buffered reports in one transaction.

        Args:
            trial: COMPLETED or FAILED.
            space: The grown search space, if the trial discovered new hyperparameters.
        """
        ...

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics."""
        ...

    def trials(self) -> list[Trial]:
        """All trials by number."""
        ...

    def history(self, number: int | None = None) -> list[Report]:
        """The reports of all attempts of one trial, sorted by attempt, execution and step.

        Args:
            number: The trial; None for all trials, sorted by trial first.
        """
        ...

    def note(self, key: str) -> Any:
        """A JSON value kept under `key`, or None."""
        ...

    def set_note(self, key: str, value: Any) -> None:
        """Keeps a JSON value under `key`, for state that belongs to no trial."""
        ...

    def predecessor_died(self) -> bool:
        """Locks the project, and says whether the process that wrote it before died.

        Returns:
            True, at the first call only, if it died without warning: killed, out of memory, or
            crashed in compiled code. False if it closed its store, or was ended by an exception,
            by Ctrl-C or by SIGTERM.
        """
        ...

    def close(self) -> None:
        """Writes what is buffered and unlocks the project."""
        ...
