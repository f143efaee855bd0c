"""Why a search stops: its limits, how much of them is used, and the one reason.

max_trials                          ─┐
epochs and wall time (`Budget`)     ─┤
trials that fail one after another  ─┼─▶ StopRules.reason ─▶ Study.stop_reason, displays
somebody's request (`Requests`)     ─┤
the algorithm's own end (`Done`)    ─┘
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from afina.errors import (
    ArgumentError,
    SearchFailedError,
    check_count,
    check_number,
    check_whole,
    wrong,
)
from afina.study.requests import STOPPED, Requests
from afina.study.retries import counts_as_failure
from afina.trials import Trial, reasons_in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of a search; each may be None.

    Raises:
        ArgumentError: A limit is not above 0.
    """

    epochs: float | None = None
    """Epochs trained in all; those that a promoted trial continues count once."""

    seconds: float | None = None
    """Wall time from the first trial that this process asks for. A training that runs when it ends
    is stopped after its epoch and keeps its score."""

    def __post_init__(self) -> None:
        for name, limit in (("max_total_epochs", self.epochs), ("time_budget", self.seconds)):
            if limit is None:
                continue
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if not number or not 0 < limit < math.inf:
                raise ArgumentError(wrong(name, "must be above 0 and finite, or None", limit))


class Part:
    """One call of `optimize`: its limits, and where it stands.

    Args:
        n_trials: How many trials the call begins at most; None for any number.
        timeout: Seconds after which it begins no more; None for no limit.

    Raises:
        ArgumentError: A limit is out of range.
    """

    def __init__(self, n_trials: int | None, timeout: float | None) -> None:
        self.n_trials = check_count("n_trials", n_trials)
        self.timeout = None if timeout is None else check_number("timeout", timeout, above=0)
        self.begun = 0
        """Trials that the call has begun."""
        self.at_work: set[int] = set()
        """Numbers of those that run now."""
        self.ahead: list[Any] = []
        """The answer to the next question for a trial, where it was asked before."""
        self._since = time.monotonic()

    def why_over(self) -> str | None:
        """Which limit ends the call, as a sentence's end; None if none does yet."""
        if self.n_trials is not None and self.begun >= self.n_trials:
            return f"n_trials={self.n_trials} trials have been run"
        return f"timeout={self.timeout:g} seconds are over" if self.seconds_left() <= 0 else None

    def seconds_left(self) -> float:
        """How long it may still begin trials."""
        limit = math.inf if self.timeout is None else self.timeout
        return limit - (time.monotonic() - self._since)

    def left(self) -> float:
        """How many trials it may still begin."""
        return math.inf if self.n_trials is None else self.n_trials - self.begun


MOST_UNSPENT = 500
"""Trials in a row without an epoch after which a budget of epochs alone will never be spent, most
likely: all models are too large, or all configurations are refused."""


