"""The line of processes that want to write one file."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from afina.store import write_queue
from afina.store.write_queue import place_in_line

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody waits in line there")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "line"
    path.touch()
    return path


HOLDER = """
import sys
from pathlib import Path
from afina.store.write_queue import place_in_line
with place_in_line(Path(sys.argv[1]), 5.0):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another(file: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that keeps its place until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_process_goes_on_as_soon_as_the_one_before_has_ended(file: Path) -> None:
    with held_by_another(file) as child:
        child.kill()
        began = time.monotonic()
        with place_in_line(file, 60.0):
            assert time.monotonic() - began < 30.0


def test_a_process_that_hangs_holds_the_others_up_for_a_while_only(file: Path) -> None:
    with held_by_another(file):
        began = time.monotonic()
        with place_in_line(file, 0.2):
            assert time.monotonic() - began >= 0.2
    with place_in_line(file, 60.0):  # the thread that gave up has not kept the place
        assert time.monotonic() - began < 30.0


def test_nobody_waits_where_there_is_no_file(tmp_path: Path) -> None:
    with place_in_line(tmp_path / "missing", 60.0):
        assert not (tmp_path / "missing").exists()


def test_ctrl_c_in_the_wait_does_not_keep_the_place(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as before:
        before.enter_context(place_in_line(file, 60.0))

        class Interrupted(write_queue._LockWait):
            def __init__(self, descriptor: int) -> None:
                super().__init__(descriptor)
                self._over, self.over = self.over, self  # type: ignore[assignment]

            def release(self) -> None:
                self._over.release()

            def acquire(self, timeout: float) -> None:
                before.close()
                assert self._over.acquire(timeout=timeout)
                raise KeyboardInterrupt  # just as its turn has come

        monkeypatch.setattr(write_queue, "_LockWait", Interrupted)
        with pytest.raises(KeyboardInterrupt), place_in_line(file, 60.0):
            pass
        monkeypatch.undo()
    began = time.monotonic()
    with place_in_line(file, 10.0):
        assert time.monotonic() - began < 9
