"""docs/reliability.md names tests, sizes and bounds that there are."""

import ast
import importlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from entrypoints.settings import VARIABLES
from entrypoints.web_rooms import rooms

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")

TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>\w+)`")
SOURCE = re.compile(r"`(?P<file>(?:adapters|application|domain|entrypoints|tests)/[\w/]+\.py)`")
REFERENCE = re.compile(r"\[(\d+)]")
EXPLANATION = re.compile(r"^(\d+)\. `", re.MULTILINE)
ROOM = re.compile(r"^\| `(\w+)` \|[^|]+\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
# A bound that is a constant of the code: | wait | 10 s … | then | `module.NAME` |
BOUND = re.compile(r"^\|[^|]+\|(?P<bound>[^|]+)\|[^|]+\| `(?P<name>(?:\w+\.)+\w+)` \|$", re.MULTILINE)
SETTING = re.compile(r"`(?P<name>[A-Z][A-Z_]+)` \((?P<default>[\d,]+)\)")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def constant(name: str) -> Any:
    """The value of a constant, or the default of a field of a named tuple, by its dotted name."""
    owner, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(owner), attribute)
    except ModuleNotFoundError:
        module, _, class_name = owner.rpartition(".")
        return getattr(importlib.import_module(module), class_name)._field_defaults[attribute]


def seconds(value: Any) -> list[float]:
    """The numbers of a bound, as the page writes them."""
    if isinstance(value, timedelta):
        return [value.total_seconds()]
    return [float(one) for one in value] if isinstance(value, tuple) else [float(value)]


def test_every_test_exists():
    named = [(found["file"], found["name"]) for found in TEST.finditer(PAGE)]
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in functions(ROOT / file) or not name.startswith("test_")
    ]
    assert named
    assert not missing


def test_every_file_exists():
    assert not [found["file"] for found in SOURCE.finditer(PAGE) if not (ROOT / found["file"]).is_file()]


def test_every_reference_is_explained_and_every_explanation_referred_to():
    explained = [int(number) for number in EXPLANATION.findall(PAGE)]
    assert explained == list(range(1, len(explained) + 1))
    assert {int(number) for number in REFERENCE.findall(PAGE)} == set(explained)


def test_the_rooms_are_those_of_a_web_process():
    threads = next(int(variable.default) for variable in VARIABLES if variable.name == "WEB_THREADS")
    listed = [(name, *map(int, sizes)) for name, *sizes in ROOM.findall(PAGE)]
    assert sorted(listed) == sorted(
        (room.name, room._threads, room._per_client, room._limit, room._per_client_limit) for room in rooms(threads).all
    )


def test_bounds_are_the_constants_of_the_code():
    bounds = [(found["name"], found["bound"]) for found in BOUND.finditer(PAGE)]
    assert bounds
    for name, bound in bounds:
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", bound)]
        assert numbers == seconds(constant(name)), name


def test_settings_have_the_defaults_that_are_named():
    defaults = {variable.name: variable.default for variable in VARIABLES}
    named = {found["name"]: found["default"].replace(",", "") for found in SETTING.finditer(PAGE)}
    assert named == {name: defaults[name] for name in named}
