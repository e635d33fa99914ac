"""One connection of HTTP/1.1 (RFC 9112) on the event loop. llhttp (httptools) parses; bounds and deadlines are ours."""

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol, cast

import httptools
import structlog

from entrypoints.server.wsgi import BASE, Environ, body_stream, environ_name, split_target

# Requests that a client may send ahead without waiting for responses; more is no client of ours.
MAX_PIPELINED = 32
# A body must have arrived at this rate (bytes a second) once the time for its beginning has passed.
LEAST_RATE = 500
RATE_COUNTS_AFTER_SECONDS = 5.0
# After a refusal the rest of the request is read and thrown away for so long, so that the client can read the refusal.
LINGER_SECONDS = 2.0


log = structlog.get_logger(__name__)


class Limits(NamedTuple):
    """Seconds and bytes that one connection may take."""

    header_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0
    header_bytes: int = 32 * 1024
    body_bytes: int = 256 * 1024
    # Paths whose bodies may be of another size.
    body_bytes_of: Mapping[bytes, int] = {}


class Refusal(NamedTuple):
    """A request that the server refuses by itself: the status of its response."""

    status: int


class Request(NamedTuple):
    """A request that has arrived as a whole."""

    environ: Environ
    keep_alive: bool
    version: str


class Exchange(Protocol):
    """The request that is being answered, as far as its connection goes."""

    def cannot_write(self) -> None:
        """The client does not read what was written."""

    def can_write_again(self) -> None: ...

    def client_has_left(self) -> None: ...


class Server(Protocol):
    """What a connection tells its server, and asks of it."""

    limits: Limits
    name_and_port: tuple[str, str]

    def now(self) -> float: ...

    def connected(self, connection: "Connection", /) -> None: ...

    def disconnected(self, connection: "Connection", /) -> None: ...

    def busy(self, connection: "Connection", /) -> None: ...

    def idle(self, connection: "Connection", /) -> None: ...

    def begin(self, connection: "Connection", request: Request, /) -> None: ...

    def refuse(self, connection: "Connection", refusal: Refusal, peer: str, /) -> None: ...


class Phase(Enum):
    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    LINGERING = auto()


