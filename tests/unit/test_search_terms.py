"""What a text can be found by, in any script, and what of it is shown."""

import pytest

from domain import graphemes
from domain.errors import InvalidValue
from domain.search import (
    PASSAGE_LENGTH,
    QUERY_MAX_LENGTH,
    SEARCHED_CHARACTERS,
    SEARCHED_TERMS,
    TERM_MAX_LENGTH,
    SearchQuery,
    terms_in,
)

ASTRONAUT = "👩🏽\u200d🚀"


def is_found(query: str, text: str) -> bool:
    """Whether a text has all terms of a query, as an index knows them."""
    terms = set(terms_in(text))
    return all(
        any(term == wanted.text or (wanted.begins and term.startswith(wanted.text)) for term in terms)
        for wanted in SearchQuery.of(query).terms
    )


FOUND = [
    ("tides", "Why are there two tides a day?"),
    ("TIDE day", "Why are there two tides a day?"),
    ("phot", "Photosynthesis"),
    ("a", "a day"),
    ("creme brulee", "Crème brûlée"),
    ("Crème", "creme"),
    ("cafe\u0301", "café"),
    ("strasse", "Straße"),
    ("abc", "ＡＢＣ"),
    ("3 5", "version 3.5"),
    ("case", "snake_case"),
    ("हिन्दी", "यह हिन्दी में है"),
    ("हिन्", "यह हिन्दी में है"),
    ("مرحبا", "مَرْحَبًا بك"),
    ("میخواهم", "من می\u200cخواهم"),
    ("שלום", "שָׁלוֹם"),
    ("학교", "학교에서 공부한다"),
    ("京都", "東京から京都まで"),
    ("都", "東京から京都"),
    ("都", "京都まで"),
    ("が", "がいい"),
    ("ｶﾞｲ", "がい ガイ"),
    ("手机 iphone", "iPhone手机"),
    ("สวัสดี", "สวัสดีครับ"),
    ("🚀", f"an {ASTRONAUT} flies"),
    ("👩", f"an {ASTRONAUT} flies"),
    ("❤", "I ❤️ tea"),
]
NOT_FOUND = [
    ("ides", "tides"),
    ("a", "and"),
    ("tides night", "two tides a day"),
    ("दी", "हिन्दी"),
    ("मां", "में"),
    ("京東", "東京から京都まで"),
    ("🚀", "rocket"),
    ("phones", "iPhone手机"),
]


@pytest.mark.parametrize(("query", "text"), FOUND)
def test_what_is_found(query: str, text: str):
    assert is_found(query, text)
    assert SearchQuery.of(query).matches(text)


@pytest.mark.parametrize(("query", "text"), NOT_FOUND)
def test_what_is_not_found(query: str, text: str):
    assert not is_found(query, text)
    assert not SearchQuery.of(query).matches(text)


def test_what_is_kept_of_a_text_is_bounded():
    many = terms_in(" ".join(f"w{number:x}" for number in range(5_000)))
    assert len(many) == SEARCHED_TERMS
    assert "end" not in terms_in("word " * (SEARCHED_CHARACTERS // 5) + "end")
    assert terms_in("x" * 500) == ["x" * TERM_MAX_LENGTH]
    assert is_found("x" * 60, "x" * 70)


@pytest.mark.parametrize("text", ["", " \n", "?!…", "\u200b\u202e", "\u0301", "x" * (QUERY_MAX_LENGTH + 1)])
def test_what_nobody_can_look_for(text: str):
    with pytest.raises(InvalidValue) as refused:
        SearchQuery.of(text)
    assert refused.value.field == "q"


# --- Passages ---


def shown(query: str, text: str) -> list[str]:
    """What is marked as a match."""
    passage = SearchQuery.of(query).passage(text)
    return [passage.text[start:end] for start, end in passage.matches]


@pytest.mark.parametrize(
    ("query", "text", "matches"),
    [
        ("tide", "Tides and the tide", ["Tide", "tide"]),
        ("a", "a banana, a day", ["a", "a"]),
        ("creme", "la Cre\u0300me, la crème", ["Cre\u0300me", "crème"]),
        ("京都", "東京から京都まで", ["京都"]),
        ("phone", "iPhone手机Phone", ["Phone"]),
        ("हिन्", "यह हिन्दी है", ["हिन्दी"]),
        ("👩", f"an {ASTRONAUT}", [ASTRONAUT]),
        ("مرحبا", "و مَرْحَبًا بك", ["مَرْحَبًا"]),
        ("strasse", "Lange Straße", ["Straße"]),
        ("zebra", "nothing of it", []),
    ],
)
def test_where_the_matches_are(query: str, text: str, matches: list[str]):
    assert shown(query, text) == matches


@pytest.mark.parametrize(
    ("query", "text", "matches"),
    [
        ("👩 🚀", f"an {ASTRONAUT} flies, a 🚀", [ASTRONAUT, "🚀"]),
        ("株式 会社", "㍿ 会社", ["㍿", "会社"]),
    ],
)
def test_no_match_overlaps_another(query: str, text: str, matches: list[str]):
    assert shown(query, text) == matches


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("🚀", "🚀\u200d" * 4_000),
        ("🇮", "🇮🇳" * 4_000),
        ("🇿", "🇦" * 7_800 + "🇿" * 200),
        ("a", "a" + "\u0301" * 7_999),
        ("क", "क\u094d" * 4_000),
    ],
)
def test_what_a_passage_takes_grows_with_its_text_and_no_faster(monkeypatch: pytest.MonkeyPatch, query: str, text: str):
    compared = 0

    def within(character: str, bounds: tuple[str, str]) -> bool:
        nonlocal compared
        compared += 1
        return bounds[0] <= character <= bounds[1]

    monkeypatch.setattr(graphemes, "_within", within)
    SearchQuery.of(query).passage(text)
    assert compared < 20 * SEARCHED_CHARACTERS


def test_what_is_read_of_characters_that_stand_for_many_is_bounded():
    assert is_found("zz", "\ufdfa" * 1_000 + " zz")
    assert not is_found("zz", "\ufdfa" * (SEARCHED_CHARACTERS - 3) + " zz")
    assert is_found("zz", "각" * (SEARCHED_CHARACTERS - 3) + " zz")


def test_a_passage_is_around_the_first_match_and_on_one_line():
    text = "hay\n" * 1_000 + "the\tneedle\u202e and another needle " + "hay " * 1_000
    passage = SearchQuery.of("needle").passage(text)
    assert passage.text.startswith("…hay hay")
    assert passage.text.endswith("…")
    assert "the needle  and another needle" in passage.text
    assert [passage.text[start:end] for start, end in passage.matches] == ["needle", "needle"]
    assert len(passage.text) <= PASSAGE_LENGTH + 2


def test_a_short_text_is_shown_whole():
    assert SearchQuery.of("tea").passage("Some tea?").text == "Some tea?"
    assert SearchQuery.of("tea").passage("").text == ""


@pytest.mark.parametrize("piece", ["x", "長い", ASTRONAUT, "a\u0301", "क्षि"])
def test_a_passage_takes_no_character_apart(piece: str):
    text = piece * 400 + " needle, " + piece * 400
    passage = SearchQuery.of("needle").passage(text)
    assert passage.text[0] == passage.text[-1] == "…"
    before, after = passage.text[1:-1].split(" needle, ")
    # Of the pieces only 長い is two characters.
    assert before.replace(piece, "") in {"", "い"}
    assert after.replace(piece, "") in {"", "長"}
