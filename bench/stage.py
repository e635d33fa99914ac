"""What the benches stand on: embedded servers, a model, and processes whose CPU and memory are read from the kernel."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from adapters.sql.migrate import upgrade
from entrypoints.local_stack.children import inherited_environment
from entrypoints.local_stack.embedded import embedded_servers

ROOT = Path(__file__).parents[1]
MODEL_SECONDS = 1.0
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Stage:
    """Where everything is, and the environment that says so."""

    database_url: str
    redis_url: str
    environment: dict[str, str]
    python: str

    @contextmanager
    def running(
        self, *command: str, python: str | None = None, cores: Iterable[int] = (), **environment: str
    ) -> Iterator[psutil.Process]:
        """A process of the service, stopped in the end. ``cores``: those it is kept to, if any are given."""
        with self.program(python or self.python, *command, cores=cores, **environment) as process:
            yield process

    @contextmanager
    def program(
        self, *command: str, directory: Path = ROOT, cores: Iterable[int] = (), **environment: str
    ) -> Iterator[psutil.Process]:
        """Any program with the service's environment, stopped in the end."""
        process = subprocess.Popen(
            [*pinned(cores), *command],
            cwd=directory,
            env={**self.environment, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, in a connection of its own."""
        connection = psycopg2.connect(self.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values[0] if values and isinstance(values[0], dict) else values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def run_alone(self, statement: str) -> None:
        """A statement that no transaction may hold, such as VACUUM."""
        with closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


@contextmanager
def stage(python: str = sys.executable) -> Iterator[Stage]:
    """Servers with durable settings, as in production, and a model that takes a second.

    ``python``: the interpreter that runs what is measured.
    """
    with tempfile.TemporaryDirectory() as directory, embedded_servers(Path(directory)) as servers:
        upgrade(servers.database_url)
        model_port = free_port()
        environment = {
            **inherited_environment(),
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "DATA_DIR": directory,
            "LOG_LEVEL": "warning",
            "GEMINI_API_KEY": "bench",
            "GEMINI_BASE_URL": f"http://127.0.0.1:{model_port}",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
            "OPENAI_MODEL": "bench",
            "BASIC_DAILY_PROMPTS": "1000000",
        }
        made = Stage(servers.database_url, servers.redis_url, environment, python)
        with made.running("bench/model_server.py", str(model_port), str(MODEL_SECONDS), python=sys.executable):
            until(lambda: answers(f"http://127.0.0.1:{model_port}/", post=False))
            yield made


def pinned(cores: Iterable[int]) -> list[str]:
    """The beginning of a command that keeps to these cores; nothing where none are given, or there is no taskset."""
    listed = ",".join(map(str, cores))
    return ["taskset", "--cpu-list", listed] if listed and shutil.which("taskset") else []


def split_cores() -> tuple[list[int], list[int]]:
    """One core for what is measured, and the rest for everything else. No cores: they cannot be told apart here."""
    if not hasattr(os, "sched_setaffinity"):
        return [], []
    first, *rest = sorted(os.sched_getaffinity(0))
    return [first], rest or [first]


def keep_all_to(cores: Iterable[int]) -> None:
    """This process and everything it has started are kept to these cores, and so is what they start from now on."""
    cores = list(cores)
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)] if cores else []:
        with suppress(psutil.NoSuchProcess):
            process.cpu_affinity(cores)


def busy_share() -> float:
    """The share of all cores that is taken at the moment."""
    return float(psutil.cpu_percent(interval=LOOK_SECONDS)) / 100


def usage_of(process: psutil.Process) -> tuple[float, float]:
    """CPU seconds so far, and PSS in MB, of a process and its children."""
    family = [process, *process.children(recursive=True)]
    cpu = sum(sum(member.cpu_times()[:2]) for member in family)
    return cpu, sum(member.memory_full_info().pss for member in family) / 1e6


def until(condition: Callable[[], bool], seconds: float = 120.0, *, every: float = 0.02) -> None:
    """Wait for something, but not for ever, looking ``every`` so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(every)


def answers(url: str, *, post: bool = False) -> bool:
    """Whether a server is there, whatever it says."""
    try:
        urllib.request.urlopen(url, data=b"" if post else None, timeout=1)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
