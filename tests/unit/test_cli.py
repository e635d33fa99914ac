"""The command line: what it tells of itself, and with which status it ends."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from entrypoints.cli.commands import cli
from entrypoints.settings import VARIABLES

ROOT = Path(__file__).resolve().parents[2]


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command, with the words that call it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join([*path, name]), command


COMMANDS = dict(leaves(cli))
# It tells what is wrong with the settings as it tells what else is wrong.
NEEDS_NO_SETTINGS = {"doctor"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set, and there is no .env. Logs go where the tests have them."""
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setattr("entrypoints.cli.invocation.configure_logs", lambda _level: None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_the_commands():
    operators = [
        "audit",
        "config",
        "doctor",
        "explain",
        "migrate",
        "migration",
        "openapi",
        "queue",
        "reconcile",
        "refunds",
        "replay",
        "replies give-up",
        "replies list",
        "replies retry",
        "replies show",
        "stripe",
        "users end-sessions",
        "users find",
        "users grant-pro",
        "users lock",
        "users show",
        "users unlock",
        "users withdraw-pro",
        "version",
    ]
    assert sorted([*operators, "up", "web", "worker"]) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_what_it_does_what_it_takes_and_how_it_ends(name: str, monkeypatch: pytest.MonkeyPatch):
    # Even one who has misspelt a setting is told.
    monkeypatch.setenv("PORT", "misspelt")
    told = run(*name.split(), "--help")
    assert told.exit_code == 0
    command = COMMANDS[name]
    assert command.help
    assert "Exit status: 0 " in " ".join(told.stdout.split())
    for parameter in command.params:
        assert parameter.help, parameter.name
        shown = parameter.opts[0] if getattr(parameter, "is_flag", False) else None
        assert (shown or parameter.make_metavar(click.Context(command))) in told.stdout


def test_the_first_lines_of_all_commands_are_told_whole():
    told = run("--help")
    assert told.exit_code == 0
    assert "Exit status: 0 " in told.stdout
    for command in cli.commands.values():
        assert command.get_short_help_str(limit=1_000) in told.stdout


@pytest.mark.parametrize(
    "name",
    [name for name, command in COMMANDS.items() if not any(one.required for one in command.params)],
)
def test_settings_that_cannot_be_used_are_all_told(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("DATABASE_URL", "mysql://root:hunter2@db/chat")
    refused = run(*name.split())
    assert "hunter2" not in refused.output
    assert "DATABASE_URL must begin with" in refused.output
    if name in NEEDS_NO_SETTINGS:
        return
    assert refused.exit_code == 2
    assert refused.stderr.startswith("The settings cannot be used:\n  - PORT must be")


@pytest.mark.parametrize("name", ["web", "worker", "migrate", "audit", "queue", "reconcile", "replies list"])
def test_a_command_without_its_servers_is_refused(name: str):
    refused = run(*name.split())
    assert refused.exit_code == 2
    assert "DATABASE_URL" in refused.stderr
    assert not refused.stdout


@pytest.mark.parametrize(
    "wrong", [[], ["party"], ["web", "--party"], ["migration"], ["explain", "1", "--days", "many"], ["users"]]
)
def test_misuse_has_status_2_and_says_so(wrong: list[str]):
    refused = run(*wrong)
    assert refused.exit_code == 2
    assert "Usage:" in refused.stderr


def test_a_command_is_found_without_the_libraries_of_the_others():
    found = subprocess.run(
        [sys.executable, "-c", "import sys, entrypoints.cli.commands; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(found.stdout.split())
    assert "entrypoints.cli.commands" in imported
    assert not imported & {"alembic", "flask", "httptools", "httpx", "psycopg2", "redis", "rq", "sqlalchemy", "stripe"}
    assert not [name for name in imported if name.startswith(("adapters", "entrypoints.container", "google."))]
