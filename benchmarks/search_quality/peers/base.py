"""What the wrapped packages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from problem import Problem, key_of
from simulate import Job


class Peer:
    """A contestant that asks for full trainings and stops none; others override.

    Args:
        problem: What to search; only its space and its number of epochs may be used.
        seed: Fixes the search.
        budget: Trials (protocol S), or full trainings' worth of epochs (M).
        multi: Whether the protocol is M.
    """

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool) -> None:
        self.space = problem.space
        self.epochs = problem.epochs
        self.seed = seed
        self.budget = budget
        self.multi = multi
        self._trained: dict[int, int] = {}

    def ask(self) -> Job | None:
        raise NotImplementedError

    def stop(self, job: Job, curve: Sequence[float]) -> bool:
        del job, curve
        return False

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        raise NotImplementedError

    def resumed(self, values: dict[str, Any], end: int, token: Any) -> Job:
        """A job of a package that starts over; what this configuration has trained is not paid
        for again, as if there were checkpoints."""
        key = key_of(values)
        start = min(self._trained.get(key, 0), end - 1)
        self._trained[key] = max(end, start)
        return Job(values, start, end, token)
