"""What is let in as JSON, and what is not."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from entrypoints.api.body import MAX_DEPTH, MAX_DIGITS, MalformedJson, load_json

# How long an example takes is not what is tested.
ON_A_BUSY_MACHINE = settings(suppress_health_check=[HealthCheck.too_slow])

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10 ** (MAX_DIGITS - 1)) + 1, 10**MAX_DIGITS - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)

# Chunks out of which something like JSON comes about more often than out of any bytes.
PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", ":", ",", '"', "\\", " ", "\n", "\0", "é", "\ufeff", "[" * 40, "]" * 40, '{"a":', "[1,"),
        *("\\u0000", "\\ud800", "\\udc00", "\\u00e9", '"a"', "null", "true", "NaN", "Infinity", "-Infinity"),
        *("0", "-", "9" * 20, ".", "e", "e999"),
    ]
)


@ON_A_BUSY_MACHINE
@given(value=VALUES, ascii_only=st.booleans(), indent=st.none() | st.just(2))
def test_any_value_within_the_limits_comes_through_unchanged(value: Any, ascii_only: bool, indent: int | None):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    loaded = load_json(text.encode())
    assert loaded == value
    assert json.dumps(loaded) == json.dumps(value)  # True is not 1, and 1 is not 1.0


@ON_A_BUSY_MACHINE
@given(st.binary() | st.lists(PIECES).map(lambda chunks: "".join(chunks).encode()))
@example(b"")
@example(b"\xff")
@example(b"\xef\xbb\xbf{}")
@example("{}".encode("utf-16"))
@example(b'"\\')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_anything_else_is_malformed_and_never_an_accident(body: bytes):
    try:
        value = load_json(body)
    except MalformedJson:
        return
    # What is let in can be stored: UTF-8 without NUL.
    stored = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert stored.encode()
    assert "\\u0000" not in stored.replace("\\\\", "")


@pytest.mark.parametrize(
    "body",
    [
        "[" * 1_000 + "]" * 1_000,
        '{"a":' * 1_000 + "1" + "}" * 1_000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "1" * 5_000,
        "-" + "1" * 5_000,
        "0." + "1" * 5_000,
        '{"n": ' + "1" * (MAX_DIGITS + 1) + "}",
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        '[{"n": -Infinity}]',
        r'"\u0000"',
        r'{"a\u0000": 1}',
        r'["a", {"b": "c\u0000"}]',
        r'"\ud800"',
        r'"\udc00\ud800"',
        r'{"\udfff": 1}',
        '{"a": 1, "a": 1}',
        r'{"a": 1, "\u0061": 2}',
        '[{"b": {"a": 1, "c": 2, "a": 3}}]',
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1} {}',
        "// no\n1",
        '"a\nb"',
    ],
)
def test_what_would_trouble_anybody_behind_it_is_refused(body: str):
    with pytest.raises(MalformedJson):
        load_json(body.encode())


def test_a_surrogate_half_in_raw_bytes_is_refused():
    with pytest.raises(MalformedJson):
        load_json('"\ud800"'.encode("utf-8", "surrogatepass"))


def test_the_limits_themselves_are_let_in():
    assert load_json(b"9" * MAX_DIGITS) == 10**MAX_DIGITS - 1
    deepest = load_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        [deepest] = deepest
    assert deepest == []


def test_a_whole_surrogate_pair_is_one_character():
    assert load_json(rb'"\ud83d\ude4f"') == "🙏"


def test_the_refusal_does_not_quote_what_it_refuses():
    for body in (b'{"password": "hunter2"', b'{"hunter2": 1, "hunter2": 2}', b'"hunter2\\u0000"', b"hunter2"):
        with pytest.raises(MalformedJson) as refused:
            load_json(body)
        assert "hunter2" not in str(refused.value)
        assert refused.value.__cause__ is None
