"""The display of a running search: events (facts), a board (where it stands), and drawings."""

from afina.progress.base import Display, SilentDisplay
from afina.progress.board import Board
from afina.progress.choose import create_display
from afina.progress.events import (
    EpochEnded,
    Event,
    Message,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)

__all__ = [
    "create_display",
    "Display",
    "SilentDisplay",
    "Board",
    "Event",
    "SearchStarted",
    "TrialStarted",
    "EpochEnded",
    "TrialEnded",
    "SearchEnded",
    "Message",
]
