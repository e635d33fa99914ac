"""Runs the programs in our documents as a reader would, but against BASE_URL and with a number that is new."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.service import ROOT, environment_without_settings

TUTORIAL = ROOT / "docs" / "tutorial.md"
STREAMING = ROOT / "docs" / "streaming.md"
PYTHON_CLIENT = ROOT / "clients" / "python"
TYPESCRIPT_CLIENT = ROOT / "clients" / "typescript"

BASE, NUMBER = "http://127.0.0.1:8000", "+919876543210"

_numbers = itertools.count(1)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def output(page: Path, language: str, base: str) -> str:
    """What the page's program in a language prints; it has to end well."""
    return run("\n".join(blocks(page, language)), language, base)


def run(program: str, language: str, base: str, *, cwd: Path = TYPESCRIPT_CLIENT) -> str:
    """What a program prints; it has to end well."""
    program = program.replace(BASE, base).replace(NUMBER, f"+91987630{next(_numbers):04d}")
    command = {
        "sh": ["sh", "-e", "-c", program],
        "python": [sys.executable, "-W", "error", "-c", program],
        # There it finds the client by its name, as a project does that has installed it.
        "js": ["node", "--input-type=module", "--eval", program],
    }[language]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment_without_settings() | {"PYTHONPATH": str(PYTHON_CLIENT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def check_tutorial(language: str, base: str) -> None:
    said = output(TUTORIAL, language, base)
    # Waited for, watched, read: the model of the service repeats what it is told.
    assert said.count("“Why are there two tides a day?”") == 2, said
    assert said.count("“And why not one?”") >= 2, said
    assert re.search(r"daily_quota_exceeded.*/subscribe/pro", said), said
    assert re.search('(The plan is |"tier":")pro', said), said
    assert re.search("Logged out|token_invalid", said.splitlines()[-1]), said


def check_quick_start(client: Path, language: str, base: str) -> None:
    assert "“Why are there two tides a day?”" in output(client / "README.md", language, base)


def check_streaming(base: str) -> None:
    said = output(STREAMING, "js", base)
    # Piece by piece, and as a whole.
    assert said.count("“Why are there two tides a day?”") == 2, said
    assert "All of it: " in said, said


if __name__ == "__main__":
    check_tutorial("js", os.environ["BASE_URL"])
    check_quick_start(TYPESCRIPT_CLIENT, "js", os.environ["BASE_URL"])
    check_streaming(os.environ["BASE_URL"])
