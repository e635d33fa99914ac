"""The page has words for every reason to fail, and knows no error code that the API does not give."""

import re
from pathlib import Path

from domain.errors import DomainError
from domain.feedback import FeedbackReason
from domain.replies import FailureReason
from entrypoints.api.problem_registry import leaves

WORDS = (Path(__file__).resolve().parents[2] / "entrypoints" / "chat_page" / "js" / "words.js").read_text("utf-8")


def codes(name: str) -> set[str]:
    body = re.search(rf"^(?:export )?const {name} = \{{\n(.+?)^\}};", WORDS, re.MULTILINE | re.DOTALL)
    assert body
    return set(re.findall(r"^  (\w+):", body[1], re.MULTILINE))


def test_each_code_is_one_that_the_api_gives():
    given = {leaf.code for leaf in leaves(DomainError)} | {"payload_too_large", "too_many_waiting"}
    assert codes("PROBLEMS") <= given


def test_there_are_words_for_every_reason_of_feedback():
    assert codes("REASONS") == {reason.value for reason in FeedbackReason}


def test_there_are_words_for_every_reason_to_fail():
    assert codes("FAILURES") == {reason.value for reason in FailureReason}
