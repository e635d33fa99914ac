"""Who is woken by an alert finds what to do: each has an entry in docs/operations.md, and leads there."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from domain.replies import FailureReason
from entrypoints.cli.commands import cli
from entrypoints.settings import SECRETS
from tests.house.test_docs import anchors
from tests.house.test_reliability import TEST, functions

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
PAGES = ("operations.md", "security.md", "production.md", "deploy.md")
PAGE = OPERATIONS.read_text(encoding="utf-8")
ENTRY = re.compile(r"^### (GeminiChat\w+)\n\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/observability/alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


def test_every_alert_has_an_entry_and_every_entry_an_alert() -> None:
    assert [name for name, _ in ENTRY.findall(PAGE)] == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize(("name", "text"), ENTRY.findall(PAGE))
def test_an_entry_says_what_it_means_and_where_to_look(name: str, text: str) -> None:
    assert re.match(r"\*\*Means\*\* .+\*\*Look\*\*", text, re.DOTALL), name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_entry(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert ROOT / path == OPERATIONS
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(OPERATIONS)


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: str) -> None:
    named = [(found["file"], found["name"]) for found in TEST.finditer((ROOT / "docs" / page).read_text("utf-8"))]
    assert [one for one in named if not (ROOT / one[0]).is_file() or one[1] not in functions(ROOT / one[0])] == []


def test_every_reason_of_a_failed_reply_has_a_row() -> None:
    (text,) = (text for name, text in ENTRY.findall(PAGE) if name == "GeminiChatRepliesFail")
    rows = "".join(re.findall(r"^\| (`.+?) \|", text, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == {reason.value for reason in FailureReason}


def test_the_rotation_of_every_secret_is_described() -> None:
    rows = re.findall(r"^\| (`[A-Z].+?) \|", PAGE.split("## Rotation of secrets")[1].split("\n## ")[0], re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(SECRETS)


def named_commands() -> set[tuple[str, ...]]:
    """Every ``gemini-chat COMMAND`` of the pages, with a second word where the command is a group."""
    text = "\n".join((ROOT / "docs" / page).read_text("utf-8") for page in PAGES)
    found = re.findall(r"(?<!-n )gemini-chat ([a-z-]+)(?: ([a-z-]+))?", text)
    groups = {name for name, command in cli.commands.items() if isinstance(command, click.Group)}
    return {(one, two) if one in groups and two else (one,) for one, two in found}


def test_commands_that_are_named_exist() -> None:
    missing = set()
    for first, *rest in named_commands():
        command = cli.commands.get(first)
        known = command.commands if isinstance(command, click.Group) else {}
        if command is None or not set(rest) <= set(known):
            missing.add((first, *rest))
    assert missing == set()


def test_each_of_the_twelve_checks_names_what_the_doctor_finds() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", (ROOT / "docs/production.md").read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 13))
    named = {name for _, findings in rows for name in re.findall(r"`([\w.]+)`", findings)}
    # Twice, for PostgreSQL and for Redis.
    found = {"database.tls", "redis.tls"}
    for source in ("application/operations/doctor.py", "entrypoints/cli/doctor.py", "entrypoints/container/doctor.py"):
        text = (ROOT / source).read_text(encoding="utf-8")
        found |= set(re.findall(r"\"((?:settings|database|redis|payments|model)(?:\.\w+)?)\"", text))
    assert named <= found
    assert {name for name in found - named if "." in name} == set()
