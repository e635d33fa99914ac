"""``make run`` itself, in a copy of the files: it starts, honours PORT, and whatever ends it leaves nothing running."""

import contextlib
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.make_run import Make, copied_checkout, made_run

pytestmark = pytest.mark.real

ROLES = ("entrypoints.cli up", "web", "worker", "postgres", "valkey-server")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copied_checkout(tmp_path / "clone")


@pytest.fixture
def make_run(checkout: Path, tmp_path: Path) -> Iterator[Callable[[], Make]]:
    with contextlib.ExitStack() as stack:
        outputs = (tmp_path / f"output-{number}" for number in itertools.count())
        yield lambda: stack.enter_context(made_run(checkout, next(outputs)))


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
