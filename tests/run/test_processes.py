"""Worker processes: real ones, real deaths."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from afina.errors import ArgumentError, LostWorkerError, RemoteError
from afina.run import WorkerProcesses, orphans, worker
from afina.run.processes import THREAD_LIMITS, processors

# Functions within tests travel by value, as those of a script or a notebook do.


def gone(pid, seconds=10.0):
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_function_runs_in_a_process_of_its_own_that_stays(pool):
    first = [pool.call(0, os.getpid) for _ in range(3)]
    assert len({*first, pool.call(1, os.getpid), os.getpid()}) == 3
    assert pool.call(0, lambda a, *, b: a + b, 1, b=2) == 3


def test_processes_work_side_by_side(pool):
    results, meet = [], threading.Barrier(2, timeout=20)
    threads = [
        # Each asks its parent to wait for the other one: alone, none would come back.
        threading.Thread(
            target=lambda index=index: results.append(
                pool.call(index, lambda: worker.remote("meet"), serve=lambda name: meet.wait())
            )
        )
        for index in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1]


def test_an_exception_comes_back_with_the_traceback_of_its_process(pool):
    def fail():
        raise KeyError("units")

    with pytest.raises(KeyError, match="units") as caught:
        pool.call(0, fail)
    assert "in fail" in "".join(caught.value.__notes__)
    assert pool.call(0, int) == 0


def test_an_exception_that_cannot_travel_comes_back_as_its_text(pool):
    class LockedError(Exception):
        def __init__(self, what):
            super().__init__(f"{what} is locked")
            self.lock = threading.Lock()

    class DemandingError(Exception):  # can be packed, but not unpacked
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def fail(kind, *args):
        raise kind(*args)

    for kind, args, text in (
        (LockedError, ["it"], "it is locked"),
        (DemandingError, [1, 2], "1 and 2"),
    ):
        with pytest.raises(RemoteError, match=rf"{kind.__name__}: {text}[\s\S]*in fail"):
            pool.call(0, fail, kind, *args)


def test_a_result_that_cannot_travel_is_an_error(pool):
    with pytest.raises(TypeError, match="lock"):
        pool.call(0, threading.Lock)


def test_leaving_the_process_is_told_to_the_caller(pool):
    with pytest.raises(SystemExit):
        pool.call(0, sys.exit, 3)


def test_a_child_asks_its_parent(pool):
    def serve(name, *args, **kwargs):
        if name == "fails":
            raise LookupError("no such thing")
        return name, threading.get_ident(), args, kwargs

    def work():
        answers = [worker.remote("one", 1, a=2)]
        try:
            worker.remote("fails")
        except LookupError as error:
            answers.append(str(error))
        return answers

    mine = threading.get_ident()
    assert pool.call(0, work, serve=serve) == [("one", mine, (1,), {"a": 2}), "no such thing"]
    with pytest.raises(LookupError):
        pool.call(0, lambda: worker.remote("fails"), serve=serve)
    with pytest.raises(RuntimeError, match="no `serve`"):
        pool.call(0, lambda: worker.remote("one"))
    with pytest.raises(RuntimeError, match="not a worker"):
        worker.remote("one")


def test_what_a_child_prints_appears_here_in_order(pool, capsys):
    def speak():
        print("one", end=" ")
        print("two\nthree", end="")
        print("trouble", file=sys.stderr)
        os.write(1, b"")  # what compiled code writes there must not break the pipe

    pool.call(0, speak)
    print("four")
    captured = capsys.readouterr()
    assert captured.out == "one two\nthreefour\n"
    assert captured.err == "trouble\n"


def test_what_compiled_code_prints_does_not_get_into_the_results(capfd):
    with WorkerProcesses(1) as pool:
        assert pool.call(0, lambda: os.system("echo noise")) == 0
        assert pool.call(0, int) == 0
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "noise\n")


def test_a_child_reads_no_input(pool):
    with pytest.raises(EOFError):
        pool.call(0, input)


# -- what cannot travel ---------------------------------------------------------------------------


class Holder:
    def __init__(self, **parts):
        vars(self).update(parts)


def test_what_cannot_travel_is_named_with_the_way_to_it(pool):
    lock, file = threading.Lock(), io.TextIOWrapper(io.BytesIO())

    def build():
        return lock

    for value, path in [
        ({"deep": [1, Holder(inner=Holder(lock=lock))]}, r"tuner\['deep'\]\[1\].inner.lock: "),
        (build, "tuner > lock: "),
        (Holder(build=lambda: build()), "tuner.build > build > lock: "),
        (lock.acquire, "tuner: "),
        (Holder(file=file), "tuner.file: "),
    ]:
        with pytest.raises(ArgumentError, match=rf"^{path}must be able to travel") as caught:
            pool.call(0, print, tuner=value)
        assert "pass workers=1" in str(caught.value)
    with pytest.raises(ArgumentError, match=r"args\[0\]"):
        pool.call(0, print, lock)


def test_something_else_can_travel_in_place_of_what_cannot(pool):
    lock = threading.Lock()
    holder = Holder(lock=lock)
    got = pool.call(
        0,
        lambda given: (given.lock, given.same),
        Holder(lock=lock, same=holder),
        stand_ins=[(lock, "a lock"), (holder, "a holder")],
    )
    assert got == ("a lock", "a holder")


# -- death ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL.*memory"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (lambda: os._exit(3), "exit code 3"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_process_that_dies_is_told_and_replaced(pool, death, said):
    before, other = pool.call(0, os.getpid), pool.call(1, os.getpid)
    with pytest.raises(LostWorkerError, match=said):
        pool.call(0, death)
    assert pool.call(0, os.getpid) != before
    assert pool.call(1, os.getpid) == other


def test_a_process_killed_from_outside_is_noticed_at_once_and_between_calls(pool):
    pid = pool.call(0, os.getpid)
    timer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    timer.start()
    with pytest.raises(LostWorkerError):
        pool.call(0, time.sleep, 60)
    pid = pool.call(0, os.getpid)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    with pytest.raises(LostWorkerError):
        pool.call(0, os.getpid)
    assert pool.call(0, int) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_death_is_noticed_although_a_grandchild_holds_the_pipe(pool):
    def die():
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        worker.remote("grandchild", pid)
        os._exit(1)

    grandchildren = []
    with pytest.raises(LostWorkerError):
        pool.call(0, die, serve=lambda name, pid: grandchildren.append(pid))
    os.kill(*grandchildren, signal.SIGKILL)


def test_ctrl_c_is_the_parent_s_business(pool):
    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return "lives"

    assert pool.call(0, interrupted) == "lives"


def test_stopped_processes_end_and_their_calls_are_interrupted():
    with WorkerProcesses(1) as pool:
        pid = pool.call(0, os.getpid)
        threading.Timer(0.2, pool.stop).start()
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            pool.call(0, time.sleep, 60)
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            pool.call(0, int)
        assert gone(pid)


def test_closing_ends_the_processes_and_removes_the_files():
    array = np.ones(100_000)
    with WorkerProcesses(2) as pool:
        pids = [pool.call(index, os.getpid) for index in range(2)]
        pool.call(0, np.sum, array)
        folder = pool._arrays.folder
        assert list(folder.iterdir())
    assert all(gone(pid) for pid in pids)
    assert not folder.exists()


def test_a_process_that_cannot_start_is_told_so(capfd):
    said = r"did not start \(exit code 1\).*workers=1"
    with (
        WorkerProcesses(1, environment={"PYTHONHOME": os.devnull}) as pool,
        pytest.raises(RemoteError, match=said),
    ):
        pool.call(0, int)
    capfd.readouterr()


def test_children_use_their_share_of_the_processors_unless_told_otherwise(monkeypatch):
    for name in THREAD_LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    with WorkerProcesses(processors(), environment={"MINE": "yes"}) as pool:
        environment = pool.call(0, lambda: dict(os.environ))
    assert environment["OMP_NUM_THREADS"] == environment["NPROC"] == "1"
    assert (environment["MKL_NUM_THREADS"], environment["MINE"]) == ("7", "yes")


@pytest.mark.parametrize("count", [0, True, 1.5, None])
def test_a_number_of_processes_below_one_is_refused(count):
    with pytest.raises(ArgumentError, match="count"):
        WorkerProcesses(count)


# -- scripts --------------------------------------------------------------------------------------

SCRIPT = """
import os, sys, time
import numpy as np
from beside import double
from afina.run import WorkerProcesses

