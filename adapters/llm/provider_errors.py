"""What errors of a provider mean: a reason to fail, and when to try again.

Sources: ai.google.dev/gemini-api/docs/troubleshooting, google.aip.dev/193, developers.openai.com/api/docs/guides/
error-codes, openrouter.ai/docs/api-reference/errors; docs/providers.md has the tables.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from application.ports.language_model import AnswerStopped
from domain.replies import AnswerFailed, FailureReason

# At most nine digits: that is thirty years, and a timedelta has a maximum.
SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
MACHINE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MOST_WORDS = 6
FIRST_SERVER_ERROR = 500

REASONS = {
    401: FailureReason.MODEL_MISCONFIGURED,
    402: FailureReason.MODEL_MISCONFIGURED,
    403: FailureReason.MODEL_MISCONFIGURED,
    404: FailureReason.MODEL_NOT_FOUND,
    408: FailureReason.MODEL_UNREACHABLE,
    413: FailureReason.PROMPT_TOO_LONG,
    429: FailureReason.MODEL_BUSY,
    498: FailureReason.MODEL_BUSY,  # Groq: no capacity
    499: FailureReason.ANSWER_INTERRUPTED,  # Google: cancelled
    503: FailureReason.MODEL_BUSY,
    529: FailureReason.MODEL_BUSY,  # overloaded
}

# Of google.rpc.Code, google.rpc.ErrorInfo.reason, and OpenAI's `code` and `type`, in small letters. They go before the
# status: many servers answer everything with 400.
WORDS = {
    FailureReason.MODEL_MISCONFIGURED: (
        "unauthenticated",
        "permission_denied",
        "failed_precondition",  # the location is not supported, or there is no billing
        "api_key_invalid",
        "api_key_service_blocked",
        "api_key_http_referrer_blocked",
        "api_key_ip_address_blocked",
        "service_disabled",
        "billing_disabled",
        "consumer_invalid",
        "consumer_suspended",
        "invalid_api_key",
        "authentication_error",
        "permission_error",
        "insufficient_quota",
        "exceeded_current_quota_error",
        "insufficient_balance",
        "insufficient_credits",
        "billing_not_active",
        "billing_hard_limit_reached",
        "account_deactivated",
        "unsupported_country_region_territory",
    ),
    FailureReason.PROMPT_TOO_LONG: (
        "context_length_exceeded",
        "exceed_context_size_error",
        "model_max_prompt_tokens_exceeded",
        "tokens_limit_reached",
        "string_above_max_length",
        "request_too_large",
    ),
    FailureReason.REFUSED: ("content_filter", "content_policy_violation", "responsibleaipolicyviolation"),
    FailureReason.MODEL_NOT_FOUND: ("model_not_found", "model_not_available", "model_decommissioned"),
    FailureReason.MODEL_BUSY: (
        "resource_exhausted",
        "unavailable",
        "rate_limit_exceeded",
        "rate_limit_error",
        "overloaded",
        "overloaded_error",
        "engine_overloaded_error",
        "server_overloaded",
    ),
    FailureReason.ANSWER_INTERRUPTED: ("cancelled", "aborted"),
}
REASON_BY_WORD = {word: reason for reason, words in WORDS.items() for word in words}

# Of providers that have no word for it. Only requests that were not accepted are looked at.
TOO_LONG = re.compile(
    r"context (?:length|window|size)|maximum number of tokens|maximum prompt length|prompt (?:is too long|exceeds)"
    r"|too many (?:input )?tokens|input is too long|longer than the model|reduce the length|max_new_tokens",
    re.IGNORECASE,
)
MISCONFIGURED = re.compile(r"api key (?:not valid|expired)|location is not supported|credit balance", re.IGNORECASE)
# A request that is too long is none of these.
NOT_ABOUT_LENGTH = frozenset({404, 408, 429, 499, 503, 529})

PER_DAY = re.compile(r"per[-_ ]?day|\b[RT]PD\b", re.IGNORECASE)
NO_QUOTA = re.compile(r"\blimit: 0\b")


@dataclass(frozen=True, slots=True)
class ProviderError:
    """``words``: what machines are to read. ``message`` and ``body`` may quote the prompt: they are searched, and go
    nowhere.
    """

    status: int | None
    words: tuple[str, ...] = ()
    message: str = ""
    body: str = ""
    quotas: tuple[str, ...] = ()
    retry_after: timedelta | None = None

    @classmethod
    def of_response(cls, status: int, body: bytes, headers: Mapping[str, str]) -> "ProviderError":
        """The error in a response that has this status."""
        try:
            error = _error_in(orjson.loads(body))
        except ValueError:
            error = {}
        return cls._of(status, error, body.decode("utf-8", "replace"), retry_after(headers))

    @classmethod
    def of_stream(cls, error: Any) -> "ProviderError":
        """An error that came in the place of an answer, after a status of 200."""
        error = _error_in(error)
        status = error.get("code")
        return cls._of(status if type(status) is int else None, error, "", None)

    @classmethod
    def _of(cls, status: int | None, error: dict[str, Any], body: str, wish: timedelta | None) -> "ProviderError":
        details = _dictionaries_in(error.get("details"))
        violations = [one for detail in details for one in _dictionaries_in(detail.get("violations"))]
        metadata = error.get("metadata")
        words = [
            *(detail.get("reason") for detail in details),
            *(error.get(name) for name in ("code", "status", "type")),
        ]
        if isinstance(metadata, dict) and "flagged_input" in metadata:
            words.insert(0, "content_filter")  # OpenRouter's 403 for what its moderation has flagged
        message = error.get("message", error.get("detail"))
        return cls(
            status,
            words=tuple(word for value in words if (word := machine_word(value)))[:MOST_WORDS],
            message=message if isinstance(message, str) else "",
            body=body,
            quotas=tuple(str(one.get("quotaId")) for one in violations),
            retry_after=_retry_info(details) or wish,
        )

    @property
    def reason(self) -> FailureReason:
        """Why an answer fails when the provider says this instead."""
        if self.status == 413:  # the words of some are those of a rate limit
            return FailureReason.PROMPT_TOO_LONG
        for word in self.words:
            if word.lower() in REASON_BY_WORD:
                return REASON_BY_WORD[word.lower()]
        if self.status not in NOT_ABOUT_LENGTH and TOO_LONG.search(self.message):
            return FailureReason.PROMPT_TOO_LONG
        if MISCONFIGURED.search(self.message):
            return FailureReason.MODEL_MISCONFIGURED
        return reason_of(self.status)

    def failure(self, *, begun: bool = False) -> AnswerFailed:
        """The failure of the answer. ``begun``: some of it had come; then the error is not about the request, which had
        been accepted.
        """
        reason = self.reason
        if begun and reason not in {FailureReason.REFUSED, FailureReason.ANSWER_INTERRUPTED}:
            reason = FailureReason.MODEL_UNREACHABLE
        busy = reason is FailureReason.MODEL_BUSY
        no_quota = busy and NO_QUOTA.search(self.message) is not None
        return AnswerFailed(
            reason,
            retry_after=None if no_quota else self.retry_after,
            quota_spent=no_quota or (busy and any(map(PER_DAY.search, (*self.quotas, self.message)))),
            status=self.status,
            code=" ".join(self.words) or None,
        )


def reason_of(status: int | None) -> FailureReason:
    """The reason for which an answer fails when the provider says no more than this HTTP status."""
    if status in REASONS:
        return REASONS[status]
    if status is None or status >= FIRST_SERVER_ERROR:
        return FailureReason.MODEL_UNREACHABLE
    return FailureReason.MODEL_REJECTED_REQUEST


def machine_word(value: Any) -> str | None:
    """``value`` when it may go into a log; None for a sentence, which might quote the prompt."""
    return value if isinstance(value, str) and MACHINE_WORD.fullmatch(value) else None


@contextmanager
def failures_name(model: str) -> Iterator[None]:
    """Failures and stopped answers say which model was asked."""
    try:
        yield
    except (AnswerFailed, AnswerStopped) as failure:
        failure.model = model
        raise


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The Retry-After header: seconds or a date (RFC 9110, 10.2.3). None when it is missing or neither."""
    value = headers.get("Retry-After", "").strip()
    if SECONDS.fullmatch(value):
        return timedelta(seconds=float(value))
    try:
        moment = parsedate_to_datetime(value)
        return max(moment.astimezone(UTC) - datetime.now(UTC), timedelta())
    except (ValueError, OverflowError):
        return None


def _retry_info(details: list[dict[str, Any]]) -> timedelta | None:
    """The delay of a google.rpc.RetryInfo."""
    for detail in details:
        if str(detail.get("@type")).endswith("RetryInfo"):
            delay = str(detail.get("retryDelay")).removesuffix("s")
            if SECONDS.fullmatch(delay):
                return timedelta(seconds=float(delay))
    return None


def _error_in(value: Any) -> dict[str, Any]:
    """The error as each provider wraps it: in `error`, alone, in a list, or as a sentence."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict) and "error" in value:
        value = value["error"]
    if isinstance(value, str):
        return {"message": value}
    return value if isinstance(value, dict) else {}


def _dictionaries_in(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
