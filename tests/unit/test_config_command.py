"""``python -m entrypoints.cli config``: the settings that hold, and no secret among them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from entrypoints.cli.commands import cli
from entrypoints.settings import VARIABLES

SECRETS = {
    "DATABASE_URL": "postgresql://chat:hunter2@db.internal:5432/chat?password=hunter2",
    "REDIS_URL": "rediss://:hunter2@redis.internal:6379/0",
    "JWT_SECRET": "hunter2" * 5,
    "PASSWORD_PEPPER": "hunter2",
    "OTP_TEST_NUMBERS": "+919999999999:123456:2099-12-31",
    "OTP_WEBHOOK_URL": "https://hooks.example/hunter2",
    "OTP_WEBHOOK_SECRET": "hunter2" * 5,
    "TWILIO_AUTH_TOKEN": "hunter2",
    "GEMINI_API_KEY": "hunter2",
    "GEMINI_BASE_URL": "https://me:hunter2@proxy.example",
    "OPENAI_API_KEY": "hunter2",
    "STRIPE_SECRET_KEY": "hunter2",
    "STRIPE_PRICE_ID": "price_1",
    "STRIPE_WEBHOOK_SECRET": "hunter2,hunter2",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setattr("entrypoints.cli.invocation.configure_logs", lambda _level: None)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_secret_is_shown(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(cli, ["config", *arguments])
    assert shown.exit_code == 0
    assert "hunter2" not in shown.output
    assert "123456" not in shown.output
    assert "db.internal:5432" in shown.output
    assert all(variable.name in shown.output for variable in VARIABLES)


def test_what_was_set_is_told_apart_from_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "8123")
    told = json.loads(CliRunner().invoke(cli, ["config", "--json"]).stdout)
    assert told["PORT"] == {"value": "8123", "set": True}
    assert told["WEB_THREADS"] == {"value": "8", "set": False}
    assert told["REPLY_LEASE_SECONDS"] == {"value": "60 s", "set": False}


def test_values_are_told_as_they_are_set():
    told = json.loads(CliRunner().invoke(cli, ["config", "--json"]).stdout)
    assert told["AUDIT_RETENTION_DAYS"]["value"] == "400 days"
    assert told["CHAT_PAGE"]["value"] == "yes"
    assert told["SHARED_PORT"]["value"] == "no"
