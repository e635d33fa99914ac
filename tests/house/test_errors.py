"""The tree of errors is the one that is drawn, and every leaf can be told to a client."""

import re
from dataclasses import fields, is_dataclass

import pytest

from domain import errors
from domain.errors import DomainError, InvalidValue, QuotaExhausted
from entrypoints.api.problem_registry import CODE_OF_STATUS, PROBLEMS, STATUS_OF_KIND, leaves
from entrypoints.api.problems import OWN_PROBLEMS, ProblemSchema
from entrypoints.api.schemas import camel_case

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


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_the_registry_of_problems_knows_the_facts_of_a_leaf(leaf: type[DomainError]):
    members = {camel_case(field.name) for field in fields(leaf)}  # type: ignore[arg-type]
    if leaf is InvalidValue:
        members = {"errors"}
    if leaf is QuotaExhausted:
        members.add("upgrade")
    assert set(PROBLEMS[leaf.code].members) == members


def test_the_registry_of_problems_is_complete_and_no_code_stands_for_two_things():
    of_http = {*CODE_OF_STATUS.values(), *(own.code_of_problem for own in OWN_PROBLEMS), "too_busy"}
    codes = [leaf.code for leaf in LEAVES] + sorted(of_http - {InvalidValue.code})
    assert sorted(PROBLEMS) == sorted(codes)
    assert {status: PROBLEMS[code].status for status, code in CODE_OF_STATUS.items()} == {
        status: status for status in CODE_OF_STATUS
    }


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_problem_says_what_happened_why_and_what_to_do(code: str):
    kind = PROBLEMS[code]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
    assert re.fullmatch(r"[A-Z].*[^.]", kind.title)
    for text in (kind.why, kind.what_to_do):
        assert re.fullmatch(r"[A-Z`].*\.", text)
        assert text.count("`") % 2 == 0
    assert set(kind.members) <= {field.data_key for field in ProblemSchema().fields.values()}
