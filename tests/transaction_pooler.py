"""A pooler before PostgreSQL that gives each transaction another session, as PgBouncer does in transaction mode.

It understands as much of the protocol (postgresql.org/docs/current/protocol-message-formats.html) as that takes: a
session is free as soon as the server is ready for a query outside of any transaction, and the one that was used last
serves next.
"""

import socket
import struct
from contextlib import suppress
from threading import Condition, Thread
from urllib.parse import urlsplit

SSL_REQUEST = 80877103
READY_OUTSIDE_TRANSACTIONS = b"I"
# Requests of the server that the client answers: for a password, in the clear or hashed, and for two steps of SASL.
ANSWERED_AUTHENTICATION = {3, 5, 10, 11}


class TransactionPooler:
    """``url``: the way through it, for clients that have authenticated themselves, each on a session of the server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server_address = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        userinfo, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{userinfo}{at}{host}:{port}").geturl()
        self._free: list[socket.socket] = []
        self._freed = Condition()
        self._sockets: list[socket.socket] = [self._listener]
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError):
            server = socket.create_connection(self._server_address)
            self._sockets.append(server)
            server.sendall(self._startup_message(client))
            _relay(server, client)
            self._give_back(server)
            while data := client.recv(65_536):
                if data[:1] == b"X":  # the client leaves, its session stays
                    return
                server = self._take()
                server.sendall(data)
                while _relay(server, client) != READY_OUTSIDE_TRANSACTIONS:
                    server.sendall(client.recv(65_536))
                self._give_back(server)

    @staticmethod
    def _startup_message(client: socket.socket) -> bytes:
        while True:
            length = _exactly(client, 4)
            body = _exactly(client, struct.unpack("!i", length)[0] - 4)
            if struct.unpack("!i", body[:4])[0] != SSL_REQUEST:
                return length + body
            client.sendall(b"N")

    def _take(self) -> socket.socket:
        with self._freed:
            assert self._freed.wait_for(lambda: self._free, timeout=30)
            return self._free.pop()

    def _give_back(self, server: socket.socket) -> None:
        with self._freed:
            self._free.append(server)
            self._freed.notify()


def _relay(server: socket.socket, client: socket.socket) -> bytes:
    """Pass messages of the server on until it is ready for a query; the state of its transaction."""
    while True:
        kind, length = _exactly(server, 1), _exactly(server, 4)
        body = _exactly(server, struct.unpack("!i", length)[0] - 4)
        client.sendall(kind + length + body)
        if kind == b"Z":
            return body
        if kind == b"R" and struct.unpack("!i", body[:4])[0] in ANSWERED_AUTHENTICATION:
            server.sendall(client.recv(65_536))


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        received = source.recv(size - len(data))
        if not received:
            raise EOFError
        data += received
    return data
