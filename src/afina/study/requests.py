"""What people ask of a running search from outside, for example on the dashboard's page.

    Requests.ask_* ──▶ the store's note "requests" ──▶ every SearchState on that store
                                                        ├─ stop      no new trial begins
                                                        ├─ end       a trial ends after its epoch
                                                        ├─ pause     a trial is saved and waits
                                                        ├─ boost     a trial trains for longer
                                                        ├─ ranges    where new trials are drawn
                                                        └─ try       joins the queue

A search reads the note in a turn with news, and at most once a second while trials report epochs.
What it cannot do it answers under "refused". `study.by_hand` does what a turn must do, and
`study.queue` keeps the configurations that wait.
In the same way it says what it is up to, in the note "plan": its limits, what it cannot do, and why
it stopped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from afina.errors import ArgumentError, StoreError, wrong
from afina.store import SharedStore, TrialStore

REQUESTS, PLAN = "requests", "plan"
"""The keys of the two notes."""

PAUSE = 1.0
"""Least seconds between two looks at the note while trials report epochs."""

REST = 15.0
"""Seconds more until the next look, where the last one found the store away."""

MOST_WAITING = 100
"""Most configurations that may wait to be tried."""

_NO_NEWS = 2**62
"""A revision that no search reaches: who asks for what is newer gets nothing."""

MOST_REFUSED = 5
"""Most answers of the search that are kept: the newest ones."""

OWN_LOOP = "the script trains the models itself, so the search has no checkpoint to continue from"
"""Why the trials of a search can be neither paused nor continued, unless a tuner says otherwise."""

STOPPED = "it was stopped from outside"
"""Why a search has stopped that was asked to, as a sentence's end."""


