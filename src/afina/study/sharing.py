"""One search in several processes: turns, leases, and trials whose worker is gone.

    SearchState ── a step ──▶ WorkerShare.turn ──▶ SharedStore.turn
                                  │             first: catch up with what other workers wrote
                                  │             then: the step, which reads and writes
                                  └── Heartbeat: a thread that renews the leases meanwhile

With a store for one worker alone there is nothing to share: a turn is the step itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from afina.errors import StoreError
from afina.store import Changes, SharedStore, TrialStore
from afina.trials import Trial

R = TypeVar("R")

BEATS = 4
"""Signs of life within the length of a lease."""

FEW, PAUSE = 4, 0.25
"""Where more than so many trials run elsewhere, a search in which many trials begin looks for dead
workers once in so many seconds: each look asks the system about each of them."""

CROWDED = 2.0
"""Trials among the news of a turn, on average, from which on a worker learns ahead."""


@dataclass(frozen=True)
class Loss:
    """How a trial has lost its worker."""

    worker: str
    """In words for people; empty if it is not known."""

    died: bool
    """Whether the worker died without warning."""


class WorkerShare:
    """This worker's part in a search.

    Args:
        store: Any store.
    """

    def __init__(self, store: TrialStore) -> None:
        self.store = store
        self._shared = store if isinstance(store, SharedStore) else None
        self._since: int | None = None
        self._died: bool | None = None  # the last worker of a store for one alone
        self._heart: Heartbeat | None = None
        self._looked = -math.inf  # when it was seen last which workers have died
        self.workers = 1
        """How many run trials, this one among them, as of that look."""
        self._news = 0.0  # trials among the news of a turn; the mean of the latest turns

    def open(self) -> list[Trial]:
        """All trials by number, as a search finds them."""
        if self._shared is None:
            return self.store.trials()
        changes = self._shared.news(None)
        self._since = changes.revision
        return sorted(changes.trials, key=lambda trial: trial.number)

    def turn(self, step: Callable[[], R], catch_up: Callable[[Changes], None]) -> R:
        """Does a step while no other worker changes the search.

        Args:
            step: Reads and writes.
            catch_up: Called with what is new: before the step, and where there is much of it, also
                before the turn.
        """
        if self._shared is None:
            return step()
        seen: list[Changes] = []
        news = 0

        def learn(changes: Changes) -> None:
            nonlocal news
            news += len(changes.trials)
            catch_up(changes)
            self._since = changes.revision

        def whole(changes: Changes) -> R:
            if changes.whole or changes.revision != self._since:
                learn(changes)
            seen[:] = [changes]
            return step()

        after = getattr(self._shared, "turn_after", None) if self.crowded else None
        if after is None:
            result = self._shared.turn(whole, self._since)
        else:
            result = after(whole, self._since, learn)
        self._since = seen[0].revision
        self._news = (self._news + news) / 2
        return result

    @contextlib.contextmanager
    def forgets_if_interrupted(self) -> Iterator[None]:
        """Where Ctrl-C comes within, what was written there is news for the next turn."""
        since = self._since
        try:
            yield
        except KeyboardInterrupt:
            self._since = since
            raise

    @property
    def crowded(self) -> bool:
        """Whether many workers wait for their turns."""
        return self._news >= CROWDED

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Keeps this worker's place from one turn to the next, if the store can.

        So each trial costs one wait for the others instead of two. Each turn is written by itself.
        Within the block, nothing may happen but these turns: the others wait, and a result may not
        be on the disk before the end of the block.
        """
        keep = getattr(self._shared, "together", contextlib.nullcontext)
        found: contextlib.AbstractContextManager[None] = keep()
        return found

    # -- trials whose worker is gone ----------------------------------------------------------

    def held_by_others(self) -> frozenset[int]:
        """The trials that other workers run."""
        if self._shared is None:
            return frozenset()
        claims = self._shared.claims().values()
        return frozenset(each.trial for each in claims if not each.mine and not each.lost)

    def loss_of(self, number: int) -> Loss:
        """How a running trial that nobody holds has lost its worker."""
        if self._shared is None:
            if self._died is None:
                self._died = self.store.predecessor_died()
            return Loss("", died=self._died)
        claim = self._shared.claims().get(number)
        return Loss("", died=False) if claim is None else Loss(claim.owner, died=claim.died)

    def newly_lost(self, running: Mapping[int, Trial]) -> Iterator[tuple[Trial, Loss]]:
        """Those trials that nobody holds any more.

        Args:
            running: Trials that other workers were running, by number.
        """
        if not running or self._shared is None:
            return
        now = time.monotonic()
        if len(running) > FEW and now - self._looked < PAUSE:
            return
        self._looked = now
        claims = self._shared.claims()
        alive = (each for each in claims.values() if not each.mine and not each.lost)
        self.workers = 1 + len({each.owner for each in alive})
        for number, trial in sorted(running.items()):
            claim = claims.get(number)
            if claim is None:
                yield trial, Loss("", died=False)
            elif claim.lost:
                yield trial, Loss(claim.owner, died=claim.died)

    # -- signs of life ------------------------------------------------------------------------

    def keep_alive(self, owner: Any) -> None:
        """Renews the leases from now on, as long as the owner is there.

        Args:
            owner: The search.
        """
        if self._shared is not None and (self._heart is None or not self._heart.beats):
            self._heart = Heartbeat(self._shared, owner)

    def rest(self) -> None:
        """Renews no leases from now on."""
        if self._heart is not None:
            self._heart.stop()
            self._heart = None


class Heartbeat:
    """A thread that renews the leases of a store, until its owner is gone.

    Args:
        store: The store.
        owner: Without this object the thread ends.
    """

    def __init__(self, store: SharedStore, owner: Any) -> None:
        self._over = threading.Event()
        self._process = os.getpid()
        # Neither the owner nor its store may live on because of this thread.
        target = weakref.ref(store)
        here = weakref.ref(owner, lambda _: self._over.set())
        pause = store.lease / BEATS
        threading.Thread(
            target=_beat, args=(target, here, self._over, pause), daemon=True, name="afina-lease"
        ).start()

    @property
    def beats(self) -> bool:
        """Whether the thread runs in this process."""
        return not self._over.is_set() and self._process == os.getpid()

    def stop(self) -> None:
        """Ends the thread."""
        self._over.set()


def _beat(
    target: weakref.ref[SharedStore],
    owner: weakref.ref[Any],
    over: threading.Event,
    pause: float,
) -> None:
    while not over.wait(pause):
        store = target()
        if store is None or owner() is None:
            return
        # The disk is full, or the database is away for a moment: the next beat may be in time.
        with contextlib.suppress(StoreError):
            store.beat()
        del store


def news_of_lost_lease(trial: Trial) -> str:
    """The warning of a worker whose trial was taken over."""
    there = "has ended it" if trial.status.finished else "runs it now"
    return (
        f"Trial {trial.number} was given to another worker, which {there}: this one had shown no "
        "sign of life for too long. The result of this worker is dropped."
    )


def is_same_result(one: Trial, other: Trial) -> bool:
    """Whether two forms of a trial tell of the same end of the same attempt."""
    return (one.status, one.score, one.attempt) == (other.status, other.score, other.attempt)
