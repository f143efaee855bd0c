"""What the search has taught so far: importance, and advice on each range."""

from __future__ import annotations

import threading
import time
from typing import Any

from afina.advice import advice
from afina.advice.importance import Importances
from afina.advice.ranges import RangeAdvice, Verdict
from afina.advice.sentences import of_range
from afina.advice.shown import shown_importances
from afina.page.rows import entry_of
from afina.page.watch import Watch
from afina.space import HyperParameters
from afina.trials.text import printable

PAUSE = 20.0
"""Least seconds between two computations, or ten times as long as the last one took."""


NO_LESSONS: dict[str, Any] = {"after": -1, "aims": [], "ranges": [], "text": "", "code": ""}
"""Before the first."""


class Lessons:
    """Computes the advice when it is asked for, in a thread, and not for every new trial.

    Args:
        watch: Of the search.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._lock = threading.Lock()
        self._found: dict[str, Any] = dict(NO_LESSONS)
        self._key: tuple[str, int] | None = None
        self._again = 0.0
        self._thread: threading.Thread | None = None

    def read(self, wait: float = 0.3) -> dict[str, Any]:
        """The advice; it may be some seconds old, and says after how many trials it was given.

        Args:
            wait: Seconds to wait for newer advice.

        Returns:
            The findings. "after" is -1 before the first, and "pending" says whether newer ones are
            on their way.
        """
        with self._lock:
            if self._thread is None and self._is_due():
                self._thread = threading.Thread(
                    target=self._compute, daemon=True, name="afina-lessons"
                )
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(wait)
        with self._lock:
            return {**self._found, "pending": self._thread is not None}

    def _is_due(self) -> bool:
        key = self._now()
        if key == self._key or self.watch.header is None:
            return False
        another = self._key is None or self._key[0] != key[0]
        return another or time.monotonic() >= self._again

    def _now(self) -> tuple[str, int]:
        with self.watch.lock:
            ended = sum(trial.ended is not None for trial in self.watch.trials.values())
            return self.watch.generation, ended

    def _compute(self) -> None:
        began, key, found = time.monotonic(), self._now(), self._found
        try:
            found = lessons_of(self.watch)
        except Exception as error:  # advice is no reason to show nothing
            found = {**self._found, "text": f"The advice failed: {error}"}
        finally:
            with self._lock:
                self._key, self._found, self._thread = key, found, None
                self._again = time.monotonic() + max(PAUSE, 10 * (time.monotonic() - began))


def lessons_of(watch: Watch, *, seed: int | None = None) -> dict[str, Any]:
    """The advice after the trials that have ended.

    Args:
        watch: Of the search, which has begun.
        seed: Of the advice's random draws; None for the search's own.
    """
    with watch.lock:
        ended = [trial for trial in watch.trials.values() if trial.ended is not None]
        header, config, objective = watch.header, watch.config, watch.objective
    assert header is not None
    assert objective is not None
    ended.sort(key=lambda trial: trial.ended or 0)
    space = HyperParameters.from_config(dict(config)).to_space()
    found = advice(ended, space, objective=objective, seed=header.seed if seed is None else seed)
    names = [aim.name for aim in found.aims] or [objective.name]
    return {
        "after": len(ended),
        "text": str(found),
        "code": found.as_code() if found.changes else "",
        "aims": [
            _importance(name, shown)
            for name, shown in zip(names, shown_importances(found), strict=True)
        ],
        "ranges": [_range(each) for each in found.ranges],
    }


def _importance(name: str, found: Importances) -> dict[str, Any]:
    return {
        "objective": name,
        "shortage": found.shortage,
        "configurations": found.configurations,
        "needed": found.needed,
        "method": found.method,
        "shares": [
            {
                "name": share.names[0],
                "when": list(share.conditions),
                "share": share.share,
                "low": share.low,
                "high": share.high,
                "clear": bool(share.clear),
            }
            for share in found.single
        ],
        "pairs": [
            {"names": list(pair.names), "share": pair.share, "clear": bool(pair.clear)}
            for pair in found.pairs[:6]
        ],
    }


def _range(each: RangeAdvice) -> dict[str, Any]:
    return {
        "name": each.name,
        "verdict": each.verdict.value,
        "changes": each.verdict is not Verdict.KEEP,
        "before": entry_of(each.before),
        "after": entry_of(each.after),
        "text": printable(of_range(each)),
    }
