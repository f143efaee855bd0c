"""Starts one search as a process and measures it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivals import HERE, WORKSHOP, Rival, environment

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Search:
    """What one process is to do."""

    job: str
    data: Path
    """The arrays, see `prepare.py`."""

    recorded: Path | None
    """The trials to replay; None searches freely."""

    batch: int = 32
    max_epochs: int = 10


def measure(
    rival: Rival,
    search: Search,
    *,
    programs: Path | None = None,
    own_cache: bool = False,
    breakdown: bool = False,
) -> dict[str, Any]:
    """Runs one search in a fresh process and an empty project folder.

    Args:
        rival: Who searches.
        search: What.
        programs: See `rivals.environment`, also for `own_cache`.
        own_cache: Likewise.
        breakdown: Whether functions are wrapped to see where the time goes.

    Returns:
        What `child.py` writes, and `process_s`, `cpu_s` (user and system, worker processes
        included), `peak_mb` and `others` (the share of the machine that other processes used
        meanwhile; None where the system does not tell).

    Raises:
        RuntimeError: The search failed.
    """
    WORKSHOP.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=WORKSHOP))
    settings = {
        "package": rival.package,
        "job": search.job,
        "data": str(search.data),
        "recorded": search.recorded and str(search.recorded),
        "batch": search.batch,
        "max_epochs": search.max_epochs,
        "folder": str(folder / "project"),
        "result": str(folder / "result.json"),
        "breakdown": breakdown,
        "train_on": rival.train_on,
    }
    command = [str(rival.python), str(HERE / "child.py"), json.dumps(settings)]
    try:
        variables = environment(rival, programs, own_cache=own_cache)
        outside = run_process(command, folder, variables)
        facts = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "rival": rival.name,
        **facts,
        **outside,
        "peak_mb": max(facts["peak_mb"], outside["peak_mb"]),
    }


def run_process(command: list[str], folder: Path, env: dict[str, str]) -> dict[str, Any]:
    """Runs the command to its end and measures it.

    Raises:
        RuntimeError: It failed; the message holds the end of what it printed.
    """
    output = folder / "output.txt"
    busy = busy_seconds()
    begun = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        with watched_memory(process.pid) as peak:
            _, status, used = os.wait4(process.pid, 0)
    except BaseException:  # interrupted: its workers go with it
        os.killpg(process.pid, signal.SIGKILL)
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    if process.returncode != 0:
        tail = output.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{tail}")
    cpu = used.ru_utime + used.ru_stime
    others = None
    if busy is not None:
        foreign = (busy_seconds() or 0.0) - busy - cpu
        others = max(0.0, foreign) / (wall * (os.cpu_count() or 1))
    return {"process_s": wall, "cpu_s": cpu, "others": others, "peak_mb": peak[0]}


def busy_seconds() -> float | None:
    """CPU seconds that the machine has worked since its start; None where it does not tell."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq = map(int, line.split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


@contextlib.contextmanager
def watched_memory(pid: int) -> Iterator[list[float]]:
    """Looks twice a second how many MB a process and its children have together.

    Pages that they share count for each: for a tuner with worker processes it is an upper bound.
    """
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], tree_megabytes(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def tree_megabytes(pid: int) -> float:
    """Resident memory of a process and its children's children, 0 where it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [
            int(child)
            for task in tasks
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * PAGE / 2**20 + sum(map(tree_megabytes, children))
