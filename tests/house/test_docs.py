"""What people read about the settings is what the program reads."""

import re
from pathlib import Path

from entrypoints.settings import VARIABLES, read_settings

ROOT = Path(__file__).resolve().parents[2]

ROW = re.compile(r"\| `(?P<name>[A-Z][A-Z0-9_]*)` \|(?P<default>[^|]*)\|(?P<meaning>[^|]*)\|")
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
