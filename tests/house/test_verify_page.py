"""docs/verify.md lists the checks and options of the verify kit as they are."""

import re
from pathlib import Path

from verify.__main__ import parser
from verify.run import ALL

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")


def test_the_page_lists_the_checks():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (yes)? ?\|$", PAGE, re.MULTILINE)
    assert rows == [(check.name, check.promise, "yes" if check.plain else "") for check in ALL]


def test_no_two_checks_have_one_name():
    assert len({check.name for check in ALL}) == len(ALL)


def test_the_page_names_each_option():
    options = set(re.findall(r"--[a-z-]+", parser().format_help())) - {"--help"}
    assert {option for option in options if f"`{option}" not in PAGE} == set()
