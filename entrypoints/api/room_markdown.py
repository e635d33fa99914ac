"""A chatroom as a Markdown document (CommonMark) whose structure no text can break.

Only this module makes headings of the first two levels. A prompt is a block quote. An answer is Markdown and stays so,
with its headings two levels lower; one whose blocks might reach beyond its end becomes a block quote, too.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from application.chat.export_chatroom import ExportedChatroom
from application.ports.export import ExportedTurn
from domain.replies import ReplyState
from entrypoints.api.entries import FAILURE_DETAILS

# The heading of a chatroom that has no name yet.
UNNAMED = "Chat"

LINE_ENDING = re.compile(r"\r\n|\r|\n")
# What would be markup in a heading or in an emphasis.
MARKUP = re.compile(r"([\\`*_\[\]<>#&~|])")
HEADING = re.compile(r"^(?P<indent> {0,3})(?P<marks>#{1,6})(?=[ \t]|$)")
UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
LOWER = 2
LOWEST = 6
TAB = 4
# What is indented further than this is code.
MAX_INDENT = 3

# Those below match lines without tabs.
INDENT = r" *(?:(?:[-*+]|[0-9]{1,9}[.)]) +)*"
# The info string of a fence of backticks has none.
FENCE = re.compile(rf"(?P<indent>{INDENT})(?:(?P<ticks>`{{3,}})[^`]*|(?P<tildes>~{{3,}}).*)")
# A line that may begin a block of HTML, but no link in angle brackets.
HTML_BLOCK = re.compile(rf"{INDENT}<(?:[a-z][a-z0-9-]*(?:[\s/>]|$)|[/!?])", re.IGNORECASE)


class Fence(NamedTuple):
    """A fenced code block that is open: how far it is indented, and the marks that opened it."""

    indent: int
    marks: str


def markdown_of(room: ExportedChatroom) -> Iterator[str]:
    """The parts of the document. What iterating the turns raises passes through."""
    yield f"# {_escaped(' '.join(room.name.split())) or UNNAMED}\n\n"
    yield f"*Opened {_moment(room.opened_at)}, exported {_moment(room.exported_at)}.*\n\n"
    if room.system_prompt is not None:
        yield f"## System prompt\n\n{_quoted(room.system_prompt)}\n\n"
    count = 0
    for turn in room.turns:
        yield f"## You\n\n*{_moment(turn.sent_at)}*\n\n{_quoted(turn.content)}\n\n"
        yield "\n\n".join(("## Gemini", *_reply(turn))) + "\n\n"
        count += 1
    yield f"---\n\n*End of the export: {_count(count)}.*\n"


def _reply(turn: ExportedTurn) -> Iterable[str]:
    if turn.finished_at is not None:
        model = f", {_escaped(turn.model)}" if turn.model else ""
        yield f"*{_moment(turn.finished_at)}{model}*"
    if turn.reply_content:
        yield _answer(turn.reply_content)
    remark = _remark(turn)
    if remark:
        yield f"*{remark}*"


def _remark(turn: ExportedTurn) -> str | None:
    if turn.failure is not None:
        return f"No answer. {FAILURE_DETAILS[turn.failure]}"
    if turn.reply_state is ReplyState.CANCELLED:
        return "Stopped: the answer ends here." if turn.reply_content else "Stopped before there was an answer."
    if turn.reply_state is not ReplyState.DONE:
        return "The answer is not finished yet."
    return "The answer reached the model's limit and ends here." if turn.truncated else None


def _count(turns: int) -> str:
    return "1 message with its reply" if turns == 1 else f"{turns} messages with their replies"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _escaped(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in LINE_ENDING.split(text.strip("\r\n")))


def _answer(text: str) -> str:
    lines = _contained(LINE_ENDING.split(text.strip("\r\n")))
    return _quoted(text) if lines is None else "\n".join(lines)


def _contained(lines: Iterable[str]) -> list[str] | None:
    """The lines of an answer with lower headings, and a code block that is open at their end closed.

    None where it takes a parser to tell what the end is in: a code block that may have ended with its list, or HTML.
    """
    contained: list[str] = []
    fence: Fence | None = None
    for line in lines:
        if fence is not None:
            end = _ends(fence, line)
            if end is None:
                return None
            contained.append(line)
            fence = None if end else fence
            continue
        fence = _opened_by(line)
        if fence is None and HTML_BLOCK.match(line.expandtabs(TAB)):
            return None
        if UNDERLINE.fullmatch(line) and contained and not _is_blank(contained[-1]):
            contained += _no_underline(line)
        else:
            contained.append(line if fence else HEADING.sub(_lower, line))
    if fence is not None:
        contained.append(" " * fence.indent + fence.marks)
    return contained


def _opened_by(line: str) -> Fence | None:
    found = FENCE.fullmatch(line.expandtabs(TAB))
    return Fence(len(found["indent"]), found["ticks"] or found["tildes"]) if found else None


def _ends(fence: Fence, line: str) -> bool | None:
    """Whether a line ends the code block; None where that depends on what the block is in."""
    deeper = _indent(line) - fence.indent
    if deeper < 0 and not _is_blank(line):
        return None
    marks = line.strip(" \t")
    if len(marks) < len(fence.marks) or set(marks) != set(fence.marks) or deeper > MAX_INDENT:
        return False
    return True if not deeper or not fence.indent else None


def _indent(line: str) -> int:
    line = line.expandtabs(TAB)
    return len(line) - len(line.lstrip(" "))


def _is_blank(line: str) -> bool:
    return not line.strip(" \t")


def _lower(heading: re.Match[str]) -> str:
    return heading["indent"] + "#" * min(len(heading["marks"]) + LOWER, LOWEST)


def _no_underline(line: str) -> list[str]:
    """The text above it stays text: the line is a rule of its own, or what it is in letters."""
    return [f"\\{line.lstrip()}"] if "=" in line else ["", line]
