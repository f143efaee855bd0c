"""Whether the system has killed processes because memory ran out, where it counts that (Linux)."""

from __future__ import annotations

from pathlib import Path

VMSTAT = Path("/proc/vmstat")
EVENTS = Path("/sys/fs/cgroup/memory.events")


def memory_kills() -> int | None:
    """How many processes the system has killed so far for want of memory; None if unknown.

    Both the whole system and the container of this process are counted; compare two calls.
    """
    counts = [_count(VMSTAT), _count(EVENTS)]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _count(path: Path) -> int | None:
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    except (OSError, ValueError):
        return None
    return None
