"""A process that kills itself at a given write: a statement, a commit, or a change of a file."""

import functools
import os
import signal
import sys

import sqlalchemy as sql

from afina.store import batches
from afina.store.statements import Statement

FILES = ("os.rename", "os.remove", "os.mkdir", "os.truncate", "os.rmdir")

_count = None


def die_after(writes: int) -> None:
    """Has this process die at once at the next write after so many.

    Args:
        writes: Statements of a database, before and after they are run, and changes of files. Each
            statement of a message to PostgreSQL counts too: it is sent by itself then, so that
            what came before it has reached the server.
    """
    global _count
    first = _count is None
    _count = writes
    if not first:
        return
    for event in ("before_cursor_execute", "after_cursor_execute", "commit", "begin"):
        sql.event.listen(sql.Engine, event, _step)
    # Those that SQLAlchemy does not see.
    Statement._run = _stepping(Statement._run)
    batches._send = _one_by_one(batches._send)
    sys.addaudithook(_audit)


def _stepping(call):
    @functools.wraps(call)
    def stepping(*args):
        _step()
        result = call(*args)
        _step()
        return result

    return stepping


def _one_by_one(send):
    send = _stepping(send)

    @functools.wraps(send)
    def one_by_one(driver, asked):
        return [rows for each in asked for rows in send(driver, [each])]

    return one_by_one


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
