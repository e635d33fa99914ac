"""docs/billing.md: every row names a test that there is, and every such test stands in a row."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = [line for line in (ROOT / "docs" / "billing.md").read_text(encoding="utf-8").splitlines() if "`test_" in line]


def test_every_row_names_a_test() -> None:
    tree = ast.parse((ROOT / "tests" / "unit" / "test_billing_kinds.py").read_text(encoding="utf-8"))
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    named = [name for row in ROWS for name in re.findall(r"`(test_\w+)`", row)]
    assert len(ROWS) >= 20
    assert [name for name in named if name not in there] == []
