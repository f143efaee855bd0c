"""The notebook's display, with a kernel of our own."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import pytest

from afina.progress import Message, create_display
from afina.progress.notebook import NotebookDisplay, running_in_notebook
from afina.progress.plain import PlainDisplay

from .recorded import ACCURACY, SEARCH, Clock, epoch, started


class ZMQInteractiveShell:
    """Named as Jupyter's shell is."""


class TerminalInteractiveShell:
    """Named as the shell of IPython in a terminal is."""


class Kernel:
    """Stands for IPython's display: keeps every output and how often it was replaced."""

    def __init__(self) -> None:
        self.outputs: list[list[str]] = []
        self.cleared = 0

    def display(self, html: str, display_id: bool) -> Any:
        assert display_id
        self.outputs.append([html])
        kernel = self

        class Handle:
            def update(self, html: str) -> None:
                kernel.outputs[-1].append(html)

        return Handle()

    def clear_output(self, wait: bool) -> None:
        assert wait
        self.cleared += 1


def install(monkeypatch: pytest.MonkeyPatch, shell: object) -> Kernel:
    kernel = Kernel()
    ipython: Any = ModuleType("IPython")
    display: Any = ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell
    ipython.display = display
    display.HTML = str
    display.display = kernel.display
    display.clear_output = kernel.clear_output
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return kernel


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return install(monkeypatch, ZMQInteractiveShell())


def test_a_search_is_one_output_that_is_drawn_anew(kernel: Kernel, capsys: Any) -> None:
    clock = Clock()
    display = create_display("auto", ACCURACY, clock=clock)
    assert isinstance(display, NotebookDisplay)
    with display:
        for clock.now, event in SEARCH:
            display.handle(event)
    assert len(kernel.outputs) == 1
    last = kernel.outputs[0][-1]
    assert "Search ended: max_trials=3 trials have been run, 3 trials finished" in last
    assert "best <b>0.75</b> in trial 0 · 1 failed" in last
    assert "trial 1 failed: ValueError: no such layer" in last
    assert "<td" in last
    assert "rate" in last
    assert capsys.readouterr().out == ""


def test_a_fast_search_does_not_flood_the_browser(kernel: Kernel) -> None:
    clock = Clock()
    with create_display("auto", ACCURACY, clock=clock) as display:
        display.handle(SEARCH[0][1])
        for _ in range(1000):
            clock.now += 0.01
            display.handle(SEARCH[1][1])
    assert 15 <= len(kernel.outputs[0]) <= 25  # 10 s, twice a second


def test_the_last_news_is_drawn_even_when_the_search_is_broken_off(kernel: Kernel) -> None:
    display = create_display("auto", ACCURACY, clock=Clock())
    display.handle(SEARCH[0][1])
    display.handle(Message("something <new>"))
    assert "something" not in kernel.outputs[0][-1]
    display.close()
    assert "something &lt;new&gt;" in kernel.outputs[0][-1]


def test_trials_side_by_side_have_a_column_and_a_line_each(kernel: Kernel) -> None:
    display = create_display("auto", ACCURACY, clock=Clock())
    for number in range(6):
        display.handle(started(number, units=8 * number, **{f"<{number}>": 1}))
    display.handle(epoch(5, 0, 0.5))
    display.close()
    last = kernel.outputs[0][-1]
    assert "6 trials, the newest 5" in last
    heads = re.findall(r"<th[^>]*>([^<]*)", last)
    assert heads == ["hyperparameter", *(f"trial {n}" for n in (2, 3, 4, 5)), "best so far"]
    assert '<td style="text-align:left">&lt;5&gt;</td>' in last
    assert last.count("compiling, then epoch 1 of 2</div>") == 5
    assert re.search(r"<div>trial 5, epoch 1 of 2 .*?loss 0.5 .*?val_accuracy 0.5</div>", last)


def test_names_and_values_are_escaped(kernel: Kernel) -> None:
    display = create_display("auto", ACCURACY, clock=Clock())
    display.handle(started(0, **{"<b>": "</table>"}))
    display.close()
    assert "&lt;b&gt;" in kernel.outputs[0][-1]
    assert kernel.outputs[0][-1].count("</table>") == 1


def test_control_characters_are_shown_not_obeyed(kernel: Kernel) -> None:
    display = create_display("auto", ACCURACY, clock=Clock())
    display.handle(started(0, **{"a\x1b\u202e": "b\x00"}))
    display.close()
    assert "a\\x1b\\u202e" in kernel.outputs[0][-1]
    assert "b\\x00" in kernel.outputs[0][-1]


def test_with_keras_own_bars_a_notebook_gets_lines_and_is_emptied(kernel: Kernel) -> None:
    clock = Clock()
    display = create_display(1, ACCURACY, clock=clock)
    assert isinstance(display, PlainDisplay)
    for clock.now, event in SEARCH:
        display.handle(event)
    assert kernel.cleared == 3
    assert kernel.outputs == []


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, TerminalInteractiveShell())
    assert not running_in_notebook()


def test_colab_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = type("Shell", (), {"__module__": "google.colab._shell"})()
    install(monkeypatch, shell)
    assert running_in_notebook()


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not running_in_notebook()
