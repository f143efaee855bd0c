"""What a store of trials promises. `afina.testing.check_store` tests each promise.

    TrialStore            for one worker at a time
    └── SharedStore       for any number: `afina.testing.check_shared_store` tests what it adds

A *worker* is a process that searches. It claims a trial to run it, and holds it under a *lease*,
which ends when the worker shows no sign of life for some time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from afina.trials import Report, Trial

R = TypeVar("R")


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
    **One writer in a process.** Within a process, the newest store that writes takes over, and the
    next write of an older one raises StoreError. Of several processes, all may write a store that
    is a `SharedStore`; else a write of a second process raises ProjectLockedError. Reading is
    always allowed.
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
        """Keeps a JSON value under `key`, for state that belongs to no trial.

        In a `SharedStore` it raises the revision: whoever has read a note need not read it again
        before there is news.
        """
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


@dataclass(slots=True, kw_only=True)
class Changes:
    """What has become of a search since a revision of it."""

    revision: int
    """Counts the changes of the search. It goes up with what is written in a turn."""

    trials: Sequence[Trial] = ()
    """Those that were written since, as they are now; the unfinished ones by number, behind them
    the finished ones in the order in which they ended."""

    mine: frozenset[int] = frozenset()
    """The numbers of those among them that this worker has claimed."""

    space: Mapping[str, Any] | None = None
    """The space, if it may have changed; else None."""

    reports: Sequence[Report] | None = None
    """The reports of the finished ones among them; None where `history` must be asked for them."""

    whole: bool = False
    """Whether `trials` are all that there are, although a revision was known: the connection was
    made anew, and what the store said last before may not have survived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who runs a trial."""

    trial: int
    """The trial's number."""

    owner: str
    """The worker, in words for people."""

    mine: bool
    """Whether this worker is the owner."""

    lost: bool
    """Whether the lease is over: any worker may take the trial."""

    died: bool
    """Whether it is over because the owner died without warning, or stopped showing life."""


@runtime_checkable
class SharedStore(TrialStore, Protocol):
    """A store that any number of workers may write at the same time.

    **One claimer.** Writing a RUNNING trial claims it. While another worker's lease on it lasts,
    every write of it raises LostLeaseError. Writing it in another state, or finishing it, ends the
    claim. So of all results of a trial exactly one is kept.
    **Turns.** What happens in `turn` is one transaction, in which no other worker changes the
    search: number, values and state of a new trial agree in all workers. After an error in it, all
    is as before.
    **News, not everything.** `turn` and `news` hand over what was written after a revision, and
    only that.
    **Leases.** A lease lasts while its owner calls `beat` at least every `lease` seconds. It ends
    at once where the store can tell that the owner has died. `close` ends those of this worker. A
    clock that is set back or forward ends none.
    **Never locked for long.** Nothing is locked outside of `turn` and of the writing methods.
    """

    lease: float
    """Seconds without a sign of life after which a trial is given to others."""

    def turn(self, work: Callable[[Changes], R], since: int | None) -> R:
        """Calls `work` while no other worker changes the search, and returns what it returns.

        The store's other methods may be called within. Where the connection to a database is lost,
        `work` is called again once it is back; the changes may then include what it wrote before.

        Args:
            work: Gets what is new; once the turn has ended, `Changes.revision` includes what was
                written in it.
            since: The last revision that is known; None for none.
        """
        ...

    def news(self, since: int | None) -> Changes:
        """What is new, read without waiting for other workers; see `turn`."""
        ...

    def claims(self) -> Mapping[int, Claim]:
        """Who runs which trial, by number."""
        ...

    def beat(self) -> frozenset[int]:
        """Renews the leases of this worker.

        Returns:
            The trials that it still holds.
        """
        ...
