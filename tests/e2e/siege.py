"""Faults that a service has to withstand, each for as long as a block, and a user who goes on using it meanwhile."""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import httpx
import psycopg2
from psycopg2 import sql

from tests.e2e.service import PATIENCE, Person, Service, until
from tests.e2e.streams import server_sent

# An answer has to begin within so many seconds. What a request would wait for otherwise lasts 5 seconds or more.
ANSWERS_WITHIN = 2.0
# The promise for a quiet machine is 0.1 s. Tests run where others work: this still shows that nothing is waited for.
PROBES_ANSWER_WITHIN = 1.0
# Where Redis says nothing, a stream asks the database this often (application/chat/follow_reply.py).
HEARTBEAT_SECONDS = 5.0
# As many requests of one user may wait in a process (WAITING_REQUESTS_PER_USER).
PLACES_PER_USER = 20

CODE = "123456"
# Numbers with a constant code, since the sender of text messages is one of those that fall silent.
NUMBERS = [f"+9198766{number:05d}" for number in range(100)]
TEST_NUMBERS = ",".join(f"{number}:{CODE}:2099-12-31" for number in NUMBERS)


@dataclass
class Users:
    """Users with numbers of their own, logged in."""

    service: Service
    _numbers: Iterator[str] = field(default_factory=lambda: iter(NUMBERS))
    _logged_in: list[Person] = field(default_factory=list)

    def log_in(self) -> Person:
        person = Person(self.service)
        person.number = next(self._numbers)
        person.post("/auth/send-otp", 200, mobileNumber=person.number)
        person.log_in_with(CODE)
        person.room = person.open_room("Everything")
        self._logged_in.append(person)
        return person

    def leave(self) -> None:
        """Close the connections of all of them."""
        while self._logged_in:
            self._logged_in.pop().http.close()


class Observer:
    """A user who goes on using the service while something is wrong. Each answer has to begin within a bound."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.sent: dict[str, str] = {}  # accepted prompts by the id of their reply
        self.service = person.service

    def uses_everything(self, *, times: int = 3, stream_within: float = ANSWERS_WITHIN) -> None:
        for _ in range(times):
            self.is_live()
            self.is_ready()
            self.reads_profile()
            self.watches(self.sends(), within=stream_within)

    def is_live(self) -> None:
        assert self._get("/health/live", within=PROBES_ANSWER_WITHIN).status_code == 200

    def is_ready(self, *, degraded: Sequence[str] = ()) -> None:
        answer = self._get("/health/ready", within=PROBES_ANSWER_WITHIN)
        assert (answer.status_code, answer.json()["degraded"]) == (200, list(degraded))

    def reads_profile(self) -> None:
        answer = self._get("/user/me")
        assert answer.status_code == 200, answer.text
        assert answer.json()["mobileNumber"] == self.person.number

    def sends(self) -> str:
        """The id of the reply to a message that is accepted."""
        prompt = f"siege {uuid4()}"
        with self.client() as http:
            answer = http.post(f"/chatroom/{self.person.room}/message", json={"message": prompt})
        assert answer.status_code == 202, answer.text
        reply: str = answer.json()["reply"]["id"]
        self.sent[reply] = prompt
        return reply

    def watches(self, reply: str, *, within: float = ANSWERS_WITHIN) -> None:
        """The stream of a reply begins in time, never falls silent for longer than ``within``, and ends with it."""
        with (
            self.client(within) as http,
            http.stream("GET", f"/message/{reply}/stream") as answer,
        ):
            assert answer.status_code == 200
            events = [event for event in server_sent(answer.iter_lines()) if event is not None]
        assert events[-1].name == "done"
        assert events[-1].data["content"] == f"echo: {self.sent[reply]}"

    def is_refused(self, method: str, path: str, *, within: float, **request: Any) -> str:
        """The code of the problem, which says when to come back."""
        with self.client(within) as http:
            return code_of_refusal(http.request(method, path, **request))

    def client(self, within: float = ANSWERS_WITHIN) -> httpx.Client:
        """A client on a connection of its own: the service has to take new ones as well."""
        headers = {"Authorization": f"Bearer {self.person.token}"}
        return httpx.Client(base_url=self.service.base, headers=headers, timeout=within, trust_env=False, verify=False)

    def _get(self, path: str, *, within: float = ANSWERS_WITHIN) -> httpx.Response:
        with self.client(within) as http:
            return http.get(path)

    # Afterwards

    def lost_nothing(self) -> None:
        """Each accepted message has one reply, which is the answer to it."""
        for reply, prompt in self.sent.items():
            entry = self.person.reply(reply)
            assert (entry["status"], entry["content"]) == ("done", f"echo: {prompt}")
        rows = self.service.query(
            "SELECT r.id::text FROM messages m JOIN replies r ON r.message_id = m.id JOIN chatrooms c "
            "ON c.id = m.chatroom_id WHERE c.user_id = %s",
            self.person.id,
        )
        assert sorted(row[0] for row in rows) == sorted(self.sent)

    def has_all_places(self) -> None:
        """A user may wait as often at once as ever."""
        with waiting_polls(self.person, PLACES_PER_USER + 1) as polls:
            until("one too many is refused", lambda: polls.ended)
            self.reads_profile()
            assert len(polls.ended) == 1


def code_of_refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    code: str = answer.json()["code"]
    return code


# --- Connections ---


def connect(port: int, head: str = "", *, source: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))
    connection.sendall(head.encode())
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection. Empty when it was reset instead."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65_536):
            received += data
    return received


@contextlib.contextmanager
def connections(service: Service, number: int, *heads: str) -> Iterator[list[socket.socket]]:
    """``number`` connections, each with the beginning of a request: one of ``heads`` in turn."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(connect(service.port, heads[one % len(heads)] if heads else ""))
            for one in range(number)
        ]


