"""The line of processes that want to write one file."""

import os
import sys
import time
from pathlib import Path

import pytest

from afina.store.write_queue import place_in_line

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody waits in line there")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "line"
    path.touch()
    return path


def held_by_another(file: Path) -> tuple[int, int]:
    """A fork that keeps its place until its pipe is closed."""
    (reading, told), (waiting, end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        with place_in_line(file, 5.0):
            os.write(told, b".")
            os.read(waiting, 1)
        os._exit(0)
    os.close(waiting)
    os.read(reading, 1)
    return child, end


def test_a_process_goes_on_as_soon_as_the_one_before_has_ended(file: Path) -> None:
    child, end = held_by_another(file)
    os.kill(child, 9)
    os.close(end)
    began = time.monotonic()
    with place_in_line(file, 60.0):
        assert time.monotonic() - began < 30.0
    os.waitpid(child, 0)


def test_a_process_that_hangs_holds_the_others_up_for_a_while_only(file: Path) -> None:
    child, end = held_by_another(file)
    began = time.monotonic()
    with place_in_line(file, 0.2):
        assert time.monotonic() - began >= 0.2
    os.close(end)
    os.waitpid(child, 0)
    with place_in_line(file, 60.0):  # the thread that gave up has not kept the place
        assert time.monotonic() - began < 30.0


def test_nobody_waits_where_there_is_no_file(tmp_path: Path) -> None:
    with place_in_line(tmp_path / "missing", 60.0):
        assert not (tmp_path / "missing").exists()
