"""What is shown while a search runs: facts first, then one of several drawings of them.

    Event ──> SearchProgress.after ──> SearchProgress ──┬──> LiveDisplay       terminal
    (a fact)                       (where it stands)    ├──> NotebookDisplay   notebook
                                                        ├──> PlainDisplay      logs and pipes
                                                        └──> SilentDisplay     nothing

`create_display` chooses one. `wording.py` writes numbers, times and reasons for all of them.
"""

from afina.progress.base import Display, SilentDisplay
from afina.progress.choose import create_display
from afina.progress.events import (
    EpochEnded,
    Event,
    Message,
    OthersEnded,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from afina.progress.search_progress import SearchProgress

__all__ = [
    "create_display",
    "Display",
    "SilentDisplay",
    "SearchProgress",
    "Event",
    "SearchStarted",
    "TrialStarted",
    "EpochEnded",
    "TrialEnded",
    "OthersEnded",
    "SearchEnded",
    "Message",
]
