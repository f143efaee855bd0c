"""Starts the dashboard's server, in this thread or beside a search."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, check_whole, wrong
from afina.store import TrialStore

PORT = 8642
"""Where the dashboard is by default; the next free port if this one is taken."""

TRIED_PORTS = 20


class Dashboard:
    """A dashboard that runs; `start_dashboard` makes it.

    Example:
        >>> from afina.dashboard import Dashboard
        >>> Dashboard.__name__
        'Dashboard'
    """

    def __init__(self, server: Any, searches: Any, sock: socket.socket, url: str) -> None:
        self.url = url
        """Where to open it in a browser; with the token, if it needs one."""
        self._server = server
        self._searches = searches
        self._socket = sock
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serves in this thread, until Ctrl-C."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._searches.close()

    def start(self) -> None:
        """Serves in another thread, and returns once it answers."""
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [self._socket]},
            daemon=True,
            name="afina-dashboard",
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the server."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(10)
        self._searches.close()

    def __repr__(self) -> str:
        return f"Dashboard at {self.url}"


def start_dashboard(
    place: TrialStore | Path | str,
    *,
    name: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_actions: bool = False,
    token: str | None = None,
    background: bool = False,
) -> Dashboard:
    """Prepares the dashboard of a search, which may run in other processes meanwhile.

    Args:
        place: A project's folder, a folder that holds projects, a database's URL, or a store.
        name: What to call the search of a store.
        host: The address to listen on. Any other than this machine's own demands the token.
        port: The port; None for 8642, or the next one that is free.
        allow_actions: Whether those who know the token may act on the search.
        token: The token; None draws one where it is needed.
        background: Whether to serve in a thread of its own, at once. Otherwise call `run`.

    Raises:
        ArgumentError: Starlette, uvicorn or Jinja2 is not installed; or the address cannot be used.
        StoreError: There is no search in the place.

    Example:
        >>> from afina.store import MemoryStore
        >>> dashboard = start_dashboard(MemoryStore(), port=0, background=True)
        >>> dashboard.url.startswith("http://127.0.0.1:")
        True
        >>> dashboard.stop()
    """
    missing = [each for each in NEEDED if importlib.util.find_spec(each) is None]
    if missing:
        raise ArgumentError(f"dashboard: needs {missing[0]}: pip install 'afina[web]'")
    import uvicorn

    from afina.dashboard.app import create_app
    from afina.dashboard.guard import Rights, is_loopback, new_token
    from afina.dashboard.searches import Searches, check_place

    check_place(place)
    if allow_actions or not is_loopback(host):
        token = token or new_token()
    searches = Searches(place, name)
    rights = Rights(host=host, token=token, actions=allow_actions)
    sock = _listen(host, port)
    over = threading.Event()
    config = uvicorn.Config(
        create_app(searches, rights, over.is_set),
        log_config=None,  # logging is the business of the program that runs this
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{sock.getsockname()[1]}/"
    dashboard = Dashboard(
        _server(config, over), searches, sock, url if token is None else f"{url}?token={token}"
    )
    searches.warm_up()
    if background:
        dashboard.start()
    return dashboard


NEEDED = ("starlette", "uvicorn", "jinja2")
"""The packages of the extra `web`."""


def _server(config: Any, over: threading.Event) -> Any:
    """A server that says when it begins to end: uvicorn waits for open streams, and they for it."""
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            over.set()
            await super().shutdown(sockets)

    return Server(config)


def _listen(host: str, port: int | None) -> socket.socket:
    if port is not None:
        check_whole("port", port, least=0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reason = None
    for number in range(PORT, PORT + TRIED_PORTS) if port is None else [port]:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, number))
            sock.listen(128)
        except (OSError, OverflowError) as error:
            sock.close()
            reason = error
        else:
            return sock
    where = f"{host}:{PORT if port is None else port}"
    advice = f"{getattr(reason, 'strerror', None) or reason}. Try another --host or --port."
    raise ArgumentError(wrong("dashboard", "must be able to listen", where, advice))
