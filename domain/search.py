"""Searching texts in any script: what of a text can be found, what a query asks for, and where it stands in a text.

Words are runs of letters, marks and digits. Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao,
Khmer, Burmese) have none, so all pairs of neighbouring characters can be found there. Pictures such as emoji are found,
too. Case, accents, the width of characters, and signs that a script may leave out (Arabic and Hebrew vowels) make no
difference.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate, chain, groupby, takewhile
from typing import NamedTuple

from domain.errors import InvalidValue
from domain.graphemes import last_cut, next_cut

QUERY_MAX_LENGTH = 100
# Of a longer text the rest cannot be found: what is kept for searching is bounded, however long texts are.
SEARCHED_CHARACTERS = 8_000
SEARCHED_TERMS = 1_000
# One character may fold to eighteen; those of a syllable of Korean, the longest that texts are made of, are three.
_FOLDED_CHARACTERS = 3 * SEARCHED_CHARACTERS
TERM_MAX_LENGTH = 40

PASSAGE_LENGTH = 200
_BEFORE_THE_MATCH = 60
_LEAST_BEFORE = 30
ELLIPSIS = "…"

# Thai and Lao, Burmese, Khmer, kana, bopomofo, Han.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u9fff\U00020000-\U0003ffff"
)
# Accents of Latin, Greek and Cyrillic; vowels and reading marks of Hebrew and Arabic, and the stroke that lengthens a
# word; joiners, soft hyphens, and selectors of variants and skin tones.
_IGNORED = (
    *((0x0300, 0x036F), (0x0483, 0x0487), (0x0591, 0x05C7), (0x0610, 0x061A), (0x0640, 0x0640), (0x064B, 0x065F)),
    *((0x0670, 0x0670), (0x06D6, 0x06ED), (0x00AD, 0x00AD), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0x1F3FB, 0x1F3FF), (0xE0000, 0xE01EF)),
)
_DELETED = dict.fromkeys(code for first, last in _IGNORED for code in range(first, last + 1))
_LAST_MARK_OR_SYMBOL = 0x1FBFF


class Term(NamedTuple):
    """What a text must have. ``begins``: a longer word that begins with it will do."""

    text: str
    begins: bool = False


class Passage(NamedTuple):
    """A part of a text on one line, and where in it the matches are: from a character up to another one."""

    text: str
    matches: Sequence[tuple[int, int]]


class _Patterns(NamedTuple):
    """``token``: a run of a spaceless script, a word or a symbol. ``within_word``: that a word goes on from before."""

    token: re.Pattern[str]
    within_word: str
    goes_on: str


def fold(text: str) -> str:
    """The text without what makes no difference: case, accents, width, signs that may be left out."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).casefold().translate(_DELETED)


