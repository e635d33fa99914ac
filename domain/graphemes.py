"""Where a text may be cut without taking a character apart that people see as one."""

import unicodedata

ZERO_WIDTH_JOINER = "\u200d"
ZERO_WIDTH_NON_JOINER = "\u200c"
TAGS = ("\U000e0020", "\U000e007f")
"""The first and the last of the characters that name a region in a flag."""

_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_REGIONAL_INDICATORS = ("\U0001f1e6", "\U0001f1ff")
_KOREAN_VOWELS_AND_FINALS = ("\u1160", "\u11ff")
_SARA_AM = "\u0e33\u0eb3"
# In a longer row of flags, two letters of one may be taken apart.
_FLAG_LETTERS_READ = 100
_VIRAMA = 9
"""The combining class of the signs that join two consonants of an Indic script."""


def may_be_cut(text: str, at: int) -> bool:
    """Whether no grapheme cluster (Unicode Standard Annex 29) goes on over ``at``; a few rare ones are not known."""
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if _extends(after) or before == ZERO_WIDTH_JOINER:
        return False
    if unicodedata.combining(before) == _VIRAMA and unicodedata.category(after) == "Lo":
        return False
    if _within(before, _REGIONAL_INDICATORS) and _within(after, _REGIONAL_INDICATORS):
        return _flags_before(text, at) % 2 == 0
    return True


def last_cut(text: str, at: int) -> int:
    """The last place up to ``at`` where the text may be cut; ``at`` itself where there is none."""
    cut = at
    while cut > 0 and not may_be_cut(text, cut):
        cut -= 1
    return cut or at


def next_cut(text: str, at: int) -> int:
    """The first place from ``at`` on where the text may be cut."""
    while not may_be_cut(text, at):
        at += 1
    return at


def _extends(character: str) -> bool:
    return (
        unicodedata.category(character)[0] == "M"
        or character in _SARA_AM
        or character in (ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER)
        or _within(character, _SKIN_TONES)
        or _within(character, TAGS)
        or _within(character, _KOREAN_VOWELS_AND_FINALS)
    )


def _within(character: str, bounds: tuple[str, str]) -> bool:
    return bounds[0] <= character <= bounds[1]


def _flags_before(text: str, at: int) -> int:
    start, first = at, max(at - _FLAG_LETTERS_READ, 0)
    while start > first and _within(text[start - 1], _REGIONAL_INDICATORS):
        start -= 1
    return at - start
