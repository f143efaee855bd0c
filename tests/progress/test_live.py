"""The live display on a real pseudo-terminal."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from afina.progress.drawing import draw
from afina.progress.live import LiveDisplay
from afina.progress.search_progress import SearchProgress
from afina.trials import Objective

from .recorded import ACCURACY, SEARCH, Clock, epoch, failed, started
from .terminal import Terminal

pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
ROOT = Path(__file__).parents[2]


def on_a_terminal(how: str) -> tuple[Terminal, str]:
    """The terminal after the child has ended, and all that it was sent."""
    import fcntl
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.progress.child", how],
        cwd=ROOT,
        stdin=child,
        stdout=child,
        stderr=child,
        env={
            **os.environ,
            "TERM": "xterm-256color",
            "COLUMNS": "100",  # a variable from outside would overrule the size set above
            "PYTHONIOENCODING": "utf-8",
        },
    )
    os.close(child)
    sent = b""
    while True:
        try:
            some = os.read(parent, 65536)
        except OSError as error:  # Linux' way to say that the other end is closed
            if error.errno != errno.EIO:
                raise
            break
        if not some:
            break
        sent += some
    os.close(parent)
    process.wait()
    text = sent.decode()
    return Terminal(text), text


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+\.\d s", "T", line) for line in lines]


NEWS = [
    "★ trial 0  val_accuracy 0.75  T",
    "✗ trial 1  failed (error): ValueError: no such layer  T",
]
BEST = "Best val_accuracy 0.75 in trial 0: units=64, rate=0.012346, activation=relu"
ENDED = "Search ended after T: max_trials=3 trials have been run, 3 trials finished, 1 failed."


def test_a_search_leaves_news_and_a_summary_and_nothing_else() -> None:
    terminal, sent = on_a_terminal("plainly")
    assert without_times(terminal.lines) == [*NEWS, ENDED, BEST, "after"]
    assert terminal.cursor_shown
    assert "hyperparameter" in sent  # it was drawn, and is gone
    assert "trial 1, 1 of 3 done" in sent


def test_what_is_printed_meanwhile_stands_above_as_whole_lines() -> None:
    terminal, _ = on_a_terminal("printing")
    assert without_times(terminal.lines) == [
        "own line 2 [red]",
        "warned",
        NEWS[0],
        NEWS[1],
        "unfinishedown line 6 [red]",
        "warned",
        "unfinished",
        ENDED,
        BEST,
        "after",
    ]


def test_a_progress_bar_of_somebody_else_leaves_its_last_form() -> None:
    terminal, _ = on_a_terminal("bars")
    assert without_times(terminal.lines) == ["100 % done", *NEWS, ENDED, BEST, "after"]


@pytest.mark.parametrize(
    ("how", "error"), [("interrupted", "KeyboardInterrupt"), ("raising", "RuntimeError: broken")]
)
def test_a_search_that_is_broken_off_gives_the_terminal_back(how: str, error: str) -> None:
    terminal, _ = on_a_terminal(how)
    assert terminal.cursor_shown
    lines = without_times(terminal.lines)
    assert lines[:4] == [
        NEWS[0],
        "Search stopped after T: 1 of 3 trials finished.",
        BEST,
        "Traceback (most recent call last):",
    ]
    assert lines[-1].startswith(error)


def test_closing_twice_is_closing_once() -> None:
    terminal, _ = on_a_terminal("closing")
    assert without_times(terminal.lines) == [*NEWS, ENDED, BEST, "after"]


def drawing(events: Any, now: float, width: int = 60, height: int = 40) -> list[str]:
    progress = SearchProgress(ACCURACY)
    for at, event in events:
        progress = progress.after(event, at)
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True)
    console.print(draw(progress, now, width, height))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_drawing_of_a_running_trial() -> None:
    lines = drawing([*SEARCH[:6], (107.0, SEARCH[2][1])], 108.0)
    assert lines == [
        "",
        "Search  trial 1, 1 of 3 done 8.0 s · less than a minute left",
        "━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
        "val_accuracy  best 0.75  trial 0",
        "",
        "hyperparameter   now               best so far",
        "units            32                64",
        "rate             0.5               0.012346",
        "activation       a_name_longer_…   relu",
        "",
        "compiling, then epoch 1 of 2",
        "",
    ]


def test_the_drawing_shows_epochs_and_the_objective_s_metric_first() -> None:
    lines = drawing(SEARCH[:3], 102.0)
    assert lines[-2:] == ["epoch 1 of 2  ━━━━━━━━━━━━╺━━━━━━━━━━━", "val_accuracy 0.5   loss 0.5"]
    assert "val_accuracy  no score yet" in lines


def test_a_long_table_is_cut_to_the_terminal() -> None:
    values = {f"layer_{i}/units": i for i in range(50)}
    lines = drawing([(100.0, started(0, **values))], 101.0, height=20)
    assert len(lines) <= 20
    assert "and 42 more" in lines


def test_names_are_no_markup_and_any_value_can_be_drawn() -> None:
    values = {"[red]": "[/nothing]", "none": None, "yes": True, "": float("nan"), "é": "[bold"}
    lines = drawing([(100.0, started(0, **values))], 101.0)
    assert "[red]            [/nothing]   -" in lines
    assert sum(line.split()[:1] == ["é"] for line in lines) == 1


def side_by_side(count: int) -> list[Any]:
    """Trials that run at a time: half of them have reported an epoch."""
    begun = [(100.0, started(n, units=8 * (n + 1), **{f"only_{n}": n})) for n in range(count)]
    return [*begun, *((101.0, epoch(n, 0, 0.5)) for n in range(0, count, 2))]


def test_trials_side_by_side_have_a_column_and_a_line_each() -> None:
    assert drawing(side_by_side(2), 101.0, width=84) == [
        "",
        "Search  trials 0 and 1" + " " * 52 + "1 min 41 s",
        "val_accuracy  no score yet",
        "",
        "hyperparameter  trial 0  trial 1  best so far",
        "units           8        16       -",
        "only_0          0        -        -",
        "only_1          -        1        -",
        "",
        "trial 0  epoch 1 of 2  ━━━━━━╺━━━━━  val_accuracy 0.5   loss 0.5",
        "trial 1  compiling",
    ]


@pytest.mark.parametrize("width", [40, 60, 84, 200])
@pytest.mark.parametrize("height", [16, 24])
def test_many_trials_side_by_side_fit_the_terminal(width: int, height: int) -> None:
    lines = drawing(side_by_side(16), 101.0, width=width, height=height)
    assert len(lines) <= height
    assert len(lines[1]) == width  # it takes the whole terminal, however wide
    assert max(map(len, lines)) <= width
    assert "16 trials, the newest" in lines[1]
    bars = [line for line in lines if "epoch" in line or "compiling" in line]
    assert bars[-1].startswith("trial 15  compiling")
    assert f"and {16 - len(bars)} more" in lines


def test_streams_that_go_into_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    with LiveDisplay(Objective("x", "min"), clock=Clock(), console=console) as display:
        display.handle(SEARCH[0][1])
        assert (sys.stdout, sys.stderr) == (out, err)


class SlowLine:
    """A line that takes its time: the drawing changes its height meanwhile, if it can."""

    def __init__(self, redrawn: threading.Event) -> None:
        self.redrawn = redrawn

    def __rich_console__(self, console: Console, options: Any) -> Any:
        self.redrawn.wait(0.5)
        yield "a line"


def test_a_redrawing_while_a_line_is_printed_leaves_no_half_a_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printing, redrawn = threading.Event(), threading.Event()
    seen: list[int] = []

    def draw_table(*_: Any) -> str:
        if not printing.is_set():
            return "table\n" * 2
        seen.append(1)
        if len(seen) > 2:
            redrawn.set()  # the redrawing before this one has been written
        return "table\n" * 9

    monkeypatch.setattr("afina.progress.live.draw", draw_table)
    monkeypatch.setattr("afina.progress.live.news", lambda *_: SlowLine(redrawn))
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=60, height=20)
    display = LiveDisplay(ACCURACY, clock=Clock(), console=console, frequency=200.0)
    for _, event in SEARCH[:4]:
        display.handle(event)
    printing.set()
    display.handle(SEARCH[4][1])  # prints a line
    printing.clear()
    display.close()
    screen = Terminal(stream.getvalue().replace("\n", "\r\n"))
    assert screen.lines[0] == "a line"
    assert [line for line in screen.lines if "table" in line] == []


def test_a_long_reason_is_broken_between_words() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=40, height=20)
    words = "ValueError: " + " ".join(f"word{n}" for n in range(30))
    with LiveDisplay(ACCURACY, clock=Clock(), console=console) as display:
        for event in (SEARCH[0][1], started(0), failed(0, words)):
            display.handle(event)
    lines = Terminal(stream.getvalue().replace("\n", "\r\n")).lines
    assert max(map(len, lines)) <= 40
    found = " ".join(line.strip() for line in lines).split()
    assert {f"word{n}" for n in range(30)} <= set(found)
