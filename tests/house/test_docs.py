"""What people read about the settings is what the program reads; links lead somewhere; decisions are listed."""

import re
from pathlib import Path

import pytest

from entrypoints.settings import VARIABLES, read_settings

ROOT = Path(__file__).resolve().parents[2]

ROW = re.compile(r"\| `(?P<name>[A-Z][A-Z0-9_]*)` \|(?P<default>[^|]*)\|(?P<meaning>[^|]*)\|")
LINK = re.compile(r"]\((?P<target>[^)#:\s]*)(?:#(?P<anchor>[\w-]+))?\)")
PLACES = ("*.md", "clients/*/*.md", "bench/*.md", "bench/results/*.md", "docs/**/*.md")
PAGES = [page for place in PLACES for page in ROOT.glob(place)]
ASSIGNMENT = re.compile(r"(?:# )?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


def example() -> list[tuple[str, str]]:
    """The names and values of .env.example, commented out or not."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return [(found["name"], found["value"]) for line in lines if (found := ASSIGNMENT.fullmatch(line))]


def test_the_readme_lists_the_settings_there_are():
    rows = ROW.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [(row["name"], row["default"].strip(), row["meaning"].strip()) for row in rows] == [
        (variable.name, variable.unset or variable.default, variable.meaning) for variable in VARIABLES
    ]


def test_the_example_file_names_each_setting_once():
    assert sorted(name for name, _ in example()) == sorted(variable.name for variable in VARIABLES)


def test_the_example_file_shows_the_defaults():
    shown = dict(example())
    defaults = {variable.name: variable.default for variable in VARIABLES if variable.default}
    assert {name: shown[name] for name in defaults} == defaults


def test_the_example_file_works_with_everything_uncommented(tmp_path):
    read_settings({**dict(example()), "DATA_DIR": str(tmp_path)})


def test_a_default_that_is_a_value_is_the_one_that_counts(tmp_path):
    defaults = {variable.name: variable.default for variable in VARIABLES if variable.default}
    here = {"DATA_DIR": str(tmp_path), "JWT_SECRET": "x" * 32}
    given, unset = read_settings({**defaults, **here}), read_settings(here)
    # A Secret shows nothing in a repr: none has a default.
    assert repr(given) == repr(unset)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = []
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target = page.parent / link["target"] if link["target"] else page
        if not target.exists() or (link["anchor"] and link["anchor"] not in anchors(target)):
            broken.append(link[0])
    assert not broken


def test_every_decision_is_listed_with_its_number():
    decisions = ROOT / "docs" / "decisions"
    listed = re.findall(r"^\| (\d+) \| \[.+?]\((.+?)\)", (decisions / "README.md").read_text("utf-8"), re.MULTILINE)
    files = sorted(path.name for path in decisions.glob("[0-9]*.md"))
    assert [(int(number), name) for number, name in listed] == [(int(name[:4]), name) for name in files]
    for name in files:
        assert (decisions / name).read_text(encoding="utf-8").startswith(f"# {int(name[:4])}. ")
