"""Thoughts that models write in front of their answer are not shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llm.answer_text import VisibleText

TEXTS = [
    ("<think>Hm.</think>Yes.", "Yes."),
    ("\n <think>\nHm.\n</think>\n\nYes. </think> no", "Yes. </think> no"),
    ("<thinking>a <think> b</thinking>Yes.", "Yes."),
    ("<thought>Hm.</thought> Yes.", "Yes."),
    ("<think></think>Yes.", "Yes."),
    ("<think>Hm.</think>", ""),
    ("<think>never closed </thin", ""),
    ("  Yes, <think> is a tag.", "  Yes, <think> is a tag."),
    ("<thin", "<thin"),
    ("<thinker>", "<thinker>"),
    ("<", "<"),
    (" \n", " \n"),
    ("", ""),
    ("Yes.", "Yes."),
]


def shown(*parts: str) -> str:
    text = VisibleText()
    return "".join(map(text.feed, parts)) + text.end()


@pytest.mark.parametrize(("text", "visible"), TEXTS)
def test_only_the_answer_is_shown(text: str, visible: str):
    assert shown(text) == visible
    assert shown(*text) == visible


@given(st.lists(st.sampled_from(["<", "think", ">", "</think>", "a", " ", "<thought>"])), st.data())
def test_no_cut_changes_what_is_shown(tokens: list[str], draw: st.DataObject):
    text = "".join(tokens)
    at = draw.draw(st.integers(0, len(text)))
    assert shown(text[:at], text[at:]) == shown(text)


def test_text_that_is_no_thought_is_not_held_back():
    text = VisibleText()
    assert [text.feed(part) for part in ("Y", "es", "<think>")] == ["Y", "es", "<think>"]
