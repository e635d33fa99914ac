"""Web, two workers, database and Redis with a host each: one worker is cut off in the middle of its replies.

Needs the program ``ip`` and the right to make network namespaces; where they are missing, the last lines of a run say
that this did not run.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from adapters.sql.migrate import upgrade
from entrypoints.local_stack import launch
from entrypoints.local_stack.binaries import find_binaries
from entrypoints.local_stack.children import ChildSpec
from entrypoints.local_stack.embedded import embedded_servers
from entrypoints.local_stack.postgres import Postgres, postgres_answers
from entrypoints.local_stack.valkey import Valkey, redis_answers
from tests.cluster.hosts import NETWORK, Network, network
from tests.e2e.service import ROOT, Person, Service, until
from tests.fakes.gemini_server import FakeGemini, Outcome

pytestmark = pytest.mark.real

ROOMS = 2  # of one user so many replies are written at once
POSTGRES, VALKEY, WEB = 5432, 6379, 8000


class Installation:
    """The service on hosts of its own; ``service`` is what its users see of it."""

    def __init__(self, where: Network, directory: Path, gemini: FakeGemini) -> None:
        self.where = where
        self.directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        data = directory / "servers"
        with embedded_servers(data, durable=False) as servers:
            upgrade(servers.database_url)
        self.service = Service(directory / "service")
        self.service.data_dir.mkdir()
        self.service.database_url = self._start_postgres(data)
        self._environment = {
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
            "JWT_SECRET": "0123456789abcdef" * 4,
            "DATA_DIR": str(self.service.data_dir),
            "DATABASE_URL": self.service.database_url,
            "REDIS_URL": self._start_valkey(data),
            "HOST": "0.0.0.0",
            "PORT": str(WEB),
            "REPLY_LEASE_SECONDS": "3",
            "REPLY_DEADLINE_SECONDS": "60",
            "WORKER_GRACE_SECONDS": "3",
            **gemini.settings,
        }
        self.service.base = f"http://{self.run('web')}:{WEB}"
        until("web is ready", lambda: self.service.readiness() is not None)

    def run(self, command: str, host: str | None = None) -> str:
        """Start ``web`` or ``worker`` on a host of its own; its address."""
        name = host or command
        address = self.where.host(name)
        self._start(name, [sys.executable, "-m", "entrypoints.cli", command], self._environment)
        return address

    def stop(self, host: str) -> None:
        process = self._processes.pop(host)
        process.terminate()
        process.wait(timeout=30)

    def close(self) -> None:
        self.service.close()
        for process in reversed(self._processes.values()):
            process.kill()
            process.wait()

    def _start_postgres(self, data: Path) -> str:
        address = self.where.host("database")
        server = Postgres(find_binaries(), data, durable=False)
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK}.0/24 scram-sha-256\n")
        return self._serve("database", server.spec(POSTGRES), server.url(POSTGRES), address, "-c", "listen_addresses=*")

    def _start_valkey(self, data: Path) -> str:
        address = self.where.host("redis")
        server = Valkey(find_binaries(), data, durable=False)
        return self._serve("redis", server.spec(VALKEY), server.url(VALKEY), address, "--bind", address)

    def _serve(self, host: str, spec: ChildSpec, url: str, address: str, *options: str) -> str:
        """Start a server on a host; its address on the network."""
        command = [*spec.command, *options]
        if spec.account:
            _, privileges = launch.as_account(spec.account, must_read=[*spec.must_read, spec.command[0]])
            who = ["--reuid", str(spec.account.uid), "--regid", str(spec.account.gid), "--clear-groups"]
            command = [launch.find_setpriv() or "setpriv", *(privileges or who), *command]
        self._start(host, command, spec.environment)
        url = url.replace("127.0.0.1", address)
        answers = postgres_answers if host == "database" else redis_answers
        until(f"{host} answers", lambda: answers(url))
        return url

    def _start(self, host: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with (self.directory / f"{host}.log").open("ab") as output:
            self._processes[host] = subprocess.Popen(
                launch.command_line([*self.where.at(host), *command], death_signal=signal.SIGTERM),
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@pytest.fixture
def gemini(where: Network) -> Iterator[FakeGemini]:
    with FakeGemini(host=where.here) as server:
        yield server


@pytest.fixture
def where() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def installed(where: Network, gemini: FakeGemini, tmp_path: Path) -> Iterator[Installation]:
    with contextlib.ExitStack() as stack:
        installed = Installation(where, tmp_path, gemini)
        stack.callback(installed.close)
        yield installed


def stored(service: Service) -> list[tuple[object, ...]]:
    """Every reply, whether it was finished in its time, and what it says."""
    return service.query("SELECT id::text, state, finished_at <= deadline, content FROM replies ORDER BY created_at")


def test_a_worker_is_cut_off_in_the_middle_of_its_replies(installed: Installation, gemini: FakeGemini) -> None:
    service, where = installed.service, installed.where
    person = Person(service).log_in()
    questions = [f"Question {number}" for number in range(ROOMS)]
    rooms = [person.open_room(question) for question in questions]
    for question in questions:
        gemini.will(
            Outcome("pause", text=f"First answer to {question}", prompt=question),
            Outcome(text=f"Second answer to {question}", prompt=question),
        )
    installed.run("worker", "first")
    replies = [person.sent(question, room) for question, room in zip(questions, rooms, strict=True)]
    for question in questions:
        until("the first worker has begun", partial(gemini.asked, question))

    where.unplug("first")
    installed.run("worker", "second")

    for reply, room, question in zip(replies, rooms, questions, strict=True):
        assert person.reply(reply, room)["content"] == f"Second answer to {question}"
    answers = [f"Second answer to {question}" for question in questions]
    before = stored(service)
    assert before == [(reply, "done", True, answer) for reply, answer in zip(replies, answers, strict=True)]

    # What the first worker holds of them comes to its end now, and it alone is there for one more.
    gemini.go_on.set()
    where.plug_in("first")
    installed.stop("second")
    last = person.sent("Is anybody there?")
    assert person.reply(last)["status"] == "done"
    installed.stop("first")  # it has nothing in hand any more
    assert stored(service)[:-1] == before
    assert person.used() == ROOMS + 1
    assert all(gemini.asked(question) == 2 for question in questions)
