"""Listeners of a search: other tools that follow each trial while it runs.

    Study, tuners ──▶ Telling ── a queue ──▶ a thread ──▶ SearchListener.on_*

A listener runs in a thread of its own, so a slow server does not hold up a training. What a
listener raises ends no search: there is one warning, and the next event is tried again.
"""

from __future__ import annotations

import atexit
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from afina.errors import ArgumentError, wrong
from afina.trials import Trial, first_line

PATIENCE = 60.0
"""Seconds that the end of a search waits for its listeners."""

MOST_FAILED = 5
"""Events in a row that a listener may fail at before it is told no more."""


@dataclass(frozen=True, kw_only=True)
class SearchInfo:
    """What a listener is told about the search."""

    name: str
    """The project's name."""

    algorithm: str
    seed: int
    goals: Mapping[str, str]
    """Name to direction of each objective."""


class SearchListener:
    """Follows the trials of a search: override what you need.

    Pass it to a tuner or a `Study` as `listeners=[...]`. All methods of one listener are called in
    one thread, in the order of the events. Trials of other processes on the same store are theirs
    to tell.
    """

    def on_search_begin(self, search: SearchInfo) -> None:
        """Called before the first event."""

    def on_trial_begin(self, trial: Trial) -> None:
        """Called when a trial begins, for the first time or again (`trial.attempt` counts up)."""

    def on_report(
        self, trial: Trial, metrics: Mapping[str, float], step: int, execution: int
    ) -> None:
        """Called after each epoch that is reported.

        Args:
            trial: As it began.
            metrics: Of the epoch.
            step: The epoch, from 0.
            execution: Which of several trainings of the same values; a fold of `cv=`.
        """

    def on_trial_end(self, trial: Trial) -> None:
        """Called when a trial has a score, has failed, or waits to be run again (`status`)."""

    def on_search_end(self) -> None:
        """Called when the search, or this call of it, has ended."""


class Telling:
    """Tells the listeners of one search.

    Args:
        listeners: Of the user; may be empty.
        info: Says what the search is, once it has begun.

    Raises:
        ArgumentError: One of them is not a listener.
    """

    def __init__(
        self, listeners: Iterable[SearchListener], info: Callable[[], SearchInfo] | None = None
    ) -> None:
        self.listeners = check_listeners(listeners)
        self._info = info
        self._queue: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failed = [0] * len(self.listeners)  # in a row
        self._warned: set[int] = set()
        self._trouble: list[str] = []
        self._open: dict[int, Trial] = {}

    def __reduce__(self) -> Any:
        return Telling, ((),)  # listeners stay in the process of the search

    def begun(self, trial: Trial) -> None:
        """A trial begins."""
        if self.listeners:
            self._open[trial.number] = trial
            self._put("on_trial_begin", trial)

    def reported(
        self, number: int, metrics: Mapping[str, float], step: int, execution: int = 0
    ) -> None:
        """An epoch of a trial has been reported."""
        if number in self._open:
            self._put("on_report", self._open[number], dict(metrics), step, execution)

    def ended(self, trial: Trial) -> None:
        """A trial has ended, or waits to be run again."""
        if self._open.pop(trial.number, None) is not None:
            self._put("on_trial_end", trial)

    def close(self) -> None:
        """Waits until the listeners have been told everything; a later event begins anew."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._queue.put(("on_search_end", ()))
        self._queue.put(None)
        thread.join(PATIENCE)
        atexit.unregister(self.close)
        if thread.is_alive():
            self._trouble.append(f"listeners: not all was told within {PATIENCE:g} seconds.")
        self._warn()

    def _put(self, name: str, *given: Any) -> None:
        with self._lock:
            if self._thread is None:
                self._queue = queue.SimpleQueue()
                if self._info is not None:
                    self._queue.put(("on_search_begin", (self._info(),)))
                self._thread = threading.Thread(
                    target=self._serve, args=(self._queue,), name="afina-listeners", daemon=True
                )
                self._thread.start()
                atexit.register(self.close)
        self._queue.put((name, given))
        self._warn()

    def _serve(self, events: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None]) -> None:
        while (event := events.get()) is not None:
            name, given = event
            for place, listener in enumerate(self.listeners):
                if self._failed[place] >= MOST_FAILED:
                    continue
                try:
                    getattr(listener, name)(*given)
                except Exception as error:
                    self._failed[place] += 1
                    self._note(place, name, error)
                else:
                    self._failed[place] = 0

    def _note(self, place: int, name: str, error: Exception) -> None:
        if place not in self._warned:
            self._warned.add(place)
            kind = type(self.listeners[place]).__name__
            self._trouble.append(
                f"{kind}.{name} failed: {first_line(error)}. The search continues; the listener "
                "may have missed this event."
            )

    def _warn(self) -> None:
        while self._trouble:
            warnings.warn(self._trouble.pop(), stacklevel=4)


def check_listeners(listeners: Any) -> tuple[SearchListener, ...]:
    """The listeners as a tuple.

    Raises:
        ArgumentError: They are no list, or one of them is not a listener.
    """
    rule = "must be a list of SearchListener objects"
    if listeners is None:
        return ()
    if isinstance(listeners, SearchListener) or not isinstance(listeners, Iterable):
        raise ArgumentError(wrong("listeners", rule, listeners))
    found = tuple(listeners)
    for each in found:
        if not isinstance(each, SearchListener):
            raise ArgumentError(wrong("listeners", rule, type(each).__name__))
    return found


def describe_search(name: str, header: Any) -> SearchInfo:
    """What listeners are told of a search that has begun.

    Args:
        name: The project's.
        header: As the store keeps it.
    """
    parts = [header.objective] if isinstance(header.objective, Mapping) else header.objective
    goals = {part["name"]: part["direction"] for part in parts}
    return SearchInfo(name=name, algorithm=header.algorithm, seed=header.seed, goals=goals)
