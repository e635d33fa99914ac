"""The event loop's side of every request: rooms, responses, waiting, and the end of the process."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from email.utils import formatdate
from threading import Event, get_ident
from typing import Any, NamedTuple

import structlog

from entrypoints.server.connection import Connection, Limits, Refusal, Request
from entrypoints.server.rooms import Room
from entrypoints.server.waiting import RESUMED, SERVER_WAITS, StepResult, Waiting, take_waiting
from entrypoints.server.wsgi import BASE, Application, Environ, Response, body_stream, call, has_length, head

# Asks the application for the response to a request that the server refuses by itself; the value is a ``Refusal``.
REFUSED = "gemini_chat.refused"
# Whether the server is about to stop: load balancers are to send requests elsewhere.
STOPPING = "gemini_chat.stopping"
# When the request had arrived as a whole (``time.perf_counter``).
ARRIVED = "gemini_chat.arrived"
SWEEP_SECONDS = 0.5
LOG_FULL_ROOMS_EVERY_SECONDS = 1.0
# An iterable response waits for its client this long, for each piece.
PIECE_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Options(NamedTuple):
    """What the application decides for the server."""

    # The room in which a request is answered. None: on the event loop, since it does no I/O and takes no time.
    room_of: Callable[[Environ], Room | None]
    # Whose request it is, for the bounds per client of a room.
    client_of: Callable[[Environ], Hashable]
    # Where the steps of responses that wait are taken.
    waiting_room: Room
    rooms: tuple[Room, ...] = ()
    limits: Limits = Limits()
    max_connections: int = 20_000


class ClientHasLeft(Exception):
    """The connection is gone, or the client does not read."""


class Exchange:
    """One request and its response. Methods belong to the loop's thread unless they say otherwise."""

    __slots__ = (
        "_resume",
        "client",
        "connection",
        "environ",
        "gone",
        "keep_alive",
        "room",
        "unread",
        "version",
        "waiting",
    )

    def __init__(self, connection: Connection, request: Request, client: Hashable, room: Room | None) -> None:
        self.connection = connection
        self.environ = request.environ
        self.keep_alive = request.keep_alive
        self.version = request.version
        self.client = client
        self.room = room
        self.gone = False
        self.waiting: Waiting | None = None
        # While the client does not read what was written: set when it has read enough, or left.
        self.unread: Event | None = None
        self._resume: Callable[[], None] | None = None

    def client_has_left(self) -> None:
        self.gone = True
        self._has_read()
        if self.waiting is not None:
            self.waiting.client_has_left()

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` when the client has read enough of what was written: now, as a rule."""
        if self.unread is None:
            resume()
        else:
            self._resume = resume

    def cannot_write(self) -> None:
        self.unread = Event()

    def can_write_again(self) -> None:
        self._has_read()
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def _has_read(self) -> None:
        unread, self.unread = self.unread, None
        if unread is not None:
            unread.set()


class Server:
    """Serves ``application`` on one event loop."""

    def __init__(self, application: Application, options: Options, loop: asyncio.AbstractEventLoop) -> None:
        self.options = options
        self.limits = options.limits
        self.loop = loop
        self.now = loop.time
        self.name_and_port = ("127.0.0.1", "0")
        self._application = application
        self._connections: set[Connection] = set()
        # With too many connections, the one that has been idle for longest makes room; if none is idle, the one that
        # has been sending a request for longest.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._sending: OrderedDict[Connection, None] = OrderedDict()
        self._waits: set[Waiting] = set()
        self._done: deque[Callable[[], None]] = deque()
        self._draining_done = False
        self._thread = get_ident()
        self._date = _date()
        # How many requests each room has refused since that was last logged, and when it was.
        self._full: Counter[str] = Counter()
        self._full_logged_at = 0.0
        self.stopping = False

    # Connections

    def connected(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._idle[connection] = None
        if len(self._connections) > self.options.max_connections:
            candidates = self._idle if len(self._idle) > 1 else self._sending or self._idle
            next(iter(candidates)).abort()

    def disconnected(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        self._sending.pop(connection, None)

    def busy(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._sending[connection] = None

    def idle(self, connection: Connection) -> None:
        self._idle[connection] = None
        if self.stopping:
            connection.transport.close()

    # Requests

    def begin(self, connection: Connection, request: Request) -> None:
        self._sending.pop(connection, None)
        environ = request.environ
        environ[ARRIVED] = time.perf_counter()
        environ[SERVER_WAITS] = True
        environ[STOPPING] = self.stopping
        room = self.options.room_of(environ)
        client = self.options.client_of(environ)
        exchange = connection.exchange = Exchange(connection, request, client, room)
        if room is None:
            self._answer_on_the_loop(exchange)
        elif not room.enter(client, lambda: self._answer(exchange)):
            self._full[room.name] += 1
            exchange.room = None
            environ[REFUSED] = Refusal(503)
            self._answer_on_the_loop(exchange)

    def refuse(self, connection: Connection, refusal: Refusal, peer: str) -> None:
        """Let the application word the response to a request that did not arrive as one, and end the connection."""
        environ = dict(BASE)
        environ |= {
            "REQUEST_METHOD": "GET",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "REMOTE_ADDR": peer,
            "SERVER_NAME": self.name_and_port[0],
            "SERVER_PORT": self.name_and_port[1],
            "wsgi.input": body_stream(b""),
            ARRIVED: time.perf_counter(),
            REFUSED: refusal,
        }
        exchange = connection.exchange = Exchange(
            connection, Request(environ, keep_alive=False, version="1.1"), None, None
        )
        response = call(self._application, environ)
        connection.write(self._whole(exchange, response, _joined(response)))
        connection.refused()

    def _answer_on_the_loop(self, exchange: Exchange) -> None:
        response = call(self._application, exchange.environ)
        self._finish(exchange, self._whole(exchange, response, _joined(response)))

    def _answer(self, exchange: Exchange) -> None:
        """Runs in a thread of the exchange's room, or on the loop as that room's jobs do."""
        if exchange.gone:
            self.post(lambda: self._leave(exchange))
            return
        try:
            response = call(self._application, exchange.environ)
        except Exception:
            log.exception("application_failed")
            response = Response()
        try:
            self._send(exchange, response)
        except Exception:
            # The thread and the place in its room outlive a response that cannot be sent.
            log.exception("response_failed")
            self.post(lambda: self._finish_without_end(exchange))

    def _send(self, exchange: Exchange, response: Response) -> None:
        waiting = take_waiting(exchange.environ)
        if waiting is not None and exchange.environ["REQUEST_METHOD"] == "HEAD":
            waiting.give_up()
            waiting = None
        on_loop = exchange.room is not None and exchange.room.on_loop
        if waiting is None and (on_loop or isinstance(response.body, list | tuple)):
            data = self._whole(exchange, response, _joined(response))
            self.post(lambda: self._finish(exchange, data))
        elif waiting is None:
            self._send_pieces(exchange, response)
        else:
            begun = self._begun(exchange, response) if waiting.streams else b""
            self.post(lambda: self._wait(exchange, waiting, begun))

    # Responses

    def _whole(self, exchange: Exchange, response: Response, body: bytes) -> bytes:
        keep_alive = exchange.keep_alive = exchange.keep_alive and not self.stopping
        if response.has_body and not has_length(response):
            response.headers.append(("Content-Length", str(len(body))))
        begin = head(response, version=exchange.version, keep_alive=keep_alive, chunked=False, date=self._date)
        return begin if exchange.environ["REQUEST_METHOD"] == "HEAD" or not response.has_body else begin + body

    def _begun(self, exchange: Exchange, response: Response) -> bytes:
        """Status and headers of a response whose body comes in pieces."""
        chunked = _is_chunked(exchange, response)
        framed = chunked or not response.has_body
        exchange.keep_alive = exchange.keep_alive and framed and not self.stopping
        return head(
            response, version=exchange.version, keep_alive=exchange.keep_alive, chunked=chunked, date=self._date
        )

    def _send_pieces(self, exchange: Exchange, response: Response) -> None:
        """Runs in a thread, which waits for a client that reads slowly: only rooms of their own send so much."""
        body: Iterable[bytes] = response.body
        chunked = _is_chunked(exchange, response)
        end = b""
        try:
            self._post_piece(exchange, self._begun(exchange, response))
            if exchange.environ["REQUEST_METHOD"] != "HEAD" and response.has_body:
                for piece in filter(None, body):
                    self._post_piece(exchange, _frame(piece) if chunked else piece)
                end = _END if chunked else b""
        except ClientHasLeft:
            exchange.keep_alive = False
        except Exception:
            # Without its end the client can tell that the response is not whole.
            log.exception("response_failed")
            exchange.keep_alive = False
        finally:
            _close(response)
        self.post(lambda: self._finish(exchange, end))

    def _post_piece(self, exchange: Exchange, data: bytes) -> None:
        written = Event()

        def write() -> None:
            exchange.connection.write(data)
            written.set()

        self.post(write)
        written.wait(PIECE_SECONDS)
        unread = exchange.unread
        if (unread is not None and not unread.wait(PIECE_SECONDS)) or exchange.gone:
            raise ClientHasLeft

    def _finish(self, exchange: Exchange, data: bytes) -> None:
        if data:
            exchange.connection.write(data)
        self._leave(exchange)
        exchange.connection.finished(keep_alive=exchange.keep_alive)

    def _finish_without_end(self, exchange: Exchange) -> None:
        """Close the connection, by which the client can tell that the response is not whole."""
        exchange.keep_alive = False
        self._finish(exchange, b"")

    def _leave(self, exchange: Exchange) -> None:
        room, exchange.room = exchange.room, None
        if room is not None:
            room.leave(exchange.client)

    # Waiting

    def _wait(self, exchange: Exchange, waiting: Waiting, begun: bytes) -> None:
        """The response waits from here on: on the loop, without a thread."""
        if begun:
            exchange.connection.write(begun)
        self._leave(exchange)
        exchange.waiting = waiting
        self._waits.add(waiting)
        waiting.begin(WaitingHost(self, exchange, waiting))
        if exchange.gone:
            waiting.client_has_left()
        elif self.stopping:
            waiting.interrupt()

    def run_step(self, step: Callable[[], StepResult], done: Callable[[StepResult], None]) -> None:
        """Take one step of a response that waits, in a thread; ``done`` is called on the loop."""
        room = self.options.waiting_room

        def job() -> None:
            try:
                result = step()
            except Exception as error:
                log.exception("step_failed")
                result = StepResult([], error=error)

            def finish() -> None:
                room.leave("steps")
                done(result)

            self.post(finish)

        room.enter("steps", job)

    def send(self, exchange: Exchange, pieces: list[bytes]) -> None:
        """Write what a stream has to say."""
        framed = _frame if exchange.version == "1.1" else bytes
        exchange.connection.write(b"".join(map(framed, pieces)))

    def wait_is_over(self, exchange: Exchange, waiting: Waiting, outcome: Any) -> None:
        self._waits.discard(waiting)
        exchange.waiting = None
        if exchange.gone:
            return
        if waiting.streams and isinstance(outcome, BaseException):
            log.error("stream_failed", exc_info=outcome)
            self._finish_without_end(exchange)
            return
        if waiting.streams:
            self._finish(exchange, _END if exchange.version == "1.1" else b"")
            return
        # The application is called again, with the same request and what it has waited for.
        exchange.environ[RESUMED] = outcome
        exchange.environ["wsgi.input"].seek(0)
        exchange.room, exchange.client = self.options.waiting_room, "resumed"
        exchange.room.enter(exchange.client, lambda: self._answer(exchange))

    # Threads

    def post(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called on the loop. One wake-up of the loop serves all that come until it is awake."""
        self._done.append(callback)
        if not self._draining_done:
            self._draining_done = True
            if get_ident() == self._thread:
                self.loop.call_soon(self._drain)
                return
            # RuntimeError: the loop is closed, and this thread was closing what its request had opened.
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._draining_done = False
        # No more than is there: what these begin, and what that has done already, lets the loop look at sockets first.
        for _ in range(len(self._done)):
            callback = self._done.popleft()
            try:
                callback()
            except Exception:
                # One exchange goes wrong; the others that are done have to be written all the same.
                log.exception("exchange_failed")

    # Time

    def sweep(self) -> None:
        """Look at the deadlines of all connections: cheaper than a timer for each request."""
        self._date = _date()
        now = self.now()
        for connection in list(self._connections):
            connection.overdue(now)
        self._log_full_rooms(now)
        self.loop.call_later(SWEEP_SECONDS, self.sweep)

    def _log_full_rooms(self, now: float) -> None:
        if not self._full or now - self._full_logged_at < LOG_FULL_ROOMS_EVERY_SECONDS:
            return
        for room, refused in self._full.items():
            log.warning("room_full", room=room, refused=refused)
        self._full.clear()
        self._full_logged_at = now

    # The end

    def interrupt_waits(self) -> None:
        """Streams end where they are, to be resumed elsewhere; long polls answer with what there is."""
        self.stopping = True
        for waiting in list(self._waits):
            waiting.interrupt()

    def close_idle(self) -> None:
        """Close the connections on which a response was the last that happened."""
        for connection in list(self._idle):
            if not connection.is_new:
                connection.transport.close()

    @property
    def expects_requests(self) -> bool:
        """Whether a request has begun to arrive, or the first one of a connection is still to come."""
        return bool(self._sending or self._idle)

    @property
    def quiet(self) -> bool:
        """Whether no exchange is going on."""
        return all(connection.exchange is None for connection in self._connections)

    def abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()


class WaitingHost:
    """One exchange of a server, for the response that waits."""

    def __init__(self, server: Server, exchange: Exchange, waiting: Waiting) -> None:
        self._server = server
        self._exchange = exchange
        self._waiting = waiting
        self.run_step = server.run_step
        self.post = server.post
        self.call_later = server.loop.call_later
        self.when_writable = exchange.when_writable

    @property
    def gone(self) -> bool:
        return self._exchange.gone

    def send(self, pieces: list[bytes]) -> None:
        self._server.send(self._exchange, pieces)

    def end(self, outcome: Any) -> None:
        self._server.wait_is_over(self._exchange, self._waiting, outcome)


_END = b"0\r\n\r\n"


def _joined(response: Response) -> bytes:
    try:
        return b"".join(response.body)
    finally:
        _close(response)


def _close(response: Response) -> None:
    """PEP 3333: an iterable with a ``close`` is closed, whatever came of it."""
    close = getattr(response.body, "close", None)
    if close is not None:
        close()


def _is_chunked(exchange: Exchange, response: Response) -> bool:
    """Whether a body in pieces is; a response that has none must not say so (RFC 9112, 6.1)."""
    return exchange.version == "1.1" and response.has_body and not has_length(response)


def _frame(piece: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _date() -> str:
    """The last header, and the end of the headers."""
    return f"Date: {formatdate(usegmt=True)}\r\n\r\n"