def terms_in(text: str) -> Collection[str]:
    """What can be found of a text."""
    found: dict[str, None] = {}
    for kind, token in _tokens(fold(text[:SEARCHED_CHARACTERS])[:_FOLDED_CHARACTERS]):
        found.update(dict.fromkeys([*_pairs(token), token[-1]] if kind == "run" else [token[:TERM_MAX_LENGTH]]))
        if len(found) >= SEARCHED_TERMS:
            break
    return list(found)[:SEARCHED_TERMS]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A text matches when it has all ``terms``."""

    terms: Sequence[Term]
    _match: re.Pattern[str]
    _each: Sequence[re.Pattern[str]]

    @classmethod
    def of(cls, text: str) -> "SearchQuery":
        """Raises InvalidValue when the text is too long, or nothing in it can be looked for."""
        if len(text) > QUERY_MAX_LENGTH:
            raise InvalidValue("q", f"must have at most {QUERY_MAX_LENGTH} characters")
        tokens = list(dict.fromkeys(_tokens(fold(text))))
        if not tokens:
            raise InvalidValue("q", "must have a letter, a digit or a symbol to look for")
        terms = dict.fromkeys(term for kind, token in tokens for term in _asked(kind, token))
        places = [_place(kind, token) for kind, token in tokens]
        pairs = [re.escape(pair) for kind, token in tokens if kind == "run" for pair in _pairs(token)]
        return cls(list(terms), re.compile("|".join([*places, *pairs])), [re.compile(place) for place in places])

    def matches(self, text: str) -> bool:
        """Whether each word of the query is in the text, and each run of a spaceless script as a whole."""
        folded = fold(text)
        return all(place.search(folded) for place in self._each)

    def passage(self, text: str) -> Passage:
        """The part of the text around the first match; the beginning where there is none."""
        text = text[:SEARCHED_CHARACTERS]
        found = self._found(text)
        first = next(found, None)
        start = _start_of_passage(text, first[0] if first else 0)
        end = last_cut(text, start + PASSAGE_LENGTH) if len(text) - start > PASSAGE_LENGTH else len(text)
        before, after = (ELLIPSIS if start else ""), (ELLIPSIS if end < len(text) else "")
        shift = len(before) - start
        shown = takewhile(lambda match: match[1] <= end, chain([first] if first else [], found))
        matches = [(match_start + shift, match_end + shift) for match_start, match_end in shown]
        return Passage(before + "".join(map(_on_one_line, text[start:end])) + after, matches)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the matches are, one after the other: none begins before the one before it has ended."""
        pieces = [_folded(character) for character in text]
        starts = list(accumulate(map(len, pieces), initial=0))
        end = 0
        for match in self._match.finditer("".join(pieces)[:_FOLDED_CHARACTERS]):
            start = bisect_right(starts, match.start()) - 1
            if start >= end:
                end = next_cut(text, bisect_right(starts, match.end() - 1))
                yield start, end


_folded = lru_cache(maxsize=4_096)(fold)


def _tokens(folded: str) -> Iterator[tuple[str, str]]:
    """The kind of each token, and the token."""
    for token in _patterns().token.finditer(folded):
        yield token.lastgroup or "", token[0]


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)]


def _asked(kind: str, token: str) -> list[Term]:
    if kind == "word":
        # A single letter would be the beginning of very many words.
        return [Term(token[:TERM_MAX_LENGTH], begins=len(token) > 1)]
    if kind == "run" and len(token) > 1:
        return [Term(pair) for pair in _pairs(token)]
    return [Term(token, begins=kind == "run")]


def _place(kind: str, token: str) -> str:
    """The pattern of the places where a token of a query is in a folded text."""
    if kind != "word":
        return re.escape(token)
    patterns = _patterns()
    return patterns.within_word + re.escape(token) + ("" if len(token) > 1 else patterns.goes_on)


@cache
def _patterns() -> _Patterns:
    # The library's patterns know letters and digits, and neither marks nor symbols.
    marks, symbols = _ranges_of("M"), _ranges_of("So")
    of_word = rf"(?:(?![{_SPACELESS}])(?:[^\W_]|[{marks}]))"
    token = re.compile(rf"(?P<run>[{_SPACELESS}]+)|(?P<word>{of_word}+)|(?P<symbol>[{symbols}])")
    return _Patterns(token, rf"(?<!(?![{_SPACELESS}])[^\W_])(?<![{marks}])", f"(?!{of_word})")


def _ranges_of(category: str) -> str:
    """The characters of a general category, as the inside of a character class."""
    codes = [code for code in range(_LAST_MARK_OR_SYMBOL + 1) if unicodedata.category(chr(code)).startswith(category)]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{re.escape(chr(run[0]))}-{re.escape(chr(run[-1]))}" for run in runs)


def _start_of_passage(text: str, match: int) -> int:
    if match <= _BEFORE_THE_MATCH:
        return 0
    earliest = match - _BEFORE_THE_MATCH
    space = next((place for place in range(earliest, match - _LEAST_BEFORE) if text[place].isspace()), None)
    return last_cut(text, earliest) if space is None else space + 1


def _on_one_line(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Zl", "Zp"} or unicodedata.bidirectional(character) in _DIRECTIONS:
        return " "
    return character


# Marks that change the direction of text up to another mark, which may stand outside of the passage.
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
