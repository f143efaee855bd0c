"""A real PostgreSQL server for tests, in a temporary folder, reached by a socket."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    """Where a program of PostgreSQL's is; Debian keeps them out of the PATH."""
    for place in PLACES:
        if (place / name).exists():
            return str(place / name)
    return shutil.which(name)


def why_none() -> str | None:
    """Why there can be no server here; None if there can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "needs psycopg: pip install 'psycopg[binary]'"
    if program("initdb") is None or program("pg_ctl") is None:
        return "needs a PostgreSQL server: apt-get install postgresql"
    if os.geteuid() == 0 and account() is None:
        return "PostgreSQL does not run as root, and there is no other user"
    return None


def account() -> pwd.struct_passwd | None:
    """Who runs the server where root runs the tests."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


class Server:
    """A server that can be stopped and started again.

    Args:
        folder: For its files and its socket; a short path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            who = account()
            self._as = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
            os.chown(folder, who.pw_uid, who.pw_gid)
        self._call("initdb", "-D", str(self.data), "-U", "afina", "-A", "trust", "-N")

    @property
    def url(self) -> str:
        return f"postgresql://afina@/postgres?host={self.folder}"

    def start(self) -> None:
        options = (
            f"-k {self.folder} -c listen_addresses= -c max_connections=80 -c shared_buffers=32MB"
        )
        self._call(
            "pg_ctl",
            "-D",
            str(self.data),
            "-l",
            str(self.folder / "log"),
            "-w",
            "-o",
            options,
            "start",
        )

    def stop(self, mode: str = "immediate") -> None:
        self._call("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def _call(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [program(name), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if name == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            **self._as,
        )
        assert done.returncode == 0, (name, done.stdout)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server, or a skipped test where there can be none."""
    reason = why_none()
    if reason is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="afina-pg-", dir="/tmp") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):
                server.stop()
