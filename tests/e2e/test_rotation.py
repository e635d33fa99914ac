"""Passwords and keys are rotated by a rolling restart, as docs/operations.md has it, while messages are sent.

The second password is made, each process is replaced by one that has it, the first one is taken away. Every message is
accepted, and has one reply.
"""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self
from uuid import uuid4

import httpx
import psycopg2
import pytest
import redis
from redis.exceptions import AuthenticationError
from sqlalchemy import make_url

from entrypoints.local_stack import launch
from tests.e2e.service import PATIENCE, ROOT, environment_without_settings, free_port, until
from tests.fakes.gemini_server import FakeGemini
from tests.servers import libpq_url, new_database

pytestmark = pytest.mark.real

ENOUGH = 10
WEBS = 2


class Process:
    """A process of the service, ready when it is made."""

    def __init__(self, command: str, settings: dict[str, str], directory: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = directory / f"{uuid4().hex}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                launch.command_line([sys.executable, "-m", "entrypoints.cli", command], death_signal=signal.SIGTERM),
                cwd=directory,
                env=environment_without_settings() | {"PYTHONPATH": str(ROOT), "PORT": str(port)} | settings,
                stdout=log,
                stderr=log,
            )
        until(f"{command} is ready", self._answers if command == "web" else lambda: "worker_ready" in self.said())

    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        """Ask it to stop, as an orchestrator does."""
        self._process.terminate()
        assert self._process.wait(PATIENCE) == 0, self.said()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200
        return False