print("script", __name__)
DATA = np.ones(100_000)

class Thing:
    def __init__(self, value):
        self.value = value
    def more(self):
        return Thing(double(self.value) + DATA.sum())

def work(thing):
    return thing.more()

with WorkerProcesses(1) as pool:
    for _ in range(2):
        got = pool.call(0, work, Thing(1))
        print(type(got) is Thing, got.value)
"""


def test_a_script_without_the_main_guard_is_not_run_again(tmp_path):
    (tmp_path / "beside.py").write_text("def double(value):\n    return 2 * value\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["script __main__", *["True 100002.0"] * 2]
    assert (done.returncode, done.stderr) == (0, "")


ORPHANS = """
import itertools, os, sys, threading, time
import numpy as np
from afina.run import WorkerProcesses, worker

pool = WorkerProcesses(3)
array = np.ones(100_000)
def work(index, given):
    worker.remote("pid", os.getpid())
    while index == 1:
        pass
    os.write(2, b"about to stay\\n")
    if index == 2:
        sum(itertools.repeat(0))  # in C, with the interpreter's lock: no other thread gets a turn
    time.sleep(60)
def serve(name, pid):
    os.write(1, f"{pid} {pool._arrays.folder}\\n".encode())
for index in map(int, sys.argv[1:]):
    threading.Thread(target=pool.call, args=(index, work, index, array),
                     kwargs={"serve": serve}).start()
