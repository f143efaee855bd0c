"""A network that can be cut: a proxy between a database's socket and a port of this machine."""

import contextlib
import socket
import threading
from pathlib import Path


class Network:
    """Passes bytes on, until it is cut.

    Args:
        server: The database's socket.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._flows.clear()

    def mend(self, *, drop: bool) -> None:
        """Lets bytes pass again.

        Args:
            drop: Whether what was open is lost, with all that was on its way.
        """
        if drop:
            ends, self._ends = self._ends, []
            for end in ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._flows.set()

    def close(self) -> None:
        self._door.close()
        self.mend(drop=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._server))
            except OSError:
                client.close()
                continue
            self._ends += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