HALF_A_BODY = (
    'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"mob',
    "POST /webhook/stripe HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
)
HALF_A_HEAD = ("GET /user/me HTTP/1.1\r\nHost: x\r\nX-Half: ", "POST /auth/login HTTP/1.1\r\nHost")


@contextlib.contextmanager
def a_byte_a_second(connections: Sequence[socket.socket]) -> Iterator[None]:
    """Somewhat more of each body every second, until the server has enough."""
    over = Event()

    def drip() -> None:
        while not over.wait(1.0):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")

    dripping = Thread(target=drip, daemon=True)
    dripping.start()
    try:
        yield
    finally:
        over.set()
        dripping.join()


# --- Waiting ---


class Polls:
    """Long polls that are going on, each on a connection of its own."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets

    @property
    def ended(self) -> list[bytes]:
        """What the server has said to those that do not wait any more."""
        return [said for said in map(_said_already, self._sockets) if said]


def _said_already(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


# Behind every entry there is.
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def poll_of(person: Person) -> str:
    path = f"/chatroom/{person.room}/messages?after={LAST_ID}&wait=25"
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.token}\r\n\r\n"


@contextlib.contextmanager
def waiting_polls(person: Person, number: int) -> Iterator[Polls]:
    with connections(person.service, number, poll_of(person)) as sockets:
        for connection in sockets:
            connection.setblocking(False)
        yield Polls(sockets)


def a_poll_is_refused(person: Person) -> bool:
    with connect(person.service.port, poll_of(person)) as connection:
        connection.settimeout(0.5)
        try:
            return connection.recv(65_536).startswith(b"HTTP/1.1 503 ")
        except TimeoutError:
            return False


# --- Servers that the service asks ---


class SilentServer:
    """A server that accepts connections and never says anything, until it is told to hang up on everybody."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._silent = True
        Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        self._silent = False
        while self._open:
            self._open.pop().close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                if self._silent:
                    self._open.append(connection)
                else:
                    connection.close()


# --- The database ---


@contextlib.contextmanager
def locked_table(service: Service, table: str) -> Iterator[None]:
    with contextlib.closing(psycopg2.connect(service.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
        yield


@contextlib.contextmanager
def read_only_database(service: Service) -> Iterator[None]:
    """As a primary that was demoted, or a hoster's database whose disk is full."""
    _tell_all_sessions(service, "SET default_transaction_read_only = on")
    try:
        yield
    finally:
        _tell_all_sessions(service, "RESET default_transaction_read_only")


def _tell_all_sessions(service: Service, setting: str) -> None:
    options = "-c default_transaction_read_only=off"
    with contextlib.closing(psycopg2.connect(service.database_url, options=options)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            [(name,)] = cursor.fetchall()
            cursor.execute(sql.SQL("ALTER DATABASE {} " + setting).format(sql.Identifier(name)))
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


# --- Many at once ---


class Crowd:
    """Requests that are made at once, each in a thread and on a connection of its own, and what came of them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads: list[Thread] = []
        self.answers: list[httpx.Response] = []
        self.faults: list[Exception] = []

    def ask(
        self, method: str, path: str, *, token: str | None = None, source: str = "127.0.0.1", **request: Any
    ) -> None:
        ask = partial(self._ask, method, path, token, source, request)
        self._threads.append(Thread(target=ask, daemon=True))
        self._threads[-1].start()

    def all_answered(self) -> list[httpx.Response]:
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a request has no end"
        assert not self.faults, self.faults
        return self.answers

    def _ask(self, method: str, path: str, token: str | None, source: str, request: dict[str, Any]) -> None:
        try:
            with client_from(self._service, source, token) as http:
                self.answers.append(http.request(method, path, **request))
        except Exception as fault:  # noqa: BLE001 - reported in ``all_answered``
            self.faults.append(fault)


def client_from(service: Service, source: str, token: str | None = None) -> httpx.Client:
    """A client with the address ``source``, one of 127.0.0.0/8."""
    return httpx.Client(
        base_url=service.base,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=PATIENCE,
        transport=httpx.HTTPTransport(local_address=source, verify=False),
    )


@dataclass
class Outcomes:
    """What came of requests: statuses of answers, and of those that got none the class of the error."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def repeatedly(*asks: Callable[[], httpx.Response], pause: float = 0.0) -> Iterator[Outcomes]:
    """Each of ``asks`` again and again in a thread of its own."""
    over = Event()
    outcomes = Outcomes()

    def repeat(ask: Callable[[], httpx.Response]) -> None:
        while not over.wait(pause):
            try:
                outcomes.statuses[ask().status_code] += 1
            except httpx.TransportError as fault:
                outcomes.faults[f"{type(fault).__name__}: {fault}"] += 1

    threads = [Thread(target=repeat, args=(ask,), daemon=True) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def on_a_new_connection(base: str, path: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=base, headers=headers, timeout=PATIENCE, trust_env=False, verify=False) as http:
        return http.get(path)
