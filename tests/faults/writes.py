"""A process that kills itself at a given write: a statement, a commit, or a change of a file."""

import os
import signal
import sys

import sqlalchemy as sql

FILES = ("os.rename", "os.remove", "os.mkdir", "os.truncate", "os.rmdir")

_count = None


def die_after(writes: int) -> None:
    """Has this process die at once at the next write after so many.

    Args:
        writes: Statements of a database, before and after they are run, and changes of files.
    """
    global _count
    first = _count is None
    _count = writes
    if not first:
        return
    for event in ("before_cursor_execute", "after_cursor_execute", "commit", "begin"):
        sql.event.listen(sql.Engine, event, _step)
    sys.addaudithook(_audit)


def _audit(event: str, args: object) -> None:
    if event in FILES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)):
        if event == "open" and isinstance(args[0], int | bytes):
            return
        if event == "open" and "log" in str(args[0]).rpartition("/")[2]:
            return  # what is acknowledged
        _step()


def _step(*_: object, **__: object) -> None:
    global _count
    _count -= 1
    if _count < 0:
        os.kill(os.getpid(), signal.SIGKILL)
