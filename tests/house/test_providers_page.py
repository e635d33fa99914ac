"""docs/providers.md: its tables are those of the code, and each row of a dialect names a test that there is."""

import ast
import re
from pathlib import Path

import pytest

from adapters.llm.finish_reasons import DONE, REFUSED, TRUNCATED, Ending, ending_of
from adapters.llm.provider_errors import REASONS, WORDS, reason_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
CONTRACT = ["language_model_streams.py", "test_language_models.py"]


def table(heading: str) -> dict[str, list[str]]:
    """What stands in backquotes in the second column, by the first, of the table with this row above it."""
    rows = PAGE.partition(f"{heading}\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert rows
    columns = [row.strip("|").split("|") for row in rows]
    return {column[0].strip(): re.findall("`([^`]+)`", column[1]) for column in columns}


def test_finish_reasons():
    there = table("| the answer | finish reasons, in capitals or not |")
    assert there["done"] == [*DONE, "data: [DONE]"]
    assert there["done, `truncated`"] == list(TRUNCATED)
    assert there["`refused`"] == list(REFUSED)
    others = there["`answer_interrupted`, and tried again"]
    assert {ending_of(other) for other in others} == {Ending.BROKEN}


def test_words_of_errors():
    assert {code.strip("`"): words for code, words in table("| failure | words |").items()} == {
        reason.value: list(words) for reason, words in WORDS.items()
    }


def test_statuses():
    there = {status: codes[0] for status, codes in table("| status | failure |").items()}
    assert {int(status): code for status, code in there.items() if status.isdigit()} == {
        status: reason.value for status, reason in REASONS.items()
    }
    assert there["any other below 500"] == reason_of(418).value
    assert there["any other from 500 on"] == reason_of(599).value


@pytest.mark.parametrize("row", [line for line in PAGE.splitlines() if "`test_" in line])
def test_each_dialect_is_held_by_a_test(row: str):
    trees = [ast.parse((ROOT / "tests" / "contract" / name).read_text(encoding="utf-8")) for name in CONTRACT]
    there = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert set(re.findall(r"`(test_\w+)`", row)) <= there
