"""Which display fits where."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest

from afina.progress import SilentDisplay, create_display
from afina.progress.live import LiveDisplay
from afina.progress.plain import PlainDisplay

from .recorded import ACCURACY, SEARCH


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def pretend_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be called in the test itself: pytest sets `sys.stdout` between its phases."""
    monkeypatch.setattr(sys, "stdout", Tty())
    monkeypatch.setenv("TERM", "xterm")


def test_verbose_zero_prints_nothing(capfd: Any) -> None:
    with create_display(0, ACCURACY) as display:
        for _, event in SEARCH:
            display.handle(event)
    assert type(display) is SilentDisplay
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_pipe_gets_lines() -> None:
    assert isinstance(create_display("auto", ACCURACY), PlainDisplay)


def test_a_terminal_gets_the_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_terminal(monkeypatch)
    assert isinstance(create_display("auto", ACCURACY), LiveDisplay)


@pytest.mark.parametrize("verbose", [1, 2, True])
def test_where_keras_prints_bars_the_terminal_gets_lines(
    verbose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_terminal(monkeypatch)
    assert isinstance(create_display(verbose, ACCURACY), PlainDisplay)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(create_display("auto", ACCURACY), PlainDisplay)


def test_a_terminal_without_unicode_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_terminal(monkeypatch)
    monkeypatch.setattr(Tty, "encoding", "latin-1")
    assert isinstance(create_display("auto", ACCURACY), PlainDisplay)


def test_rich_is_loaded_only_where_it_draws() -> None:
    code = "import sys, afina.progress as p; p.create_display(1); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