class StopRules:
    """Decides when no more trials begin, and remembers why.

    Args:
        max_trials: How many trials in all; None for as many as the algorithm has.
        max_consecutive_failed: The search stops when so many trials in a row have failed.
        budget: The other limits.
        requests: What people ask of the search from outside.

    Raises:
        ArgumentError: A number is out of range.
    """

    def __init__(
        self,
        *,
        max_trials: int | None,
        max_consecutive_failed: int,
        budget: Budget,
        requests: Requests,
    ) -> None:
        check_count("max_trials", max_trials)
        check_whole("max_consecutive_failed_trials", max_consecutive_failed)
        self.max_trials = max_trials
        self.max_consecutive_failed = max_consecutive_failed
        self.budget = budget
        self.requests = requests
        self.reason: str | None = None
        """Why the search has stopped, as a sentence's end; None while it runs."""
        self.epochs = 0
        """Trained by the trials that have finished."""
        self.unspent = 0
        """Trials since the last one that has a score or has trained an epoch."""
        self._failed: list[Trial] = []  # one after another, without the refused ones
        self._last: Trial | None = None
        self._began: float | None = None

    def begin(self) -> None:
        """Starts the clock, and announces the limits; does nothing where it runs."""
        if self._began is None:
            self._began = time.monotonic()
            self.requests.announce(
                {
                    "max_trials": self.max_trials,
                    "max_total_epochs": self.budget.epochs,
                    "time_budget": self.budget.seconds,
                }
            )

    def done(self, reason: str) -> None:
        """Remembers why the search has stopped.

        Args:
            reason: A sentence's end.
        """
        self.reason = reason
        self.requests.farewell(reason)

    def end(self) -> None:
        """Stops the clock: the next `begin` starts it from 0."""
        self._began = None
        self.requests.answer_stop()

    def learn(self, trial: Trial) -> None:
        """Counts a finished trial: its epochs, and whether it has failed."""
        planned = 0 if trial.end_epoch is None else trial.end_epoch - trial.start_epoch
        # Who reports no epochs has trained what was asked for, unless it failed.
        trained = len(trial.curve) or (planned if trial.loss is not None else 0)
        self.epochs += trained
        self.unspent = 0 if trained or trial.loss is not None else self.unspent + 1
        self._last = trial
        if trial.failure is not None and trial.failure.is_refusal:
            return  # neither good nor bad
        if counts_as_failure(trial):
            self._failed.append(trial)
        else:
            self._failed.clear()

    def out_of_time(self) -> bool:
        """Whether the time is over."""
        return self.seconds_left() <= 0

    def seconds_left(self) -> float:
        """How much of the time is left."""
        limit = self.budget.seconds
        if limit is None or self._began is None:
            return math.inf
        return limit - (time.monotonic() - self._began)

    def is_stopped(self) -> bool:
        """Whether nothing new begins, whatever somebody asks for."""
        return self.requests.stop_is_asked() or self.out_of_time()

    def ends(self, trial: Trial) -> bool:
        """Whether a running trial ends after its epoch: the time is over, or somebody asked for it.

        Args:
            trial: The trial.
        """
        return self.out_of_time() or self.requests.ends(trial.number)

    def why_over(self, begun: int, running: Sequence[Trial]) -> str | None:
        """Which limit lets no more trials begin, as a sentence's end; None if they may.

        Args:
            begun: How many trials have begun.
            running: Trials whose epochs are still to come; they count as if done.
        """
        if self.requests.stop_is_asked():
            return STOPPED
        if self.max_trials is not None and begun >= self.max_trials:
            return f"max_trials={self.max_trials} trials have been run"
        self.begin()
        if self.out_of_time():
            return f"time_budget={self.budget.seconds:g} seconds are over"
        limit = self.budget.epochs
        if limit is not None:
            planned = sum((t.end_epoch or t.start_epoch) - t.start_epoch for t in running)
            if self.epochs + planned >= limit:
                return f"max_total_epochs={limit:g} epochs have been trained"
            if self.unspent >= MOST_UNSPENT and self.budget.seconds is None:
                return f"{self.unspent} trials in a row have not trained a single epoch"
        return None

    def check_failures(self) -> None:
        """Ends a search whose trials keep failing.

        Raises:
            SearchFailedError: The last `max_consecutive_failed` trials all failed.
        """
        if len(self._failed) < self.max_consecutive_failed:
            return
        if self._last is not None and self._last.failure and self._last.failure.is_refusal:
            return
        self.reason = f"{len(self._failed)} trials in a row have failed"
        failures = [trial.failure for trial in self._failed if trial.failure is not None]
        raise SearchFailedError(
            f"Number of consecutive failures exceeded the limit of {self.max_consecutive_failed}: "
            "mend the cause and search again. The trials made so far are kept, and those that "
            "failed count towards max_trials: raise it, or begin anew with overwrite=True. The "
            f"reasons:\n{reasons_in_words(failures)}\n\nThe last failure:\n"
            + (failures[-1].message if failures else "")
        )
