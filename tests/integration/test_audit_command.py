"""``python -m entrypoints.cli audit``: the operator reads what happened."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from domain.one_time_password import Purpose
from entrypoints.cli.commands import cli
from entrypoints.container.build import build_web
from entrypoints.settings import Settings, read_settings
from tests.builders import ASHA


@pytest.fixture
def settings(clean_database: str, clean_redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    given = {"DATABASE_URL": clean_database, "REDIS_URL": clean_redis, "JWT_SECRET": "s" * 32, "LOG_LEVEL": "error"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    # Loggers that have once written keep what they wrote to: the output of this test, which ends with it.
    monkeypatch.setattr("entrypoints.cli.invocation.configure_logs", lambda _level: None)
    return read_settings(given)


def test_an_operator_reads_what_happened(settings: Settings) -> None:
    web = build_web(replace(settings, web_threads=2))
    auth = web.use_cases.auth
    sent = auth.request_code(mobile_number=ASHA, purpose=Purpose.LOGIN)
    login = auth.verify_code(mobile_number=ASHA, code=sent.shown or "")
    web.close()

    def audit(*arguments: str) -> list[dict[str, object]]:
        done = CliRunner().invoke(cli, ["audit", *arguments])
        assert done.exit_code == 0
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert [event["what"] for event in audit()] == ["logged_in", "code_sent"]
    assert [event["what"] for event in audit("--phone", "98765 43210")] == ["code_sent"]
    assert [event["userId"] for event in audit("--user", str(login.user.id))] == [str(login.user.id)]
    assert audit("--what", "account_erased") == []
    assert len(audit("--limit", "1")) == 1
    told = json.dumps(audit())
    assert not any(secret in told for secret in ("9876543210", sent.shown or "", login.token, login.refresh_token))
    refused = CliRunner().invoke(cli, ["audit", "--phone", "nobody"])
    assert refused.exit_code == 1
    assert "not a mobile phone number" in refused.stderr


@pytest.mark.parametrize("wrong", [["--what", "party"], ["--user", "asha"], ["--limit", "many"]])
def test_what_is_no_question_is_refused(wrong: list[str]) -> None:
    refused = CliRunner().invoke(cli, ["audit", *wrong])
    assert refused.exit_code == 2
    assert refused.stderr