class Requests:
    """The requests to one search; see the module.

    Args:
        store: Where the search is kept.

    Example:
        >>> from afina.store import MemoryStore
        >>> store = MemoryStore()
        >>> search = Requests(store)
        >>> Requests(store).ask_end(3)
        >>> search.ends(3), search.ends(4)
        (True, False)
    """

    def __init__(self, store: TrialStore) -> None:
        self.store = store
        self.cannot: dict[str, str] = {"pause": OWN_LOOP, "boost": OWN_LOOP}
        """What this search cannot do, by the name of the request, and why."""
        self.folder: str | None = None
        """Where the trials have folders of their own; None where they have none."""
        self._note: Mapping[str, Any] = self._read()
        self._answered = self._note.get("stop")  # asked for before this process joined
        self._looked = time.monotonic() - PAUSE
        self._shared = isinstance(store, SharedStore)
        self.stale = True
        """Whether the note may have changed: in a shared store it is then among the news."""

    # -- the search ---------------------------------------------------------------------------

    def announce(self, plan: Mapping[str, Any]) -> None:
        """Says what the search is up to.

        Args:
            plan: Its limits, as JSON values.
        """
        said = {**plan, "cannot": self.cannot, "folder": self.folder, "began": time.time()}
        self.store.set_note(PLAN, {**said, "ended": None, "reason": None})

    def farewell(self, reason: str) -> None:
        """Says why the search has stopped.

        Args:
            reason: A sentence's end.
        """
        plan = plan_of(self.store)
        if plan and plan.get("reason") != reason:
            self.store.set_note(PLAN, {**plan, "ended": time.time(), "reason": reason})

    def look(self) -> None:
        """Reads the note; each turn of the search that finds it stale begins with it."""
        self._note, self.stale = self._read(), not self._shared

    def stop_is_asked(self) -> bool:
        """Whether somebody asked for the end of the search since it began."""
        return self._note.get("stop") != self._answered

    def answer_stop(self) -> None:
        """The search has ended; another one may begin."""
        self._answered = self._note.get("stop")

    def ends(self, number: int) -> bool:
        """Whether somebody asked for the end of a running trial.

        Args:
            number: The trial's.
        """
        now = time.monotonic()
        if now - self._looked >= PAUSE:
            self._looked = now
            try:
                self._note = self._read(wait=False)
            except StoreError:  # the database is away: the training goes on
                self._looked = now + REST
        return number in self._note.get("end", ())

    @property
    def paused(self) -> frozenset[int]:
        """Numbers of the trials that somebody has paused, as of the last look."""
        return frozenset(self._note.get("pause", ()))

    @property
    def boosts(self) -> list[list[int]]:
        """Trials that are to train for longer: the number of each, and how many epochs more."""
        return list(self._note.get("boost") or ())

    @property
    def tries(self) -> list[Mapping[str, Any]]:
        """Configurations that are to join the queue."""
        return list(self._note.get("try") or ())

    @property
    def ranges(self) -> Mapping[str, Any] | None:
        """Where new trials are to be drawn, by hyperparameter; None if nobody ever asked."""
        return self._note.get("ranges")

    def answer(self, now: Mapping[str, Any], reason: str | None = None) -> None:
        """Takes requests out of the note, or puts them right. Called within a turn.

        Args:
            now: What is asked for from now on, by the request's name.
            reason: Why the search does not do what somebody asked for; None where it does.
        """
        refused = self._note.get("refused", [])
        if reason is not None:
            refused = [*refused, reason][-MOST_REFUSED:]
        kept = {"refused": refused} if refused else {}
        self._note = {**self._note, **now, **kept}
        self.stale = True  # the turn may fail, and what it has written with it
        self.store.set_note(REQUESTS, self._note)

    # -- people -------------------------------------------------------------------------------

    def ask_stop(self) -> None:
        """Asks that no new trial begins. Running trials train to their end."""
        self._change(lambda note: {**note, "stop": secrets.token_hex(8)})

    def ask_end(self, number: int) -> None:
        """Asks that a running trial ends after its epoch, and keeps its score.

        Args:
            number: The trial's.
        """
        self._change(lambda note: {**note, "end": sorted({*note.get("end", ()), number})})

    def ask_pause(self, number: int) -> None:
        """Asks that a running trial is saved after its epoch, and waits until it is resumed.

        Args:
            number: The trial's.
        """
        self._change(lambda note: {**note, "pause": sorted({*note.get("pause", ()), number})})

    def ask_resume(self, number: int) -> None:
        """Gives a paused trial back to the search.

        Args:
            number: The trial's.
        """
        self._change(lambda note: {**note, "pause": sorted({*note.get("pause", ())} - {number})})

    def ask_boost(self, number: int, epochs: int) -> None:
        """Asks that a completed trial trains for longer, as a new trial that continues it.

        Args:
            number: The trial's.
            epochs: How many epochs more.

        Raises:
            ArgumentError: Too many wait already.
        """
        self._add("boost", [number, epochs])

    def ask_range(self, name: str, wanted: Mapping[str, Any] | None) -> None:
        """Asks that new trials draw a hyperparameter from a part of its range.

        Args:
            name: The hyperparameter's.
            wanted: `low` and `high` of a number, or the `values` of a choice; None for all that
                the script allows.
        """

        def change(note: Mapping[str, Any]) -> Mapping[str, Any]:
            others = {key: each for key, each in (note.get("ranges") or {}).items() if key != name}
            return {**note, "ranges": others if wanted is None else {**others, name: wanted}}

        self._change(change)

    def dismiss(self) -> None:
        """Forgets what the search has answered."""
        self._change(lambda note: {key: note[key] for key in note if key != "refused"})

    def ask_try(self, values: Mapping[str, Any]) -> None:
        """Asks that these values join the queue; others stand at their defaults.

        Args:
            values: By hyperparameter.

        Raises:
            ArgumentError: Too many wait already.
        """
        self._add("try", dict(values))

    def _add(self, kind: str, request: Any) -> None:
        def add(note: Mapping[str, Any]) -> Mapping[str, Any]:
            waiting = list(note.get(kind) or ())
            if len(waiting) >= MOST_WAITING:
                rule = f"must find fewer than {MOST_WAITING} requests waiting"
                raise ArgumentError(wrong(kind, rule, len(waiting), "Wait for the search."))
            return {**note, kind: [*waiting, request]}

        self._change(add)

    def _change(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        def write() -> None:
            self._note = change(self._read())
            self.store.set_note(REQUESTS, self._note)

        if isinstance(self.store, SharedStore):
            # Another person may ask at the same moment: read and write in one transaction.
            self.store.turn(lambda changes: write(), _NO_NEWS)
        else:
            write()

    def _read(self, *, wait: bool = True) -> Mapping[str, Any]:
        read = self.store.note if wait else getattr(self.store, "peek", self.store.note)
        note = read(REQUESTS)
        return note if isinstance(note, Mapping) else {}


def plan_of(store: TrialStore) -> Mapping[str, Any]:
    """What the search says that it is up to; empty if it began before searches said so.

    Args:
        store: Where the search is kept.

    Returns:
        `max_trials`, `max_total_epochs`, `time_budget`, `began` and `ended` (seconds since 1970),
        `cannot` (why it cannot do what people may ask for, by the request's name), `folder` (where
        the trials have folders of their own), and `reason`, which is None while the search runs.
    """
    plan = store.note(PLAN)
    return plan if isinstance(plan, Mapping) else {}


def waiting_in(store: TrialStore) -> Mapping[str, Any]:
    """The requests as they stand, by name; and what the search answered, as `refused`.

    Args:
        store: Where the search is kept.
    """
    return Requests(store)._note
