"""docs/add-an-endpoint.md is true: applied to a copy of the checkout, it passes the checks that it names."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "add-an-endpoint.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(
    r"^(?:New file `(?P<new>[^`]+)`|In `(?P<file>[^`]+)`, (?P<how>after|in place of) `(?P<anchor>[^`]+)`):\n\n"
    r"```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMANDS = "\n".join(block["code"] for block in BLOCK.finditer(PAGE) if block["language"] == "sh")
PYTEST = re.findall(r"^\.venv/bin/python -m pytest -q (.+)$", COMMANDS, re.MULTILINE)

# Of the migrations in general, and slow.
NOT_RUN = [
    f"--deselect=tests/integration/test_migrations.py::{name}"
    for name in ("test_four_processes_may_migrate_at_once", "test_each_step_goes_up_and_down_and_up_again")
]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "node_modules")

# As make lint, but without the libraries: this takes seconds, all of them take most of a minute.
MYPY = """
[mypy]
strict = true
explicit_package_bases = true
mypy_path = $MYPY_CONFIG_FILE_DIR
follow_imports = skip
ignore_missing_imports = true

[mypy-domain.*,application.*,adapters.*,entrypoints.*,marshmallow.*,dependency_injector.*]
follow_imports = silent

[mypy-entrypoints.api.*]
disallow_subclassing_any = false
disallow_untyped_decorators = false
"""


def newest_revision() -> int:
    return max(int(path.name[:4]) for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))


def renumbered(text: str) -> str:
    """The page's migration behind the newest one there is: another one need not change the page."""
    newest = newest_revision()
    return text.replace("0006", f"{newest + 1:04}").replace("0005", f"{newest:04}")


def apply(step: re.Match[str], checkout: Path) -> None:
    if step["new"]:
        path = checkout / renumbered(step["new"])
        assert not path.exists(), path
        path.write_text(renumbered(step["code"]), encoding="utf-8")
        return
    path = checkout / step["file"]
    anchor = renumbered(step["anchor"])
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line.strip() == anchor]
    assert len(places) == 1, f"{step['file']} has {len(places)} lines {anchor!r}"
    [place] = places
    lines[place if step["how"] == "in place of" else place + 1 : place + 1] = [renumbered(step["code"])]
    path.write_text("".join(lines), encoding="utf-8")


def run(checkout: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the checkout to which the page has been applied."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    for step in STEP.finditer(PAGE):
        apply(step, copy)
    document = run(copy, "-m", "entrypoints.cli", "openapi")
    (copy / "tests" / "api" / "openapi.json").write_text(document, encoding="utf-8")
    yield copy
    shutil.rmtree(copy)


def changed() -> list[str]:
    return sorted({renumbered(step["new"] or step["file"]) for step in STEP.finditer(PAGE)})


def test_every_block_of_code_says_where_it_goes():
    blocks = [block["language"] for block in BLOCK.finditer(PAGE)]
    assert blocks.count("python") == len(list(STEP.finditer(PAGE)))
    assert set(blocks) == {"python", "sh"}


def test_the_tests_that_the_page_names_pass(checkout: Path):
    assert {test.split("::")[0] for test in " ".join(PYTEST).split()} >= {
        path for path in changed() if path.startswith("tests/")
    }
    run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NOT_RUN, *" ".join(PYTEST).split())


def test_it_passes_lint(checkout: Path):
    python = [path for path in changed() if path.endswith(".py")]
    run(checkout, "-m", "ruff", "check", "--no-cache", *python)
    run(checkout, "-m", "ruff", "format", "--check", "--no-cache", *python)
    (checkout / "mypy.ini").write_text(MYPY, encoding="utf-8")
    typed = [path for path in python if not path.startswith(("tests/", "migrations/"))]
    run(checkout, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "/dev/null", *typed)
    run(checkout, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")