class Connection(asyncio.Protocol):
    """Parses requests, one exchange at a time, and writes responses. Its deadline is looked at by ``Server.sweep``."""

    __slots__ = (
        "_body",
        "_body_began",
        "_body_limit",
        "_body_size",
        "_closing_after",
        "_environ",
        "_header_bytes",
        "_parser",
        "_peer",
        "_pipelined",
        "_server",
        "_target",
        "deadline",
        "exchange",
        "is_new",
        "paused_since",
        "phase",
        "transport",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self.transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._pipelined: deque[Request | Refusal] = deque()
        self.exchange: Exchange | None = None
        # Until its first request begins to arrive.
        self.is_new = True
        self.phase = Phase.IDLE
        # When what the connection is waiting for must have come (``loop.time()``).
        self.deadline = 0.0
        self.paused_since: float | None = None
        self._closing_after = False
        self._header_bytes = 0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self.deadline = self._server.now() + self._server.limits.idle_seconds
        self._server.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.disconnected(self)
        self._pipelined.clear()
        if self.exchange is not None:
            self.exchange.client_has_left()

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.LINGERING:
            return
        if self.phase is not Phase.BODY:
            self._header_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No protocol is offered to upgrade to (RFC 9110, 7.8): the request is answered, and nothing follows it.
            self._closing_after = True
        except httptools.HttpParserError:
            self._refuse(400)
            return
        if self.phase is Phase.HEADERS and self._header_bytes > self._server.limits.header_bytes:
            self._refuse(431)

    def pause_writing(self) -> None:
        self.paused_since = self._server.now()
        if self.exchange is not None:
            self.exchange.cannot_write()

    def resume_writing(self) -> None:
        self.paused_since = None
        if self.exchange is not None:
            self.exchange.can_write_again()

    # What the parser calls

    def on_message_begin(self) -> None:
        self._environ: dict[str, Any] = dict(BASE)
        self._target = b""
        self._body: list[bytes] = []
        self._body_size = 0
        self.is_new = False
        self.phase = Phase.HEADERS
        self.deadline = self._server.now() + self._server.limits.header_seconds
        self._server.busy(self)

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        key = environ_name(name)
        if key is None:
            return
        environ = self._environ
        text = value.decode("latin-1")
        if key not in environ:
            environ[key] = text
        elif key == "HTTP_HOST":
            environ[key] = ""  # two hosts: refused as none
        else:
            environ[key] = f"{environ[key]},{text}"

    def on_headers_complete(self) -> None:
        environ = self._environ
        if self._parser.get_http_version() == "1.1" and not environ.get("HTTP_HOST"):
            self._refuse(400)
            return
        limits = self._server.limits
        self._body_limit = limits.body_bytes_of.get(self._target.partition(b"?")[0], limits.body_bytes)
        length = environ.pop("CONTENT_LENGTH", "")
        if length.isdecimal() and int(length) > self._body_limit:
            self._refuse(413)
            return
        if "HTTP_EXPECT" in environ and not self._pipelined and self.exchange is None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.phase = Phase.BODY
        self._body_began = self._server.now()
        self.deadline = self._body_began + limits.body_seconds

    def on_body(self, part: bytes) -> None:
        if self.phase is Phase.LINGERING:
            return
        self._body.append(part)
        self._body_size += len(part)
        if self._body_size > self._body_limit:
            self._refuse(413)

    def on_message_complete(self) -> None:
        if self.phase is Phase.LINGERING or self._closing_after:
            return
        self.phase = Phase.IDLE
        self._header_bytes = 0
        parser = self._parser
        version = parser.get_http_version()
        environ = self._environ
        environ["REQUEST_METHOD"] = parser.get_method().decode("latin-1")
        environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        environ["PATH_INFO"], environ["QUERY_STRING"] = split_target(self._target)
        environ["REMOTE_ADDR"] = self._peer
        environ["SERVER_NAME"], environ["SERVER_PORT"] = self._server.name_and_port
        body = b"".join(self._body)
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["wsgi.input"] = body_stream(body)
        keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        self._closing_after = not keep_alive
        self._next(Request(environ, keep_alive, version))

    # What the server calls

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def finished(self, *, keep_alive: bool) -> None:
        """The response of the exchange has been written: go on with what was sent ahead, or wait, or close."""
        self.exchange = None
        if self.transport.is_closing():
            return
        if not keep_alive:
            self.transport.close()
        elif self._pipelined:
            message = self._pipelined.popleft()
            if not self._pipelined:
                self.transport.resume_reading()
            self._begin(message)
        elif self.phase is Phase.IDLE:
            self.deadline = self._server.now() + self._server.limits.idle_seconds
            self._server.idle(self)

    def refused(self) -> None:
        """The refusal has been written: nothing more is read that counts, and the connection ends soon."""
        self.exchange = None
        self.phase = Phase.LINGERING
        self.deadline = self._server.now() + LINGER_SECONDS
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def abort(self) -> None:
        self.transport.abort()

    def overdue(self, now: float) -> None:
        """Called about once a second: what takes too long is refused or cut."""
        if self.paused_since is not None:
            if now - self.paused_since > self._server.limits.write_seconds:
                self.abort()
        elif self.exchange is not None:
            return
        elif self.phase is Phase.LINGERING or (self.phase is Phase.IDLE and now > self.deadline):
            if now > self.deadline:
                self.transport.close()
        elif self.phase is not Phase.IDLE and (now > self.deadline or self._is_too_slow(now)):
            log.warning(
                "request_cut_off",
                reason="too_late" if now > self.deadline else "too_slow",
                waiting_for=self.phase.name.lower(),
                body_bytes=self._body_size,
            )
            self._refuse(408)

    def _is_too_slow(self, now: float) -> bool:
        if self.phase is not Phase.BODY:
            return False
        seconds = now - self._body_began
        return seconds > RATE_COUNTS_AFTER_SECONDS and self._body_size < seconds * LEAST_RATE

    def _refuse(self, status: int) -> None:
        if self.phase is not Phase.LINGERING:
            self.phase = Phase.LINGERING
            self._closing_after = True
            self._next(Refusal(status))

    def _next(self, message: Request | Refusal) -> None:
        if self.exchange is None:
            self._begin(message)
        elif len(self._pipelined) < MAX_PIPELINED:
            self._pipelined.append(message)
            self.transport.pause_reading()
        else:
            self.abort()

    def _begin(self, message: Request | Refusal) -> None:
        if isinstance(message, Refusal):
            self._server.refuse(self, message, self._peer)
        else:
            self._server.begin(self, message)