"""


def killed_parent_of(*indices):
    """What its children have said: their numbers, and the folder of arrays."""
    command = [sys.executable, "-c", ORPHANS, *map(str, indices)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as parent:
        try:
            said = [parent.stdout.readline().decode().split() for _ in indices]
            assert parent.stderr.readline() == b"about to stay\n"
            time.sleep(0.5)  # now it is where it stays
        finally:
            parent.kill()
    return [int(pid) for pid, _ in said], Path(said[0][1])


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_children_and_files_do_not_outlive_a_parent_that_is_killed():
    pids, folder = killed_parent_of(0, 1)
    assert all(map(gone, pids)), "one sleeps, one is busy"
    assert not folder.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux'")
def test_a_child_stuck_in_compiled_code_ends_too_and_the_next_start_removes_the_files():
    pids, folder = killed_parent_of(2)
    assert all(map(gone, pids))
    assert folder.exists(), "nobody could remove it"
    with WorkerProcesses(1) as pool:
        assert not folder.exists()
        assert pool._arrays.folder.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux'")
def test_a_process_outlives_the_thread_that_has_started_it():
    with WorkerProcesses(1) as pool:
        pids = []
        thread = threading.Thread(target=lambda: pids.append(pool.call(0, os.getpid)))
        thread.start()
        thread.join()
        assert not gone(pids[0], seconds=1.5)
        assert pool.call(0, os.getpid) == pids[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux'")
def test_a_child_whose_parent_died_while_it_started_leaves_at_once(tmp_path):
    (tmp_path / "array.npy").touch()
    code = f"from afina.run.worker import main; main({str(tmp_path)!r}, 2**22 + 1)"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert not tmp_path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_only_folders_that_nobody_holds_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, held = orphans.make_folder()
    for name in ("afina-arrays-unlocked", "afina-making-young", "afina-other", "others"):
        (tmp_path / name).mkdir()
    old = tmp_path / "afina-making-old"
    old.mkdir()
    os.utime(old, (0, 0))
    (tmp_path / "afina-arrays-link").symlink_to(folder)
    assert orphans.remove_leftovers() == [old]
    os.close(held)  # as at the death of its process
    assert orphans.remove_leftovers() == [folder]
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="users of POSIX")
def test_folders_of_other_users_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, held = orphans.make_folder()
    os.close(held)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert orphans.remove_leftovers() == []
    assert folder.exists()
