"""What errors of a provider mean: a reason to fail, and when to try again."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from domain.replies import AnswerFailed, FailureReason

# At most nine digits: that is thirty years, and a timedelta has a maximum.
SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
REASONS = {
    404: FailureReason.MODEL_NOT_FOUND,
    408: FailureReason.MODEL_UNREACHABLE,
    429: FailureReason.MODEL_BUSY,
    503: FailureReason.MODEL_BUSY,
}
FIRST_SERVER_ERROR = 500


def reason_of(status: int) -> FailureReason:
    """The reason for which an answer fails when the provider responds with this HTTP status.

    Sources: ai.google.dev/gemini-api/docs/troubleshooting, developers.openai.com/api/docs/guides/error-codes.
    """
    if status in REASONS:
        return REASONS[status]
    if status >= FIRST_SERVER_ERROR:
        return FailureReason.MODEL_UNREACHABLE
    return FailureReason.MODEL_REJECTED_REQUEST


@contextmanager
def failures_name(model: str) -> Iterator[None]:
    """Failures say which model was asked."""
    try:
        yield
    except AnswerFailed as failure:
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


def retry_info(body: Any) -> timedelta | None:
    """The delay of a google.rpc.RetryInfo among the details of Google's errors (google.aip.dev/193)."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and str(detail.get("@type")).endswith("RetryInfo"):
            delay = str(detail.get("retryDelay")).removesuffix("s")
            if SECONDS.fullmatch(delay):
                return timedelta(seconds=float(delay))
    return None
