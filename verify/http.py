"""Requests that are written down, each with a deadline of its own and within that of the whole run."""

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock, Timer
from typing import Any, Self
from urllib.parse import urlsplit

from verify.outcomes import Failed, OutOfTime, expect
from verify.server_sent_events import Event, events_of

MAX_BODY_BYTES = 8 * 1024 * 1024


@dataclass
class Exchange:
    """A request and its answer. ``status`` 0: there was no answer, and ``note`` says why."""

    method: str
    url: str
    sent_headers: dict[str, str]
    sent: bytes
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    note: str = ""

    @property
    def line(self) -> str:
        return f"{self.method} {urlsplit(self.url).path}"

    def header(self, name: str) -> str:
        """Its value; empty where there is none."""
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body. Raises Failed where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failed(f"{self.line} answers {self.status} with a body that is not JSON") from None

    def must_be(self, *statuses: int) -> Self:
        wanted = " or ".join(str(status) for status in statuses)
        expect(self.status in statuses, f"{self.line} answers {self.status}, and {wanted} was expected")
        return self

    def must_succeed(self) -> Self:
        expect(200 <= self.status < 300, f"{self.line} answers {self.status}, and a success was expected")
        return self

    def must_be_refused(self) -> Self:
        expect(400 <= self.status < 500, f"{self.line} answers {self.status}, and a refusal (4xx) was expected")
        return self


class Log:
    """The exchanges of a check, in the order in which they began."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._exchanges: list[Exchange] = []
        self._check = "begin"
        self._count = 0

    def begin(self, check: str) -> None:
        with self._lock:
            self._check, self._count, self._exchanges = check, 0, []

    def add(self, exchange: Exchange) -> str:
        """The id of the request, which the logs of the service may show."""
        with self._lock:
            self._exchanges.append(exchange)
            self._count += 1
            return f"verify-{self._check}-{self._count}"

    def exchanges(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges)


class Http:
    """A client of the service below ``base_url``.

    ``timeout``: seconds for one request and its answer. ``deadline``: when the whole run ends, by the monotonic clock.
    """

    def __init__(self, base_url: str, *, timeout: float, deadline: float, log: Log) -> None:
        self.base_url = base_url.rstrip("/")
        self.deadline = deadline
        self.log = log
        self._timeout = timeout
        self._parts = urlsplit(self.base_url)
        # Reads all certificates once, not with each connection.
        self._tls = ssl.create_default_context() if self._parts.scheme == "https" else None

    @property
    def is_encrypted(self) -> bool:
        return self._tls is not None

    def send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        data: bytes = b"",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        """Send JSON or bytes. Raises Failed where no answer comes in time."""
        sent = {"User-Agent": "gemini-chat-verify"}
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        exchange = Exchange(method, self.base_url + path, sent | dict(headers or {}), data)
        with self._sending(exchange, self._timeout) as response:
            exchange.body = _read(response)
        return exchange

    @contextmanager
    def stream(
        self, path: str, *, token: str, within: float, last_event_id: str | None = None
    ) -> Iterator[Iterator[Event]]:
        """The events of a stream that ends ``within`` seconds, each as it comes; leaving the block hangs up."""
        sent = {"User-Agent": "gemini-chat-verify", "Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
        if last_event_id is not None:
            sent["Last-Event-ID"] = last_event_id
        exchange = Exchange("GET", self.base_url + path, sent, b"")
        with self._sending(exchange, within) as response:
            if exchange.status != 200:
                exchange.body = _read(response)
            exchange.must_be(200)
            is_stream = exchange.header("Content-Type").startswith("text/event-stream")
            expect(is_stream, f"{exchange.line} answers with {exchange.header('Content-Type')}, not text/event-stream")
            yield events_of(_lines(response, exchange))

    def left(self) -> float:
        """Seconds of the whole run. Raises OutOfTime."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise OutOfTime("the time of the whole run is up (--deadline)")
        return left

    @contextmanager
    def _sending(self, exchange: Exchange, within: float) -> Iterator[HTTPResponse]:
        """The answer, whose head has come. The connection is closed after ``within`` seconds."""
        left = min(within, self.left())
        connection = self._connection(left)
        timer = Timer(left, _hang_up, [connection])
        timer.daemon = True
        exchange.sent_headers.setdefault("X-Request-Id", self.log.add(exchange))
        target = exchange.url.removeprefix(f"{self._parts.scheme}://{self._parts.netloc}")
        try:
            connection.connect()
            timer.start()
            # A body that is too large may be refused before all of it is sent.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(exchange.method, target, exchange.sent or None, exchange.sent_headers)
            response = connection.getresponse()
            exchange.status, exchange.headers = response.status, response.getheaders()
            yield response
        except (OSError, HTTPException) as error:
            self.left()
            exchange.note = f"no whole answer in at most {left:.1f} s: {type(error).__name__}: {error}"
            raise Failed(f"{exchange.line}: {exchange.note}") from error
        finally:
            timer.cancel()
            connection.close()

    def _connection(self, timeout: float) -> HTTPConnection:
        host = self._parts.hostname or ""
        if self._tls is None:
            return HTTPConnection(host, self._parts.port, timeout=timeout)
        return HTTPSConnection(host, self._parts.port, timeout=timeout, context=self._tls)


def _hang_up(connection: HTTPConnection) -> None:
    """What reads from it at this moment gets the end of the stream."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _read(response: HTTPResponse) -> bytes:
    body = response.read(MAX_BODY_BYTES)
    if response.length:
        raise HTTPException(f"{response.length} bytes of the body are missing")
    return body


def _lines(response: HTTPResponse, exchange: Exchange) -> Iterator[str]:
    """The lines of a body, which is written down as far as it comes."""
    while line := response.readline(MAX_BODY_BYTES + 1):
        exchange.body += line
        if len(exchange.body) > MAX_BODY_BYTES:
            raise Failed(f"{exchange.line} does not end after {MAX_BODY_BYTES} bytes")
        yield line.decode("utf-8", "replace").rstrip("\r\n")
