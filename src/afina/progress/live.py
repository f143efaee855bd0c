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
from afina.progress.drawing import draw, farewell, news
from afina.progress.events import Event, Message, SearchStarted, TrialEnded
from afina.progress.lines import LineGate
from afina.progress.search_progress import SearchProgress
from afina.trials import Objective
from afina.trials.text import printable


class LiveDisplay(SilentDisplay):
    """Redraws a few lines at the bottom of the terminal, a few times a second.

    Events only replace the progress, and a thread draws it: so a fast search is not slowed down.
    Output of user code appears above, as does a line for each new best score and each failure.
    At the end the live lines disappear and a summary stays.

    One thread at a time writes to the terminal: Rich moves the cursor up by the height of the last
    drawing, which must not change between that move and the next drawing.

    Args:
        objective: What the scores measure.
        clock: Returns seconds, such as `time.monotonic`.
        console: Where to draw; None for the terminal behind `sys.stdout`.
        frequency: Drawings per second.
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
        self._progress = SearchProgress(objective, began=clock())
        self._lock = threading.Lock()
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._writing = threading.RLock()
        self._pause = 1 / frequency
        self._ended = threading.Event()
        self._redrawing: threading.Thread | None = None
        self._gates: dict[str, LineGate] = {}
        self._open = False

    def handle(self, event: Event) -> None:
        """Updates the progress; prints a line for a best score, a failure or a message."""
        with self._lock:
            progress = self._progress = self._progress.after(event, self._clock())
        if isinstance(event, SearchStarted):
            self._begin()
        elif isinstance(event, TrialEnded) and progress.last is not None:
            line = news(progress, progress.last)
            if line is not None:
                self._print(line)
        elif isinstance(event, Message):
            self._print(Text(printable(event.text, lines=True)))

    def close(self) -> None:
        """Clears the live lines, restores the streams and the cursor, and prints the summary."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.close)
        for gate in self._gates.values():
            gate.finish()
        self._ended.set()
        try:
            with self._writing:
                self._live.stop()
        finally:
            self._give_streams_back()
        self._print(farewell(self._progress, self._clock()))

    def _begin(self) -> None:
        if self._open:
            return
        self._open = True
        atexit.register(self.close)  # otherwise the cursor would stay hidden after the process
        self._take_streams()
        with self._writing:
            self._live.start(refresh=True)
        self._redrawing = threading.Thread(target=self._redraw, daemon=True)
        self._redrawing.start()

    def _redraw(self) -> None:
        while not self._ended.wait(self._pause):
            with self._writing:
                if not self._ended.is_set():
                    self._live.refresh()

    def _print(self, line: Text) -> None:
        """Prints a line of our own; a long one is broken between words."""
        with self._writing:
            self._console.print(line)

    def _draw(self) -> RenderableType:
        size = self._console.size
        return draw(self._progress, self._clock(), size.width, size.height)

    def _take_streams(self) -> None:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            # A stream that goes into a file stays as it is.
            if stream is not None and stream.isatty():
                self._gates[name] = LineGate(cast("IO[str]", stream), self._print_foreign)
                setattr(sys, name, cast("Any", self._gates[name]))

    def _give_streams_back(self) -> None:
        for name, gate in self._gates.items():
            if getattr(sys, name) is gate:  # unless other code has replaced it since
                setattr(sys, name, gate.file)
        self._gates = {}

    def _print_foreign(self, text: str) -> None:
        with self._writing:
            self._console.print(Text.from_ansi(text), soft_wrap=True)
