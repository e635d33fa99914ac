"""docs/observability.md lists the log lines that there are, with their fields."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(?P<event>\w+)` \| [\w, ]+ \| (?P<fields>.*)\|$", re.MULTILINE)
PACKAGES = ("adapters", "application", "entrypoints")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged() -> dict[str, set[str]]:
    """Events with the fields that are given by name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=logger, attr=level), args=[ast.Constant(value=str(event))]) if (
                    level in LEVELS and " " not in event and re.search(r"^log$|get_logger", ast.unparse(logger))
                ):
                    found[event] |= {one.arg for one in node.keywords if one.arg and one.arg != "exc_info"}
    return found


def test_every_log_line_is_listed_with_its_fields() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    listed = {row["event"]: set(re.findall(r"`(\w+)`", row["fields"])) for row in ROW.finditer(page)}
    assert listed == logged()
