"""The web server before an application of a few lines: bounds, deadlines, rooms, waiting, stopping."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Generator, Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest
import uvloop
from structlog.testing import capture_logs

from adapters.greenlets import Greenlets
from entrypoints.server.connection import Limits
from entrypoints.server.rooms import Job, Room
from entrypoints.server.serve import bound_socket, serve_until
from entrypoints.server.server import REFUSED, Options, Server
from entrypoints.server.waiting import RESUMED, WAITING, Waiting
from entrypoints.server.wsgi import Environ
from tests.concurrency import eventually

PATIENCE = 30.0
LIMITS = Limits(
    header_seconds=1.0,
    body_seconds=1.0,
    idle_seconds=1.5,
    write_seconds=1.0,
    header_bytes=8_192,
    body_bytes=65_536,
    body_bytes_of={b"/large": 100_000},
)


class Pause(NamedTuple):
    """A step that waits."""

    source: Any
    seconds: float


class Mailbox:
    """What a stream waits for."""

    def __init__(self) -> None:
        self._letters: SimpleQueue[bytes] = SimpleQueue()
        self._callback: Callable[[], None] | None = None

    def put(self, letter: bytes) -> None:
        self._letters.put(letter)
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def next(self, *, within: float) -> bytes | None:
        try:
            return self._letters.get(timeout=within) if within else self._letters.get_nowait()
        except Empty:
            return None

    def when_ready(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        if not self._letters.empty():
            self._callback = None
            callback()


class App:
    """An application whose paths say what they do."""

    def __init__(self) -> None:
        self.held = Event()
        self.mailbox = Mailbox()
        self.released = SimpleQueue[str]()
        self.calls: list[str] = []
        self.wait: Callable[[], object] = bool

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Any:
        if refusal := environ.get(REFUSED):
            return self._text(start, f"{refusal.status} Refused", b"refused")
        path = environ["PATH_INFO"]
        self.calls.append(path)
        answer = {
            "/nothing": self._nothing,
            "/pieces": self._pieces,
            "/endless": self._endless,
            "/stream": self._stream,
            "/poll": self._wait,
            "/broken-header": self._broken_header,
            "/broken-stream": self._broken_stream,
        }
        if path == "/hold":
            self.held.wait(PATIENCE)
        if path == "/wait":
            self.wait()
        return answer.get(path, self._echo)(environ, start)

    @staticmethod
    def _nothing(_environ: Environ, start: Callable[..., Any]) -> Any:
        start("204 No Content", [])
        return iter([])

    @staticmethod
    def _pieces(_environ: Environ, start: Callable[..., Any]) -> Any:
        start("200 OK", [("Content-Type", "text/plain")])
        return iter([b"one ", b"two ", b"three"])

    @staticmethod
    def _endless(_environ: Environ, start: Callable[..., Any]) -> Any:
        start("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * 65_536 for _ in iter(int, 1))

    @staticmethod
    def _broken_header(_environ: Environ, start: Callable[..., Any]) -> Any:
        start("200 OK", [("X-Name", "\u0928")])  # no header can say that: ISO 8859-1 (PEP 3333)
        return [b"ok"]

    def _broken_stream(self, environ: Environ, start: Callable[..., Any]) -> Any:
        def steps() -> Generator[Any, Any, None]:
            yield b"first;"
            raise RuntimeError("broken")

        start("200 OK", [("Content-Type", "text/event-stream")])
        environ[WAITING] = Waiting(steps(), streams=True, release=lambda: self.released.put("stream"))
        return []

    def _stream(self, environ: Environ, start: Callable[..., Any]) -> Any:
        start("200 OK", [("Content-Type", "text/event-stream")])
        environ[WAITING] = Waiting(self._letters(), streams=True, release=lambda: self.released.put("stream"))
        return []

    def _wait(self, environ: Environ, start: Callable[..., Any]) -> Any:
        if RESUMED in environ:
            return self._text(start, "200 OK", repr(environ[RESUMED]).encode())
        environ[WAITING] = Waiting(self._poll(), streams=False, release=lambda: self.released.put("poll"))
        return []

    def _echo(self, environ: Environ, start: Callable[..., Any]) -> Any:
        said = {name: value for name, value in environ.items() if isinstance(value, str)}
        body = json.dumps(said | {"body": environ["wsgi.input"].read().decode("latin-1")}).encode()
        return self._text(start, "200 OK", body)

    def _letters(self) -> Generator[Any, Any, None]:
        yield b"first;"
        while (letter := (yield Pause(self.mailbox, PATIENCE))) != b"end":
            yield (letter or b"silence") + b";"

    def _poll(self) -> Any:
        return (yield Pause(self.mailbox, 0.5))

    @staticmethod
    def _text(start: Callable[..., Any], status: str, body: bytes) -> list[bytes]:
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]


class Running:
    """A server in a thread of this process."""

    def __init__(
        self,
        app: App,
        *,
        limits: Limits = LIMITS,
        connections: int = 100,
        threads: int = 2,
        drain: float = 0.0,
        start: Callable[[Job], None] | None = None,
    ) -> None:
        self.app = app
        self.listener = bound_socket("127.0.0.1", 0, shared=False)
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.work = Room("work", threads=threads, per_client=threads, waiting=2, start=start)
        options = Options(
            room_of=lambda environ: None if environ["PATH_INFO"] == "/inline" else self.work,
            client_of=lambda environ: environ["REMOTE_ADDR"],
            waiting_room=Room("waiting", threads=1, per_client=1, waiting=1_000),
            rooms=(self.work,),
            limits=limits,
            max_connections=connections,
        )
        self._ready = Event()
        self._loop = uvloop.new_event_loop()
        self._thread = Thread(target=self._run, args=(options, drain), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    def ended(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self, options: Options, drain: float) -> None:
        async def main() -> None:
            self._stop = asyncio.Event()
            self._ready.set()
            await serve_until(
                self.app, options, self.listener, stop=self._stop, hurry=asyncio.Event(), drain_seconds=drain
            )

        self._loop.run_until_complete(main())
        self._loop.close()


class Client:
    """A raw connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._buffer = b""

    def send(self, data: str | bytes) -> "Client":
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def get(self, path: str, *headers: str, version: str = "1.1") -> "Client":
        lines = "".join(f"{line}\r\n" for line in headers)
        return self.send(f"GET {path} HTTP/{version}\r\nHost: here\r\n{lines}\r\n")

    def response(self) -> tuple[int, dict[str, str], bytes]:
        head = self._until(b"\r\n\r\n").decode("latin-1")
        line, *fields = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        length = int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            self._read()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return int(line.split()[1]), headers, body

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while data := self.socket.recv(65_536):
            self._buffer += data
        return self._buffer

    def read_until(self, mark: bytes) -> bytes:
        return self._until(mark)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._read()
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def _read(self) -> None:
        data = self.socket.recv(65_536)
        assert data, f"the connection ended after {self._buffer!r}"
        self._buffer += data

    def close(self) -> None:
        self.socket.close()

    def __del__(self) -> None:
        self.socket.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(**options: Any) -> Running:
        running.append(Running(App(), **options))
        return running[-1]

    yield begin
    for server in running:
        server.app.held.set()
        server.stop()
        server.ended()


