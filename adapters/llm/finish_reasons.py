"""What the finish reasons of all providers mean.

Sources: ai.google.dev/api/generate-content#FinishReason; `finish_reason` in developers.openai.com/api/reference/
resources/chat, docs.mistral.ai/api, openrouter.ai/docs/api-reference/overview, and docs/providers.md.
"""

from enum import Enum, auto
from typing import Any

from domain.replies import AnswerFailed, FailureReason


class Ending(Enum):
    """How an answer ended. BROKEN: the provider broke it off, and may not do so the next time."""

    DONE = auto()
    TRUNCATED = auto()
    REFUSED = auto()
    BROKEN = auto()


DONE = ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed")
# CONTINUATION offers more text for another request, which would have to be paid for.
TRUNCATED = ("max_tokens", "length", "model_length", "max_output_tokens", "continuation")
REFUSED = (
    "safety",
    "recitation",
    "language",
    "blocklist",
    "prohibited_content",
    "spii",
    "image_safety",
    "image_prohibited_content",
    "image_recitation",
    "content_filter",
    "refusal",
)
ENDINGS = {
    **dict.fromkeys(DONE, Ending.DONE),
    **dict.fromkeys(TRUNCATED, Ending.TRUNCATED),
    **dict.fromkeys(REFUSED, Ending.REFUSED),
}
# Reasons that say that the answer goes on.
NOT_FINISHED = ("", "null", "finish_reason_unspecified")
# Google's numbers from 0, where a server writes the enumeration as one. Those that are not listed are BROKEN.
NUMBERS = (
    "finish_reason_unspecified",
    "stop",
    "max_tokens",
    "safety",
    "recitation",
    "other",
    "language",
    "blocklist",
    "prohibited_content",
    "spii",
    "malformed_function_call",
    "image_safety",
)

FAILURES = {
    Ending.REFUSED: FailureReason.REFUSED,
    Ending.BROKEN: FailureReason.ANSWER_INTERRUPTED,
    # The connection was lost before the end.
    None: FailureReason.MODEL_UNREACHABLE,
}


def ending_of(reason: Any) -> Ending | None:
    """None while the answer goes on. A reason that is not known is no good end. TypeError for what is no reason."""
    word = word_of(reason)
    return None if word in NOT_FINISHED else ENDINGS.get(word, Ending.BROKEN)


def word_of(reason: Any) -> str:
    """The finish reason as the tables above spell it."""
    if reason is None:
        return ""
    if type(reason) is int:
        return NUMBERS[reason] if 0 <= reason < len(NUMBERS) else "unknown"
    if not isinstance(reason, str):
        raise TypeError("not a finish reason")
    return reason.strip().lower().replace("-", "_")


def failure_by(ending: Ending | None, code: str | None = None) -> AnswerFailed | None:
    """Why there is no answer after this ending; None for those that leave one."""
    reason = FAILURES.get(ending)
    return AnswerFailed(reason, code=code) if reason else None
