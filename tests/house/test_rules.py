"""Rules of the house that no linter knows."""

import ast
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("domain", "application", "adapters", "entrypoints", "migrations")

# Where a checkout may lie on a machine. A path in prose or in a container ends before a second part.
OF_A_MACHINE = re.compile(r"(?<![\w.:/])/(?:work|root|home|Users)/[\w.-]+")

# What has a standard name is called by it: use case, entry point or HTTP layer, client or user.
PRIVATE_WORDS = re.compile(r"\b(story|stories|doors?|doorbells?|whoever)\b", re.IGNORECASE)
# What was decided and released is not rewritten; this file and the glossary name the words.
MAY_SAY_THEM = ("CHANGELOG.md", "docs/decisions/", "docs/glossary.md", "tests/house/test_rules.py")

# Directories that git does not keep stand in .gitignore with a slash at the end.
NOT_KEPT = {line for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split() if line.endswith("/")}


def kept_text_files() -> list[Path]:
    """Every text file of the checkout that is not generated."""
    found = []
    for directory, below, names in os.walk(ROOT):
        below[:] = [
            name for name in below if name != ".git" and not any(Path(name).match(glob[:-1]) for glob in NOT_KEPT)
        ]
        # In a worktree .git is a file, which says where the repository lies.
        found += [
            Path(directory, name)
            for name in names
            if name not in {".env", ".git"} and not name.endswith((".pyc", ".pyo"))
        ]
    return [path for path in found if b"\0" not in path.read_bytes()]


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def calls(path: Path) -> list[str]:
    """The dotted names of everything that a module calls."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_no_file_knows_where_the_checkout_lies():
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in kept_text_files()
        for match in OF_A_MACHINE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert not found


def test_standard_terms_are_used_where_there_are_any():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in kept_text_files()
        if path.suffix in {".py", ".md"} or path.name == "setup.cfg"
        if not str(path.relative_to(ROOT)).startswith(MAY_SAY_THEM)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in PRIVATE_WORDS.finditer(line)
    ]
    assert not found


def test_no_registry_is_named_in_what_is_installed_from():
    for path in [
        *(ROOT / "requirements").glob("*.txt"),
        ROOT / "setup.cfg",
        ROOT / "pyproject.toml",
        ROOT / "Makefile",
    ]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"--(extra-)?index-url|pypi\.org|pythonhosted", text), path.name


@pytest.mark.parametrize("path", modules("domain", "application"), ids=lambda path: str(path.relative_to(ROOT)))
def test_time_chance_and_ids_come_from_outside(path: Path):
    made = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "uuid1", "uuid4", "uuid7"}
    assert not [name for name in calls(path) if name in made or name.startswith(("random.", "secrets.", "uuid."))]


def test_missing_services_are_never_a_silent_skip():
    silent = ("skip", "skipif", "importorskip", "xfail")
    this = Path(__file__)
    found = {
        str(path.relative_to(ROOT))
        for path in modules("tests")
        if path != this
        and any(
            isinstance(node, ast.Attribute) and node.attr in silent
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert not found