@pytest.fixture
def server(start: Callable[..., Running]) -> Running:
    return start()


@pytest.fixture(params=["threads", "loop"])
def either(request: pytest.FixtureRequest, start: Callable[..., Running]) -> Running:
    """A server whose requests have threads, and one whose requests take turns on its loop."""
    return start() if request.param == "threads" else start(start=Greenlets(helpers=2).start)


# --- Requests and responses ---


def test_a_request_becomes_an_environment(either: Running) -> None:
    client = Client(either.port)
    client.send(
        "POST /a%20b%C3%A4?q=1%202 HTTP/1.1\r\nHost: here\r\nContent-Type: text/x\r\nContent-Length: 4\r\n"
        "X-One: 1\r\nX-One: 2\r\nX_Forged: yes\r\n\r\nbody"
    )
    status, headers, body = client.response()
    environ = json.loads(body)
    assert status == 200
    assert "date" in headers
    assert environ["PATH_INFO"] == "/a b\u00c3\u00a4"
    assert environ["QUERY_STRING"] == "q=1%202"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["body"]) == ("text/x", "4", "body")
    assert environ["HTTP_X_ONE"] == "1,2"
    assert "HTTP_X_FORGED" not in environ
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_a_chunked_body_arrives_as_a_whole(either: Running) -> None:
    client = Client(either.port).send(
        "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    environ = json.loads(client.response()[2])
    assert (environ["body"], environ["CONTENT_LENGTH"]) == ("abcde", "5")
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_a_connection_is_kept_for_the_next_request(either: Running) -> None:
    client = Client(either.port)
    for _ in range(3):
        assert client.get("/").response()[0] == 200


def test_requests_that_are_sent_ahead_are_answered_in_order(either: Running) -> None:
    client = Client(either.port)
    client.send("".join(f"GET /{number} HTTP/1.1\r\nHost: here\r\n\r\n" for number in range(10)))
    assert [json.loads(client.response()[2])["PATH_INFO"] for _ in range(10)] == [f"/{number}" for number in range(10)]


@pytest.mark.parametrize("headers", [["Connection: close"], []])
def test_a_connection_is_closed_where_the_client_says_so(either: Running, headers: list[str]) -> None:
    client = Client(either.port).get("/", *headers, version="1.1" if headers else "1.0")
    assert client.rest().startswith(b"HTTP/1.1 200")


def test_head_has_no_body(either: Running) -> None:
    client = Client(either.port).send("HEAD / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"Content-Length" in head
    assert body == b""


def test_a_client_that_expects_to_be_told_is_told_to_go_on(either: Running) -> None:
    client = Client(either.port)
    client.send("POST / HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert json.loads(client.send("ok").response()[2])["body"] == "ok"


def test_a_response_in_pieces_is_chunked(server: Running) -> None:
    raw = Client(server.port).get("/pieces", "Connection: close").rest()
    assert raw.endswith(b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in raw


def test_on_the_loop_a_response_in_pieces_is_sent_as_a_whole(start: Callable[..., Running]) -> None:
    _, headers, body = Client(start(start=Greenlets(helpers=1).start).port).get("/pieces").response()
    assert (headers["content-length"], body) == ("13", b"one two three")


def test_on_the_loop_a_request_that_waits_lets_others_be_answered(start: Callable[..., Running]) -> None:
    greenlets = Greenlets(helpers=1)
    server = start(start=greenlets.start)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server.app.wait = lambda: greenlets.wait_for(ours.fileno(), writing=False, seconds=PATIENCE)
        waits = Client(server.port).get("/wait")
        assert Client(server.port).get("/").response()[0] == 200
        theirs.send(b"go on")
        assert waits.response()[0] == 200


def test_what_is_begun_when_something_is_done_lets_the_loop_look_at_other_things_first() -> None:
    happened: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        waiting = Room("waiting", threads=1, per_client=1)
        server = Server(App(), Options(lambda _: None, lambda _: None, waiting), loop)

        ended = asyncio.Event()

        def end_the_next() -> None:
            happened.append("the next has ended")
            ended.set()

        def end_and_begin() -> None:
            happened.append("one ends")
            server.post(end_the_next)

        server.post(end_and_begin)
        loop.call_soon(happened.append, "another")
        await asyncio.wait_for(ended.wait(), PATIENCE)

    asyncio.run(main())
    assert happened == ["one ends", "another", "the next has ended"]


def test_a_response_without_a_body_is_not_chunked_and_the_connection_is_kept(either: Running) -> None:
    client = Client(either.port).send("GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
    client.send("GET /next HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    nothing, _, rest = client.rest().partition(b"\r\n\r\n")
    assert nothing.startswith(b"HTTP/1.1 204 No Content")
    assert b"Transfer-Encoding" not in nothing  # RFC 9112, 6.1: clients would wait for the chunks
    assert rest.startswith(b"HTTP/1.1 200 OK")


def test_a_response_in_pieces_ends_with_the_connection_for_http_1_0(either: Running) -> None:
    raw = Client(either.port).get("/pieces", version="1.0").rest()
    assert raw.endswith(b"\r\n\r\none two three")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 9_000 + "\r\n", 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + "x" * 65_537, 413),
    ],
)
def test_what_is_no_request_or_too_large_is_refused_and_the_connection_ends(
    either: Running, request_text: str, status: int
) -> None:
    raw = Client(either.port).send(request_text).rest()
    assert raw.startswith(f"HTTP/1.1 {status} ".encode())
    assert raw.count(b"HTTP/1.1") == 1
    assert either.app.calls == []


def test_a_path_may_take_larger_bodies(server: Running) -> None:
    body = "x" * 100_000
    client = Client(server.port)
    client.send(f"POST /large?now HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    assert json.loads(client.response()[2])["body"] == body
    client.send(f"POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body) + 1}\r\n\r\n")
    assert client.response()[0] == 413


# --- Slow clients ---


@pytest.mark.parametrize(
    "half", ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\nhalf", "GET / HTTP/1.1\r\nHost: a\r\nX-Half: "]
)
def test_half_a_request_holds_nothing_and_is_refused_in_the_end(start: Callable[..., Running], half: str) -> None:
    server = start(limits=LIMITS._replace(header_seconds=0.3, body_seconds=0.3))
    with capture_logs() as logs:
        slow = [Client(server.port).send(half) for _ in range(50)]
        assert Client(server.port).get("/").response()[0] == 200
        for client in slow:
            assert client.rest().startswith(b"HTTP/1.1 408 ")
    assert server.app.calls == ["/"]
    cut_off = [line for line in logs if line["event"] == "request_cut_off"]
    assert len(cut_off) == 50
    assert {line["reason"] for line in cut_off} == {"too_late"}
    assert "127.0.0.1" not in repr(cut_off)


def test_a_body_of_a_byte_now_and_then_is_refused(start: Callable[..., Running]) -> None:
    server = start(limits=LIMITS._replace(body_seconds=0.3))
    client = Client(server.port).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
    client.socket.settimeout(0.02)
    until = time.monotonic() + PATIENCE
    raw = b""
    while not raw and time.monotonic() < until:
        client.send("x")
        try:
            raw = client.socket.recv(1_000)
        except TimeoutError:
            continue
    assert raw.startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_ends_without_a_word(start: Callable[..., Running]) -> None:
    server = start(limits=LIMITS._replace(header_seconds=0.3, idle_seconds=0.3))
    assert Client(server.port).rest() == b""
    client = Client(server.port)
    client.get("/").response()
    assert client.rest() == b""


def test_with_too_many_connections_the_one_that_is_idle_for_longest_makes_room(start: Callable[..., Running]) -> None:
    server = start(connections=3, limits=LIMITS._replace(idle_seconds=60.0))
    idle = [Client(server.port) for _ in range(3)]
    idle[0].get("/").response()
    assert Client(server.port).get("/").response()[0] == 200
    with pytest.raises((ConnectionError, AssertionError)):
        idle[1].get("/").response()
    assert idle[0].get("/").response()[0] == 200


def test_a_client_that_does_not_read_is_cut_off_and_gives_its_thread_back(start: Callable[..., Running]) -> None:
    server = start(threads=1, limits=LIMITS._replace(write_seconds=0.3))
    client = Client(server.port).get("/endless")
    client.read_until(b"\r\n\r\n")
    assert Client(server.port).get("/").response()[0] == 200


# --- Rooms ---


def test_a_full_room_refuses_and_what_needs_no_room_is_answered(server: Running) -> None:
    waiting = [Client(server.port).get("/hold") for _ in range(4)]  # two threads, two that wait
    until = time.monotonic() + PATIENCE
    while (server.work.running, server.work.waiting) != (2, 2):
        assert time.monotonic() < until
        time.sleep(0.01)
    with capture_logs() as logs:
        for _ in range(3):
            assert Client(server.port).get("/").response()[0] == 503
        assert Client(server.port).get("/inline").response()[0] == 200
        # Logged a moment later, and together.
        assert eventually(lambda: sum(line["refused"] for line in logs if line["event"] == "room_full") == 3)
    assert len(logs) <= 2
    server.app.held.set()
    assert [client.response()[0] for client in waiting] == [200] * 4


def test_a_client_that_left_while_waiting_for_its_turn_is_not_worked_for(start: Callable[..., Running]) -> None:
    server = start(threads=1)
    first = Client(server.port).get("/hold")
    gone = Client(server.port).get("/never")
    until = time.monotonic() + PATIENCE
    while server.work.waiting != 1:
        assert time.monotonic() < until
        time.sleep(0.01)
    gone.close()
    time.sleep(0.1)
    server.app.held.set()
    first.response()
    assert Client(server.port).get("/").response()[0] == 200
    assert "/never" not in server.app.calls


@pytest.mark.parametrize("options", [{}, {"start": Greenlets(helpers=1).start}], ids=["threads", "loop"])
def test_a_response_that_cannot_be_sent_costs_its_connection_and_no_place(
    start: Callable[..., Running], options: dict[str, Any]
) -> None:
    server = start(threads=1, **options)
    with capture_logs() as logs:
        for _ in range(3):
            assert Client(server.port).get("/broken-header").rest() == b""
        assert Client(server.port).get("/").response()[0] == 200
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["response_failed"] * 3


# --- Waiting ---


def test_streams_wait_without_a_thread(start: Callable[..., Running]) -> None:
    server = start(threads=1)
    streams = [Client(server.port) for _ in range(20)]
    for client in streams:
        client.get("/stream").read_until(b"first;\r\n")
    assert Client(server.port).get("/").response()[0] == 200


def test_a_stream_says_what_comes_and_ends(server: Running) -> None:
    client = Client(server.port).get("/stream", "Connection: close")
    client.read_until(b"first;\r\n")
    server.app.mailbox.put(b"second")
    client.read_until(b"second;\r\n")
    server.app.mailbox.put(b"end")
    assert client.rest() == b"0\r\n\r\n"
    assert server.app.released.get(timeout=PATIENCE) == "stream"


def test_a_stream_that_fails_is_logged_and_has_no_end(server: Running) -> None:
    with capture_logs() as logs:
        raw = Client(server.port).get("/broken-stream").rest()
        assert server.app.released.get(timeout=PATIENCE) == "stream"
    assert raw.endswith(b"first;\r\n")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["stream_failed"]


def test_a_client_that_leaves_gives_its_place_back(server: Running) -> None:
    client = Client(server.port).get("/stream")
    client.read_until(b"first;\r\n")
    client.close()
    assert server.app.released.get(timeout=PATIENCE) == "stream"


def test_a_long_poll_is_answered_when_something_comes(server: Running) -> None:
    client = Client(server.port).get("/poll")
    server.app.mailbox.put(b"event")
    assert client.response()[2] == b"b'event'"
    assert server.app.released.get(timeout=PATIENCE) == "poll"


def test_a_long_poll_is_answered_when_its_time_is_up(server: Running) -> None:
    assert Client(server.port).get("/poll").response()[2] == b"None"


def test_head_of_a_stream_waits_for_nothing(server: Running) -> None:
    client = Client(server.port).send("HEAD /stream HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert client.rest().startswith(b"HTTP/1.1 200 ")
    assert server.app.released.get(timeout=PATIENCE) == "stream"


# --- Stopping ---


def test_stopping_finishes_requests_answers_polls_and_ends_streams(start: Callable[..., Running]) -> None:
    server = start(limits=LIMITS._replace(idle_seconds=60.0))
    held, stream = Client(server.port).get("/hold"), Client(server.port).get("/stream")
    stream.read_until(b"first;\r\n")
    server.app.calls.clear()
    poll, idle = Client(server.port).get("/poll"), Client(server.port)
    until = time.monotonic() + PATIENCE
    while "/poll" not in server.app.calls:
        assert time.monotonic() < until
        time.sleep(0.01)
    server.stop()
    assert poll.response()[2] in {b"Interrupted()", b"None"}
    assert stream.rest() == b"0\r\n\r\n"
    server.app.held.set()
    status, headers, _ = held.response()
    assert (status, headers["connection"]) == (200, "close")
    assert idle.rest() == b""
    server.ended()


def test_while_draining_requests_are_answered_and_each_is_its_connections_last(start: Callable[..., Running]) -> None:
    server = start(drain=0.2, limits=LIMITS._replace(idle_seconds=60.0))
    client = Client(server.port)
    client.get("/").response()
    server.stop()
    status, headers, _ = client.get("/").response()
    assert (status, headers.get("connection")) in {(200, "close"), (200, None)}
    server.ended()


def stopped_accepting(server: Running) -> None:
    server.stop()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it closed while this one waited to be accepted
            continue
    pytest.fail("it still accepts connections")


@pytest.mark.parametrize(
    "begun", ["", "POST / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo"]
)
def test_a_request_that_was_on_its_way_when_the_server_stopped_is_answered(
    start: Callable[..., Running], begun: str
) -> None:
    server = start(drain=0.1, limits=LIMITS._replace(header_seconds=60.0, body_seconds=60.0, idle_seconds=60.0))
    client = Client(server.port).send(begun)
    stopped_accepting(server)
    time.sleep(0.3)  # it had time to end
    whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    status, headers, body = client.send(whole.removeprefix(begun)).response()
    assert (status, headers["connection"], json.loads(body)["body"]) == (200, "close", "body")
    server.ended()


def test_after_the_last_response_of_a_connection_nothing_that_was_sent_ahead_is_answered(
    start: Callable[..., Running],
) -> None:
    server = start(drain=0.1)
    client = Client(server.port).get("/hold").get("/ahead")
    until = time.monotonic() + PATIENCE
    while "/hold" not in server.app.calls:
        assert time.monotonic() < until
        time.sleep(0.01)
    stopped_accepting(server)
    server.app.held.set()
    assert client.rest().count(b"HTTP/1.1 200 ") == 1
    assert "/ahead" not in server.app.calls


def test_a_port_takes_no_connections_before_its_process_listens() -> None:
    with bound_socket("127.0.0.1", 0, shared=False) as bound, pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound.getsockname())


def test_a_port_that_is_taken_is_an_error() -> None:
    with bound_socket("127.0.0.1", 0, shared=False) as taken:
        taken.listen(1)
        with pytest.raises(OSError, match="in use"):
            bound_socket("127.0.0.1", taken.getsockname()[1], shared=False)
