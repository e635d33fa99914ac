"""Who is woken by an alert finds what to do: each has an entry in docs/operations.md, and leads there."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.settings import VARIABLES, Settings
from tests.house.test_docs import anchors
from tests.house.test_reliability import TEST, functions

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
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


@pytest.mark.parametrize("page", ["operations.md", "security.md", "production.md"])
def test_every_test_that_is_named_exists(page: str) -> None:
    named = [(found["file"], found["name"]) for found in TEST.finditer((ROOT / "docs" / page).read_text("utf-8"))]
    assert [one for one in named if not (ROOT / one[0]).is_file() or one[1] not in functions(ROOT / one[0])] == []


def test_the_rotation_of_every_secret_is_described() -> None:
    types = {field.name: str(field.type) for field in fields(Settings)}
    secrets = {variable.name for variable in VARIABLES if "Secret" in types[variable.field]}
    section = PAGE.split("## Rotation of secrets")[1].split("\n## ")[0]
    assert len(secrets) > 5
    assert {name for name in secrets if f"`{name}`" not in section} == set()
