"""A trial without an end, as the whole call of `optimize` has come to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from afina.errors import AfinaError
from afina.study.retries import kept_notes
from afina.trials import Trial
from afina.trials.failures import ends_the_search

if TYPE_CHECKING:
    from afina.study.state import SearchState


@contextlib.contextmanager
def given_back_if_over(
    search: SearchState, trial: Trial, *, whatever: bool = False
) -> Iterator[None]:
    """Within the block, what ends the whole call gives the trial back: Ctrl-C, say.

    Without this, the trial would seem to run as long as this process lives, and the next call would
    wait for it. It runs again, with the same number and values.

    Args:
        search: That the trial belongs to.
        trial: As it was handed out.
        whatever: Whether any error ends the call, not only one that is more than this trial's
            trouble.
    """
    try:
        yield
    except BaseException as error:
        if whatever or not isinstance(error, Exception) or ends_the_search(error):
            with search._lock, contextlib.suppress(AfinaError):  # it may be told, or another's
                now = search.open_trial("optimize", trial)
                search._put_back(replace(search._resolved(now, None), notes=kept_notes(now)))
        raise
