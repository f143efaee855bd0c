"""The gate for other people's prints."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from afina.progress.lines import LineGate


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def gate(shown: list[str]) -> LineGate:
    return LineGate(io.StringIO(), shown.append)


def test_only_whole_lines_pass(gate: LineGate, shown: list[str]) -> None:
    assert gate.write("one\ntwo\nthr") == 11
    assert shown == ["one\ntwo"]
    gate.write("ee\n")
    assert shown == ["one\ntwo", "three"]


def test_a_question_passes_when_it_is_flushed(gate: LineGate, shown: list[str]) -> None:
    gate.write("Go on? ")
    gate.flush()
    assert shown == ["Go on? "]
    gate.finish()
    assert shown == ["Go on? "]


def test_a_bar_that_rewrites_itself_passes_once_in_its_last_form(
    gate: LineGate, shown: list[str]
) -> None:
    for percent in range(0, 101, 10):
        gate.write(f"\r{percent} %")
        gate.flush()
    gate.write("\nnext\n")
    assert shown == ["100 %\nnext"]


def test_backspaces_take_back_only_what_they_cover(gate: LineGate, shown: list[str]) -> None:
    gate.write("loss 10")
    gate.write("\b\b25")
    gate.write("\n")
    assert shown == ["loss 25"]


def test_a_bar_that_never_ends_its_line_takes_no_memory(gate: LineGate, shown: list[str]) -> None:
    for step in range(20_000):
        gate.write(f"\rstep {step}")
    assert len(gate._pending) < 10_000
    gate.finish()
    assert shown == ["step 19999"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_forked_child_writes_to_the_stream_itself(tmp_path: Path, shown: list[str]) -> None:
    path = tmp_path / "out"
    with path.open("w") as file:
        gate = LineGate(file, shown.append)
        child = os.fork()
        if child == 0:
            gate.write("from the child\n")
            gate.flush()
            os._exit(1 if shown else 0)
        assert os.waitpid(child, 0)[1] == 0
    assert path.read_text() == "from the child\n"
