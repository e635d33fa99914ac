"""The tree of errors is the one that is drawn, and every leaf can be told to a client."""

import re
from dataclasses import is_dataclass

import pytest

from domain import errors
from domain.errors import DomainError, InvalidValue
from entrypoints.api.problems import HTTP_PROBLEMS, STATUS_OF_KIND, leaves
from entrypoints.api.waiting import TooManyWaiting

LINE = re.compile(r"(?P<before>[│ ]*)[├└]── (?P<name>\w+)(?:.*\((?P<status>\d{3})\b.*\))?")
LEAVES = leaves(DomainError)


def tree(root: type[DomainError]) -> list[tuple[int, str]]:
    """Depth and name of all below ``root``, in the order they were written."""
    found = []
    for child in root.__subclasses__():
        found.append((1, child.__name__))
        found += [(depth + 1, name) for depth, name in tree(child)]
    return found


def drawn() -> list[re.Match[str]]:
    """The lines of the drawing below its root."""
    return [found for line in (errors.__doc__ or "").splitlines() if (found := LINE.fullmatch(line))]


def test_the_tree_that_is_drawn_is_the_tree_that_exists():
    assert [(len(line["before"]) // 4 + 1, line["name"]) for line in drawn()] == tree(DomainError)


def test_the_statuses_that_are_drawn_are_those_of_the_http_layer():
    kinds = {line["name"]: int(line["status"]) for line in drawn() if line["status"]}
    assert kinds == {kind.__name__: status for kind, status in STATUS_OF_KIND.items()}


def test_every_kind_has_a_status_and_every_leaf_a_kind():
    assert DomainError.__subclasses__() == list(STATUS_OF_KIND)
    assert {leaf.__base__ for leaf in LEAVES} == STATUS_OF_KIND.keys()


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_a_leaf_explains_itself(leaf: type[DomainError]):
    own = vars(leaf)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", own["code"])
    assert re.fullmatch(r"[A-Z].*[^.]", own["title"])
    # Not the signature that dataclass puts where there is none.
    assert own["__doc__"]
    assert not own["__doc__"].startswith(f"{leaf.__name__}(")
    assert is_dataclass(leaf)


def test_no_code_stands_for_two_things():
    of_http = [code for code, _ in (*HTTP_PROBLEMS.values(), TooManyWaiting.problem) if code != InvalidValue.code]
    codes = [leaf.code for leaf in LEAVES] + of_http
    assert len(codes) == len(set(codes))
