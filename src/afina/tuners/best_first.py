"""What a tuner's getters return if there are fewer trials than were asked for.

Keras Tuner's getters return a shorter list then, possibly an empty one, and code that people have
takes `[0]` of it. So it stays a list; but an index that is not there raises a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afina.errors import NoTrialError, wrong
from afina.trials import Status, Trial, why_no_best


class BestFirst(list[Any]):
    """A list that says why it is so short when it is asked for more.

    Args:
        found: The entries.
        what: The method that returns it, for the message.
        why_empty: What to say if no trial has completed; None if one has.
    """

    def __init__(
        self, found: Iterable[Any] = (), what: str = "list", why_empty: str | None = None
    ) -> None:
        super().__init__(found)
        self.what = what
        self.why_empty = why_empty

    def __getitem__(self, index: Any) -> Any:
        """The entry.

        Raises:
            NoTrialError: There are not so many; it is an IndexError too.
        """
        try:
            return super().__getitem__(index)
        except IndexError:
            if self.why_empty is not None:
                raise NoTrialError(f"{self.what}: {self.why_empty}") from None
            rule = f"must be below the number of trials that there are ({len(self)})"
            raise NoTrialError(wrong(f"{self.what}, index", rule, index)) from None


def best_first(found: list[Any], asked: int, what: str, trials: Iterable[Trial]) -> list[Any]:
    """The entries as they are; where they are fewer than asked for, as a `BestFirst`.

    Args:
        found: What the best trials have, best first.
        asked: How many were asked for.
        what: The method that was called, for the message.
        trials: All trials of the search.
    """
    if len(found) >= asked:
        return found
    known = list(trials)
    completed = any(trial.status is Status.COMPLETED for trial in known)
    return BestFirst(found, what, None if completed else why_no_best(known))
