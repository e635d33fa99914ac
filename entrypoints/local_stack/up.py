"""What ``make run`` does: everything from an empty directory to a service that answers."""

import contextlib
import http.client
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from entrypoints.local_stack import ports
from entrypoints.local_stack.children import ChildSpec, inherited_environment
from entrypoints.local_stack.embedded import Servers, start_postgres, start_valkey
from entrypoints.local_stack.errors import StopRequested, SupervisorError
from entrypoints.local_stack.inbox import SignalInbox
from entrypoints.local_stack.locks import sole_user_of
from entrypoints.local_stack.postgres import why_postgres_does_not_answer
from entrypoints.local_stack.processes import Supervisor
from entrypoints.local_stack.valkey import why_redis_does_not_answer
from entrypoints.settings import Settings, is_set

PORT_FREE_WITHIN = 3.0
EXTERNAL_ANSWERS_WITHIN = 10.0
READY_WITHIN = 90.0
# More than the web server takes to finish what it is answering (entrypoints.server.serve).
WEB_GRACE = 15.0
# How long a worker may finish replies, where the user did not set it: at a terminal less than in production.
WORKER_GRACE_SECONDS = 6.0
# What it gets beyond that, to hand back the others and close.
WORKER_CLOSES_WITHIN = 4.0
EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with)


@dataclass(frozen=True, slots=True)
class Commands:
    """The programs of the service. Each finds the servers by DATABASE_URL and REDIS_URL."""

    migrate: tuple[str, ...] = (sys.executable, "-m", "entrypoints.cli", "migrate")
    web: tuple[str, ...] = (sys.executable, "-m", "entrypoints.cli", "web")
    worker: tuple[str, ...] = (sys.executable, "-m", "entrypoints.cli", "worker")


def up(settings: Settings, commands: Commands | None = None) -> int:
    """Run the whole service until SIGINT, SIGTERM or SIGHUP; then stop every process of it.

    Returns the exit status: 0 if it was asked to stop, 1 (and a message on stderr) after an expected failure. A second
    request to stop ends the processes that have not ended yet.
    """
    with SignalInbox.open() as inbox:
        try:
            with sole_user_of(settings.data_dir):
                _run(Supervisor(inbox, _say), settings, commands or Commands())
        except StopRequested:
            _say("stopped")
        except (SupervisorError, OSError) as fault:  # OSError: a full disk, for one
            _write(sys.stderr, f"cannot run: {fault}")
            return 1
    return 0


def _run(supervisor: Supervisor, settings: Settings, commands: Commands) -> None:
    started = time.monotonic()
    try:
        _await_free_port(supervisor, settings)
        servers = _servers(supervisor, settings)
        environment = inherited_environment(
            DATABASE_URL=servers.database_url,
            REDIS_URL=servers.redis_url,
            # Read by then; a child that found both would refuse to choose.
            DATABASE_URL_FILE="",
            REDIS_URL_FILE="",
        )
        _migrate(supervisor, commands.migrate, environment)
        _start_service(supervisor, settings, commands, environment)
        for line in _welcome(settings, time.monotonic() - started):
            _say(line)
        supervisor.keep_running()
    finally:
        supervisor.stop()


def _servers(supervisor: Supervisor, settings: Settings) -> Servers:
    database_url, redis_url = settings.database_url, settings.redis_url
    if database_url is None:
        database_url = start_postgres(supervisor, settings.data_dir)
    else:
        _await_external(supervisor, "DATABASE_URL", database_url, why_postgres_does_not_answer)
    if redis_url is None:
        redis_url = start_valkey(supervisor, settings.data_dir)
    else:
        _await_external(supervisor, "REDIS_URL", redis_url, why_redis_does_not_answer)
    return Servers(database_url, redis_url)


def _await_external(supervisor: Supervisor, setting: str, url: str, why_not: Callable[[str], str | None]) -> None:
    deadline = time.monotonic() + EXTERNAL_ANSWERS_WITHIN
    told = False
    while (reason := why_not(url)) is not None:
        if time.monotonic() > deadline:
            raise SupervisorError(f"the server that {setting} names does not answer: {reason}")
        if not told:
            _say(f"waiting for the server that {setting} names …")
            told = True
        supervisor.pause(0.2)


def _await_free_port(supervisor: Supervisor, settings: Settings) -> None:
    # A moment of patience: the web server of a run that was just killed may be still ending.
    deadline = time.monotonic() + PORT_FREE_WITHIN
    while reason := ports.why_not(settings.host, settings.port):
        if time.monotonic() > deadline:
            raise SupervisorError(
                f"port {settings.port} on {settings.host} cannot be used ({reason}); set PORT to another one"
            )
        supervisor.pause(0.1)


def _migrate(supervisor: Supervisor, command: tuple[str, ...], environment: dict[str, str]) -> None:
    started = time.monotonic()
    _say("migrating the database …")
    spec = ChildSpec(role="migrate", command=command, environment=environment)
    if status := supervisor.run(spec):
        raise SupervisorError(f"the migration failed (status {status})")
    _say(f"the database is up to date ({time.monotonic() - started:.1f} s)")


def _start_service(
    supervisor: Supervisor,
    settings: Settings,
    commands: Commands,
    environment: dict[str, str],
) -> None:
    _say("starting web and worker …")
    web = ChildSpec(
        role="web",
        command=commands.web,
        environment=environment,
        ready=lambda: _is_ready(settings),
        ready_within=READY_WITHIN,
        grace=WEB_GRACE,
    )
    supervisor.start(web, worker_spec(settings, commands.worker, environment))


def worker_spec(settings: Settings, command: tuple[str, ...], environment: dict[str, str]) -> ChildSpec:
    grace = WORKER_GRACE_SECONDS
    if is_set("WORKER_GRACE_SECONDS"):
        grace = settings.worker_grace.total_seconds()
    return ChildSpec(
        role="worker",
        command=command,
        environment={**environment, "WORKER_GRACE_SECONDS": f"{grace:.0f}"},
        grace=grace + WORKER_CLOSES_WITHIN,
    )


def _is_ready(settings: Settings) -> bool:
    return all(_status(settings, path) == 200 for path in ("/health/live", "/health/ready"))


def _status(settings: Settings, path: str) -> int | None:
    """The HTTP status of a path of the web server, None if it does not answer."""
    # http.client, since urllib would go through a proxy of the environment.
    connection = http.client.HTTPConnection(_address(settings.host), settings.port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _welcome(settings: Settings, elapsed: float) -> list[str]:
    host = _address(settings.host)
    base = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    model = f"Language model: {settings.llm_provider}."
    if settings.llm_provider == "offline":
        model = "The offline model answers; set GEMINI_API_KEY for Gemini."
    return [
        f"ready after {elapsed:.1f} s. {model}",
        *([f"  chat page      {base}/app"] if settings.chat_page else []),
        f"  API            {base}",
        f"  documentation  {base}/docs",
        "  Ctrl-C stops everything.",
    ]


def _address(host: str) -> str:
    """Where to reach a server that listens on ``host``."""
    return EVERYWHERE.get(host, host)


def _say(line: str) -> None:
    _write(sys.stdout, f"[run] {line}")


def _write(stream: TextIO, text: str) -> None:
    # OSError: the output is closed (``make run | head``), which is no reason to leave the children behind.
    encoding = stream.encoding or "utf-8"
    with contextlib.suppress(OSError):
        # Not every terminal has an ellipsis, and a path may hold anything.
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
