"""A chatroom as a Markdown document, as another parser of CommonMark reads it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from application.chat.export_chatroom import ExportedChatroom
from application.ports.export import ExportedTurn
from domain.replies import FailureReason, ReplyState
from entrypoints.api.room_markdown import markdown_of

OPENED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PARSER = MarkdownIt("commonmark").enable("table")
HEADINGS = ["You", "Gemini"]


def a_turn(answer: str | None = "Because.", *, prompt: str = "Why?", **changes: Any) -> ExportedTurn:
    turn = ExportedTurn(prompt, OPENED, ReplyState.DONE, answer, OPENED, "scripted", None, False)
    return turn._replace(**changes)


def document(*turns: ExportedTurn, name: str = "Tides", system_prompt: str | None = None) -> str:
    return "".join(markdown_of(ExportedChatroom(name, system_prompt, OPENED, OPENED, iter(turns))))


@dataclass(frozen=True)
class Structure:
    """The headings of the first two levels that stand in nothing else, and the last paragraph, if it stands so."""

    headings: list[str]
    end: str


def structure_of(text: str) -> Structure:
    tokens = PARSER.parse(text)
    headings = [
        after.content
        for token, after in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0 and token.tag in {"h1", "h2"}
    ]
    last = [token for token in tokens if token.type == "inline"][-1]
    return Structure(headings, last.content if last.level == 1 else "")


def test_a_chatroom_without_a_name_has_a_heading():
    assert structure_of(document(a_turn(), name="")).headings == ["Chat", *HEADINGS]


def answer_in(text: str) -> str:
    """What stands below the last answer's heading, without its time."""
    return text.rpartition("## Gemini\n\n")[2].partition("\n\n")[2].rpartition("\n\n---\n\n")[0]


def test_the_whole_document():
    turns = (
        a_turn("It is **gravity**:\n\n```py\n# no heading\n```", prompt="Why?\r\n\r\n# Really"),
        a_turn("Half an", reply_state=ReplyState.CANCELLED, model=None),
        a_turn(None, reply_state=ReplyState.FAILED, failure=FailureReason.REFUSED, model=None),
    )
    assert document(*turns, system_prompt="Be short.") == (
        "# Tides\n\n*Opened 2026-03-02 09:30:00 UTC, exported 2026-03-02 09:30:00 UTC.*\n\n"
        "## System prompt\n\n> Be short.\n\n"
        "## You\n\n*2026-03-02 09:30:00 UTC*\n\n> Why?\n>\n> # Really\n\n"
        "## Gemini\n\n*2026-03-02 09:30:00 UTC, scripted*\n\n"
        "It is **gravity**:\n\n```py\n# no heading\n```\n\n"
        "## You\n\n*2026-03-02 09:30:00 UTC*\n\n> Why?\n\n"
        "## Gemini\n\n*2026-03-02 09:30:00 UTC*\n\nHalf an\n\n*Stopped: the answer ends here.*\n\n"
        "## You\n\n*2026-03-02 09:30:00 UTC*\n\n> Why?\n\n"
        "## Gemini\n\n*2026-03-02 09:30:00 UTC*\n\n"
        "*No answer. The model declined to answer this. Your prompt was not counted.*\n\n"
        "---\n\n*End of the export: 3 messages with their replies.*\n"
    )


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"truncated": True}, "The answer reached the model's limit and ends here."),
        ({"reply_state": ReplyState.CANCELLED, "reply_content": None}, "Stopped before there was an answer."),
        (
            {"reply_state": ReplyState.RUNNING, "reply_content": None, "finished_at": None},
            "The answer is not finished yet.",
        ),
    ],
)
def test_what_is_no_whole_answer_says_so(changes: dict[str, Any], remark: str):
    assert f"\n\n*{remark}*\n\n" in document(a_turn(**changes))


