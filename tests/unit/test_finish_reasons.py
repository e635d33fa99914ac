"""What finish reasons mean."""

from typing import Any

import pytest

from adapters.llm.finish_reasons import Ending, ending_of

DONE: list[Any] = [
    "STOP",
    "stop",
    "eos",
    "eos_token",
    "end_turn",
    "stop_sequence",
    "COMPLETE",
    "completed",
    " Stop ",
    1,
]
TRUNCATED: list[Any] = ["MAX_TOKENS", "length", "model_length", "max_output_tokens", "CONTINUATION", 2]
REFUSED: list[Any] = [
    "SAFETY",
    "safety",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "content_filter",
    "content-filter",
    "refusal",
    3,
    4,
    6,
    7,
    8,
    9,
    11,
]
BROKEN: list[Any] = [
    "OTHER",
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "UNEXPECTED_TOOL_CALL",
    "error",
    "abort",
    "cancelled",
    "interrupted",
    "overloaded",
    "insufficient_system_resource",
    "tool_calls",
    "function_call",
    "whatever comes next",
    5,
    10,
    12,
    -1,
    99,
]
NOT_FINISHED: list[Any] = [None, "", "null", "FINISH_REASON_UNSPECIFIED", 0]
ENDINGS: dict[Ending | None, list[Any]] = {
    Ending.DONE: DONE,
    Ending.TRUNCATED: TRUNCATED,
    Ending.REFUSED: REFUSED,
    Ending.BROKEN: BROKEN,
    None: NOT_FINISHED,
}


@pytest.mark.parametrize(
    ("reason", "ending"), [(reason, ending) for ending, reasons in ENDINGS.items() for reason in reasons]
)
def test_how_an_answer_ended(reason: Any, ending: Ending | None):
    assert ending_of(reason) is ending


@pytest.mark.parametrize("reason", [["STOP"], {}, True, 1.0])
def test_what_is_no_reason(reason: Any):
    with pytest.raises(TypeError):
        ending_of(reason)
