"""The title that a chatroom without a name gets from its first prompt."""

import re
import unicodedata

from domain.graphemes import TAGS, ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER, last_cut

TITLE_MAX_LENGTH = 60
ELLIPSIS = "…"

# Every message is read for a title, in case that it is the first: of a long one, not more than this.
_READ_CHARACTERS = 500
_READ_OF_A_LINE = 200
_SHORTEST_SENTENCE = 12

_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})[^`]*")
_LINE_MARKS = re.compile(r"(?:\s*(?:#{1,6}\s+|>\s?|[-*+•]\s+(?:\[[ xX]\]\s+)?))+")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s[^()]*)?\)")
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|~~)(?=\S)([^*~]+)(?<=\S)\1(?!\w)")
_CODE = re.compile(r"(`{1,3})([^`]+)\1")
# A full stop ends a sentence behind a word of four letters or more: most abbreviations are shorter. Each alternative
# begins with its marks: they are what is searched for.
_SENTENCE_END = re.compile(r"(?:\.(?<=\w{4}\.)|[!?…])+[\"'”’»)\]]*(?=\s)|[।॥؟۔።]+(?=\s)|[。！？｡]+[」』”’）]*")
_LOOSE_ENDS = " .,:;–—-。，、：；।۔،"


def title_of(prompt: str) -> str:
    """The first sentence of the first line that says something, without Markdown, in at most 60 characters.

    In any script: it is cut between words where there are some, and never within what people see as one character.
    Control characters and marks that change the direction of text are left out. Empty when nothing of the prompt can
    be seen.
    """
    nothing_said = ""
    for line in prompt.lstrip()[:_READ_CHARACTERS].splitlines():
        if _FENCE.fullmatch(line):
            continue
        visible = _visible(line[:_READ_OF_A_LINE])
        plain = _without_marks(visible)
        if any(map(_says_something, plain)):
            return _cut(_first_sentence(plain))
        if any(unicodedata.category(character) not in {"Cf", "Zs"} for character in visible):
            nothing_said = nothing_said or visible
    return _cut(nothing_said)


def _visible(line: str) -> str:
    """A line without what cannot be seen, and with single spaces."""
    if not (line.isascii() and line.isprintable()):
        line = "".join(filter(_is_text, line))
    return " ".join(line.split())


def _is_text(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cf":
        # Words of Persian and of Indic scripts need the joiners, and flags of regions the tags.
        joins = character in (ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER)
        return joins or TAGS[0] <= character <= TAGS[1]
    return category not in {"Cc", "Cs", "Cn"} or character == "\t"


def _without_marks(line: str) -> str:
    found = _LINE_MARKS.match(line)
    if found:
        line = line[found.end() :]
    if "[" in line:
        line = _LINK.sub(r"\1", line)
    if "`" in line:
        line = _CODE.sub(r"\2", line)
    if "*" in line or "~" in line:
        line = _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", line))
    return line.strip()


def _says_something(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) == "So"


def _first_sentence(line: str) -> str:
    for end in _SENTENCE_END.finditer(line):
        if end.end() >= _SHORTEST_SENTENCE:
            line = line[: end.end()]
            break
    return line.rstrip(_LOOSE_ENDS) or line


def _cut(line: str) -> str:
    if len(line) <= TITLE_MAX_LENGTH:
        return line
    longest = TITLE_MAX_LENGTH - len(ELLIPSIS)
    between_words = line.rfind(" ", TITLE_MAX_LENGTH // 2, longest + 1)
    end = between_words if between_words > 0 else last_cut(line, longest)
    return line[:end].rstrip(_LOOSE_ENDS) + ELLIPSIS