class Deployment:
    """Two web processes and a worker, and one client who sends messages through a balancer."""

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        self._directory = directory
        self._settings = {"DATA_DIR": str(directory / "data"), "JWT_SECRET": "x" * 40, **settings}
        self._settings |= {"BASIC_DAILY_PROMPTS": "1000000", "USER_CONCURRENT_REPLIES": "20"}
        self._begun: list[Process] = []
        self._webs: list[Process] = []
        self._headers: dict[str, str] = {"Connection": "close"}
        self._room = ""
        self._stopped = threading.Event()
        self._sender = threading.Thread(target=self._send_until_stopped, daemon=True)
        self.accepted: list[str] = []
        self.refused: list[str] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_begun:
            unless_begun.callback(self.__exit__)
            self._begin_all()
            unless_begun.pop_all()
        return self

    def _begin_all(self) -> None:
        self._webs = [self._begin("web") for _ in range(WEBS)]
        self._worker = self._begin("worker")
        number = "+919876500001"
        code = self._post("/auth/send-otp", mobileNumber=number).json()["otp"]
        login = self._post("/auth/verify-otp", mobileNumber=number, otp=code).json()
        self._headers["Authorization"] = f"Bearer {login['token']}"
        self._room = self._post("/chatroom", name="Room").json()["id"]
        self._sender.start()
        self.wait_for_more()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for process in self._begun:
            process.kill()

    def restart(self, **changed: str) -> None:
        """Replace each process by one with other settings, which is ready before the old one is asked to stop."""
        self._settings |= changed
        for old in list(self._webs):
            self._webs = [*self._webs, self._begin("web")]
            self._webs = [web for web in self._webs if web is not old]
            old.stop()
        before, self._worker = self._worker, self._begin("worker")
        before.stop()

    def wait_for_more(self) -> None:
        before = len(self.accepted)
        until("messages are accepted", lambda: len(self.accepted) >= before + ENOUGH or self.refused)
        assert self.refused == []

    def stop_sending(self) -> None:
        self._stopped.set()
        self._sender.join(PATIENCE)

    def _begin(self, command: str) -> Process:
        self._begun.append(Process(command, self._settings, self._directory))
        return self._begun[-1]

    def _send_until_stopped(self) -> None:
        while not self._stopped.wait(0.1):
            # With a key: where the connection breaks off, the next process may be asked for the same.
            answer = self._post(f"/chatroom/{self._room}/message", uuid4().hex, message="Why?")
            if answer.status_code == 202:
                self.accepted.append(answer.json()["reply"]["id"])
            else:
                self.refused.append(f"{answer.status_code} {answer.text}")

    def _post(self, path: str, key: str | None = None, **body: str) -> httpx.Response:
        """As a balancer does: where a connection is not to be had, the next process is asked."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        for web in 2 * self._webs:
            with contextlib.suppress(httpx.TransportError):
                return httpx.post(f"{web.url}{path}", json=body, headers=headers, timeout=PATIENCE, trust_env=False)
        return httpx.Response(502)


def run(database_url: str, *statements: str) -> list[tuple[str, ...]]:
    """The rows of the last of the statements, each of which is a transaction."""
    with closing(psycopg2.connect(libpq_url(database_url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def assert_nothing_is_lost(deployment: Deployment, database_url: str) -> None:
    deployment.stop_sending()
    assert deployment.refused == []
    until("all are answered", lambda: run(database_url, "SELECT 1 WHERE NOT EXISTS (SELECT FROM replies"
                                                        " WHERE finished_at IS NULL)"))  # fmt: skip
    replies = run(database_url, "SELECT id::text, state FROM replies")
    assert len(deployment.accepted) > 3 * ENOUGH
    assert sorted(replies) == sorted((reply, "done") for reply in deployment.accepted)


class Secrets:
    """What opens a database whose tables belong to a group, a user of Redis, and the model."""

    def __init__(self, database_url: str, redis_url: str, gemini: FakeGemini) -> None:
        self.group, self.user = f"group_{uuid4().hex}", f"user_{uuid4().hex}"
        self._database_url, self._redis_url, self._gemini = database_url, redis_url, gemini
        self.roles: list[str] = []
        self.keys = gemini.keys = set()
        name = make_url(database_url).database
        run(database_url, f"CREATE ROLE {self.group} NOLOGIN", f'ALTER DATABASE "{name}" OWNER TO {self.group}')
        self.acl("SETUSER", self.user, "on", "~*", "&*", "+@all")

    def make(self, key: str) -> dict[str, str]:
        """A role of the group, a password of the user and a key of the model, beside those that there are."""
        role = f"role_{uuid4().hex}"
        self.roles.append(role)
        run(
            self._database_url,
            f"CREATE ROLE {role} LOGIN PASSWORD '{key}' IN ROLE {self.group}",
            f"ALTER ROLE {role} SET role = {self.group}",
        )
        self.acl("SETUSER", self.user, f">{key}")
        self.keys.add(key)
        return {
            "DATABASE_URL": make_url(self._database_url).set(username=role, password=key).render_as_string(False),
            "REDIS_URL": f"redis://{self.user}:{key}@{self._redis_url.rpartition('@')[2]}",
            "GEMINI_API_KEY": key,
        }

    def take_away(self, key: str) -> None:
        """The first of the roles, and the password and the key."""
        role = self.roles.pop(0)
        run(
            self._database_url,
            f"ALTER ROLE {role} NOLOGIN",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'",
            f"DROP ROLE {role}",
        )
        self.acl("SETUSER", self.user, f"<{key}")
        self.keys.remove(key)

    def acl(self, *words: str) -> None:
        with redis.Redis.from_url(self._redis_url) as server:
            server.execute_command("ACL", *words)


@pytest.fixture
def secrets(database_server: str, clean_redis: str, gemini: FakeGemini) -> Iterator[Secrets]:
    gemini.reset()
    with new_database(database_server, migrated=False) as url:
        made = Secrets(url, clean_redis, gemini)
        yield made
    gemini.keys = None
    made.acl("DELUSER", made.user)
    run(database_server, *(f"DROP ROLE {role}" for role in (*made.roles, made.group)))


def test_the_passwords_of_postgresql_and_redis_and_the_key_of_the_model(
    secrets: Secrets, gemini: FakeGemini, tmp_path: Path
) -> None:
    first = secrets.make("first")
    migrate = [sys.executable, "-m", "entrypoints.cli", "migrate"]
    environment = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path / "data")}
    subprocess.run(migrate, cwd=tmp_path, env=environment | first, check=True)
    with Deployment(tmp_path, gemini.settings | first) as deployment:
        second = secrets.make("second")
        deployment.restart(**second)
        secrets.take_away("first")
        deployment.wait_for_more()
        assert_nothing_is_lost(deployment, second["DATABASE_URL"])
    assert {call.key for call in gemini.calls} == {"first", "second"}
    assert {outcome.kind for outcome in gemini.outcomes} == {"text"}
    with pytest.raises(psycopg2.OperationalError):
        run(first["DATABASE_URL"], "SELECT 1")
    with redis.Redis.from_url(first["REDIS_URL"]) as refused, pytest.raises(AuthenticationError):
        refused.ping()
