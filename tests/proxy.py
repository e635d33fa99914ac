"""A TCP proxy before a server, which can be frozen: it takes everything and says nothing, as a stopped server does."""

import socket
from contextlib import suppress
from threading import Event, Thread
from urllib.parse import urlsplit


class FreezableProxy:
    """Passes bytes on between clients and the server of ``url`` until it is frozen. ``url``: the way through it."""

    def __init__(self, url: str, *, default_port: int) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or default_port)
        self._thawed = Event()
        self._thawed.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        host, port = self._listener.getsockname()
        userinfo, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{userinfo}{at}{host}:{port}").geturl()
        self._connections: list[socket.socket] = []
        Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def hang_up(self) -> None:
        """End the connections there are; new ones can be opened."""
        _close(self._connections)
        self._connections = []

    def close(self) -> None:
        self._thawed.set()
        _close([self._listener, *self._connections])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._connections += [client, server]
                Thread(target=self._pass_on, args=(client, server), daemon=True).start()
                Thread(target=self._pass_on, args=(server, client), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._thawed.wait()
                target.sendall(data)
        # Also when the source was reset: otherwise the target would wait for what never comes.
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
