"""``python -m entrypoints.cli queue``: the operator looks at the queue."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from entrypoints.cli.commands import cli
from entrypoints.settings import VARIABLES
from tests.contract.world import sql_world
from tests.e2e.service import free_port


@pytest.fixture(autouse=True)
def settings(clean_database: str, clean_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setenv("DATABASE_URL", clean_database)
    monkeypatch.setenv("REDIS_URL", clean_redis)
    monkeypatch.setattr("entrypoints.cli.invocation.configure_logs", lambda _level: None)


def queue(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["queue", *arguments])


def test_an_empty_queue() -> None:
    shown = queue()
    assert shown.exit_code == 0
    assert "0 queued, 0 running" in shown.stdout
    assert "absent" in shown.stdout


def test_what_waits_and_what_ended(clean_database: str) -> None:
    with sql_world(clean_database) as world:
        world.end_three(world.room())
        world.ask(world.room())
    [line] = queue("--json").stdout.splitlines()
    told = json.loads(line)
    assert (told["queued"], told["running"], told["workersPresent"]) == (1, 0, False)
    assert told["oldestDueSeconds"] >= 0
    assert {(one["state"], one["reason"], one["count"]) for one in told["endedInLastMinute"]} == {
        ("done", None, 1),
        ("failed", "refused", 1),
        ("cancelled", None, 1),
    }


def test_servers_that_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    assert json.loads(queue("--json").stdout.splitlines()[-1])["workersPresent"] is None
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    refused = queue()
    assert refused.exit_code == 1
    assert "database" in refused.stderr
    assert not refused.stdout