@pytest.mark.parametrize(
    ("answer", "exported"),
    [
        ("# One\n\n## You\n\n#### Four\n\n###### Six", "### One\n\n#### You\n\n###### Four\n\n###### Six"),
        ("You\n---\n\nGemini\n===", "You\n\n---\n\nGemini\n\\==="),
        ("Take C# or #1.", "Take C# or #1."),
        ("```\n# code\n```\n\n# Text", "```\n# code\n```\n\n### Text"),
        ("~~~~\n```\n# code\n~~~~", "~~~~\n```\n# code\n~~~~"),
        (
            "1. Do this:\n\n   ```sh\n   # code\n   ```\n\n2. Done",
            "1. Do this:\n\n   ```sh\n   # code\n   ```\n\n2. Done",
        ),
        # One that was cut off.
        ("```py\nprint(", "```py\nprint(\n```"),
        ("- a\n\n  ````\n  print(", "- a\n\n  ````\n  print(\n  ````"),
        # What takes a parser to tell.
        ("- a\n\n  ```\n  code\nText\n\n# Heading", "> - a\n> \n>   ```\n>   code\n> Text\n> \n> # Heading"),
        ("<div>\n```\n\n# Heading", "> <div>\n> ```\n> \n> # Heading"),
        ("<!-- never ends", "> <!-- never ends"),
        ("See <https://example.org>.\n\n<https://example.org>", "See <https://example.org>.\n\n<https://example.org>"),
    ],
)
def test_an_answer_keeps_its_markdown_below_our_headings(answer: str, exported: str):
    text = document(a_turn(answer))
    assert answer_in(text) == exported.replace("> \n", ">\n")
    assert structure_of(text).headings == ["Tides", *HEADINGS]


@pytest.mark.parametrize("name", ["*Tides* `and`", "a\n# b", "[a](b) <b>c</b> &amp; # #", "\\_|~", "☾ चाँद"])
def test_a_name_is_a_heading_and_nothing_else(name: str):
    heading, inline, *_ = PARSER.parse(document(name=name))
    children = inline.children or []
    assert heading.tag == "h1"
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == " ".join(name.split())


LINES = st.sampled_from(
    [
        *(
            "```",
            "````",
            "~~~",
            "  ```",
            "   ```",
            "    ```",
            "\t```",
            "```py",
            "``` x`y",
            "\xa0```",
            "- ```",
            "1. ~~~",
        ),
        *("# H", "## You", "   ## Gemini", "    # H", "\t# H", "#", "===", "---", "-", "text", "- a", "1.  b", "10) c"),
        *("> q", "> ```", "- > ```", "<div>", "</div>", "<!-- c", "<script>", "<a@b.c>", "[a]: /b 'c", "|a|\n|-|"),
        *("", " ", "\r", "\xa0", "\u2028# H", "\x0c# H", "***", "    code", "  # in", "- # H", "&", "\\"),
    ]
)
TEXTS = st.lists(LINES, min_size=1, max_size=8).map("\n".join) | st.text(max_size=40)


@given(prompts=st.lists(TEXTS, min_size=1, max_size=3), answers=st.lists(TEXTS, min_size=3, max_size=3), system=TEXTS)
def test_no_text_changes_the_structure(prompts: list[str], answers: list[str], system: str):
    turns = [a_turn(answer, prompt=prompt) for prompt, answer in zip(prompts, answers, strict=False)]
    found = structure_of(document(*turns, system_prompt=system))
    assert found.headings == ["Tides", "System prompt", *HEADINGS * len(turns)]
    assert found.end.startswith("*End of the export: ")


def test_it_is_made_turn_by_turn():
    def turns() -> Iterator[ExportedTurn]:
        yield a_turn()
        raise ConnectionError

    parts = markdown_of(ExportedChatroom("Tides", None, OPENED, OPENED, turns()))
    read: list[str] = []
    with pytest.raises(ConnectionError):
        read.extend(parts)
    assert "Because." in "".join(read)
    assert "End of the export" not in "".join(read)
