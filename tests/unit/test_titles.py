"""What a chatroom is called after its first prompt."""

import unicodedata

import pytest

from domain.titles import TITLE_MAX_LENGTH, title_of

ASTRONAUT = "👩🏽\u200d🚀"
WALES = "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("  \n\n tea \t or   coffee \n", "tea or coffee"),
        ("Why is the sky blue? Be brief.", "Why is the sky blue?"),
        ("Hi! Can you help me? I am lost.", "Hi! Can you help me?"),
        ("Explain what Dr. Who is about. Then more.", "Explain what Dr. Who is about"),
        ("Is 3.5 more than 3.45 in versions?", "Is 3.5 more than 3.45 in versions?"),
        ("Summarise this:\n\nA long text.", "Summarise this"),
        ("東京から京都まで新幹線でどのくらいですか。教えてください。", "東京から京都まで新幹線でどのくらいですか"),
        ("दिल्ली में एक दिन कैसे बिताऊँ? और क्या देखूँ?", "दिल्ली में एक दिन कैसे बिताऊँ?"),
        ("यह एक लंबा वाक्य है। यह दूसरा है।", "यह एक लंबा वाक्य है"),
        ("مرحبا، كيف حالك؟ أريد أن أسأل", "مرحبا، كيف حالك؟"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_the_first_sentence_of_the_first_line(prompt: str, title: str):
    assert title_of(prompt) == title


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("# Plan\n\nfor tomorrow", "Plan"),
        ("---\n## **Now** or *never*", "Now or never"),
        ("> - [ ] `make` the [cake](https://example.org/x 'y') ~~now~~", "make the cake now"),
        ("```python\nprint(1)\n```\nWhy?", "print(1)"),
        ("![a diagram](diagram.png) of what?", "a diagram of what?"),
        ("2 * 3 * 4 and 2**3", "2 * 3 * 4 and 2**3"),
        ("snake_case and __init__", "snake_case and __init__"),
    ],
)
def test_without_markdown(prompt: str, title: str):
    assert title_of(prompt) == title


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("\u202eevil\u202c\u2066 text\u2069", "evil text"),
        ("a\x00b\x1b[31mc\x85d", "ab[31mc"),
        ("\ufeffa\u200bb\u00adc", "abc"),
        ("\ud800x", "x"),
        ("???", "???"),
        ("\n```\n***", "***"),
        ("👍", "👍"),
        (f"{WALES} {ASTRONAUT}", f"{WALES} {ASTRONAUT}"),
        ("\u202e\u200b", ""),
        ("\u200d \u200c", ""),
        ("\U000e0067\n!", "!"),
        ("\x00\x01", ""),
        ("", ""),
    ],
)
def test_only_what_can_be_seen(prompt: str, title: str):
    assert title_of(prompt) == title


def test_a_long_one_is_cut_between_words():
    title = title_of("Tell me " + "everything there is to know about the tides of the northern seas" * 20)
    assert title == "Tell me everything there is to know about the tides of the…"


@pytest.mark.parametrize("text", ["x", "長い", ASTRONAUT, WALES, "🇮🇳", "a\u0301", "क्षि", "ครั้", "하"])
def test_one_without_spaces_is_cut_between_characters(text: str):
    title = title_of(text * 100)
    assert len(title) <= TITLE_MAX_LENGTH
    assert title.endswith("…")
    whole, rest = divmod(len(title) - 1, len(text))
    assert rest == 0 or text in {"長い", "ครั้"}
    assert (text * (whole + 1)).startswith(title[:-1])
    assert unicodedata.category((text * (whole + 1))[len(title) - 1])[0] != "M"


@pytest.mark.parametrize(
    "text", ["[" * 500, "**a " * 200, "a." * 300, "`" * 499 + "a", "[a](" * 200, "> " * 300, "\u0301" * 300]
)
def test_whatever_it_is_the_title_is_short(text: str):
    assert len(title_of(text)) <= TITLE_MAX_LENGTH
