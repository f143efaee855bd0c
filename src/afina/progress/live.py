"""The live display of a terminal."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, cast

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from afina.progress.base import SilentDisplay
from afina.progress.board import Board
from afina.progress.drawing import draw, farewell, news
from afina.progress.events import Event, Message, SearchStarted, TrialEnded
from afina.progress.lines import LineGate
from afina.trials import Objective
from afina.trials.text import printable


class LiveDisplay(SilentDisplay):
    """Redraws a few lines at the terminal's bottom a few times a second.

    Events only replace the board; a thread draws it, so that a fast search is not slowed down.
    What the user's code prints, and a line for each new best score and each failure, pass above.
    At the end the live lines vanish and a summary stays.

    Args:
        objective: What the scores measure.
        clock: Seconds, as `time.monotonic`.
        console: Where to draw; None is the terminal behind `sys.stdout`.
        frequency: Drawings a second.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        clock: Callable[[], float],
        console: Console | None = None,
        frequency: float = 4.0,
    ) -> None:
        self._clock = clock
        self._board = Board(objective, began=clock())
        self._lock = threading.Lock()
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=frequency,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._gates: dict[str, LineGate] = {}
        self._open = False

    def handle(self, event: Event) -> None:
        """Replaces the board; shows the few events that leave a line behind."""
        with self._lock:
            board = self._board = self._board.after(event, self._clock())
        if isinstance(event, SearchStarted):
            self._begin()
        elif isinstance(event, TrialEnded) and board.last is not None:
            line = news(board, board.last)
            if line is not None:
                self._console.print(line, soft_wrap=True)
        elif isinstance(event, Message):
            self._console.print(Text(printable(event.text, lines=True)), soft_wrap=True)

    def close(self) -> None:
        """Clears the live lines, gives the streams and the cursor back, leaves the summary."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.close)
        for gate in self._gates.values():
            gate.finish()
        try:
            self._live.stop()
        finally:
            self._give_streams_back()
        self._console.print(farewell(self._board, self._clock()))

    def _begin(self) -> None:
        if self._open:
            return
        self._open = True
        atexit.register(self.close)  # a cursor that stays hidden would outlive the process
        self._take_streams()
        self._live.start(refresh=True)

    def _draw(self) -> RenderableType:
        size = self._console.size
        return draw(self._board, self._clock(), size.width, size.height)

    def _take_streams(self) -> None:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            # What goes into a file goes on doing so.
            if stream is not None and stream.isatty():
                self._gates[name] = LineGate(cast("IO[str]", stream), self._print_foreign)
                setattr(sys, name, cast("Any", self._gates[name]))

    def _give_streams_back(self) -> None:
        for name, gate in self._gates.items():
            if getattr(sys, name) is gate:  # else somebody has put another one there since
                setattr(sys, name, gate.file)
        self._gates = {}

    def _print_foreign(self, text: str) -> None:
        self._console.print(Text.from_ansi(text), soft_wrap=True)
