"""What errors of providers mean. Bodies are as the providers send them."""

import json
from datetime import timedelta
from typing import Any

import pytest

from adapters.llm.provider_errors import ProviderError
from domain.replies import AnswerFailed, FailureReason

BUSY = FailureReason.MODEL_BUSY
UNREACHABLE = FailureReason.MODEL_UNREACHABLE
REJECTED = FailureReason.MODEL_REJECTED_REQUEST
NOT_FOUND = FailureReason.MODEL_NOT_FOUND
MISCONFIGURED = FailureReason.MODEL_MISCONFIGURED
TOO_LONG = FailureReason.PROMPT_TOO_LONG
INTERRUPTED = FailureReason.ANSWER_INTERRUPTED
REFUSED = FailureReason.REFUSED


def failure(status: int, body: Any = None, headers: dict[str, str] | None = None) -> AnswerFailed:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderError.of_response(status, text, headers or {}).failure()


def google(message: str = "", status: str = "INVALID_ARGUMENT", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": 400, "message": message, "status": status, "details": list(details)}}


def openai(message: str = "", code: Any = None, type: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def quota(*names: str) -> dict[str, Any]:
    violations = [{"quotaMetric": "requests", "quotaId": name} for name in names]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def retry_info(delay: Any) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, REJECTED),
        (400, REJECTED),
        (401, MISCONFIGURED),
        (402, MISCONFIGURED),
        (403, MISCONFIGURED),
        (404, NOT_FOUND),
        (408, UNREACHABLE),
        (413, TOO_LONG),
        (422, REJECTED),
        (429, BUSY),
        (498, BUSY),
        (499, INTERRUPTED),
        (500, UNREACHABLE),
        (502, UNREACHABLE),
        (503, BUSY),
        (504, UNREACHABLE),
        (529, BUSY),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"5", b'{"error": 5}', b'{"error": {"code": {}, "details": [3]}}']
)
def test_a_status_alone(status: int, reason: FailureReason, body: bytes):
    failed = failure(status, body)
    assert (failed.reason, failed.status, failed.code) == (reason, status, None)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, google("API key not valid.", "INVALID_ARGUMENT", info("API_KEY_INVALID")), MISCONFIGURED),
        (400, google("API key expired. Please renew the API key."), MISCONFIGURED),
        (403, google("Your API key was reported as leaked.", "PERMISSION_DENIED"), MISCONFIGURED),
        (400, google("User location is not supported for the API use.", "FAILED_PRECONDITION"), MISCONFIGURED),
        (403, google("Disabled.", "PERMISSION_DENIED", info("SERVICE_DISABLED")), MISCONFIGURED),
        (401, openai("Incorrect API key provided.", "invalid_api_key"), MISCONFIGURED),
        (429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"), MISCONFIGURED),
        (400, openai("Your credit balance is too low."), MISCONFIGURED),
        (403, openai("Unsupported.", "unsupported_country_region_territory"), MISCONFIGURED),
    ],
)
def test_the_operators_fault(status: int, body: Any, reason: FailureReason):
    assert failure(status, body).reason is reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded")),
        (400, {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400}),
        (400, google("The input token count (9) exceeds the maximum number of tokens allowed (8).")),
        (400, openai("the request exceeds the available context size", 400, "exceed_context_size_error")),
        (400, openai("prompt is too long: 210000 tokens > 200000 maximum")),
        (400, openai("The input (9 tokens) is longer than the model's context length (8 tokens).", 400)),
        (400, openai("This model's maximum prompt length is 131072 but the request contains 200000 tokens.")),
        (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"}),
        (413, openai("Request too large for model: tokens per minute", "rate_limit_exceeded", "tokens")),
        (413, b"<html>413 Request Entity Too Large"),
    ],
)
def test_a_prompt_that_is_too_long(status: int, body: Any):
    assert failure(status, body).reason is TOO_LONG


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (499, google("The operation was cancelled.", "CANCELLED"), INTERRUPTED),
        (500, openai("Overloaded", None, "overloaded_error"), BUSY),
        (429, openai("Rate limit reached for tokens; reduce the length", "rate_limit_exceeded"), BUSY),
        (404, openai("no context window for that", "model_not_found"), NOT_FOUND),
        (400, openai("The model has been decommissioned.", "model_decommissioned"), NOT_FOUND),
        (400, openai("The response was filtered.", "content_filter"), REFUSED),
        (403, {"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "…"}}}, REFUSED),
        (400, [google("API key not valid.", "INVALID_ARGUMENT", info("API_KEY_INVALID"))], MISCONFIGURED),
        (400, {"error": "model requires more system memory"}, REJECTED),
    ],
)
def test_other_errors(status: int, body: Any, reason: FailureReason):
    assert failure(status, body).reason is reason


@pytest.mark.parametrize(
    ("body", "spent", "wish"),
    [
        (google("", "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerMinutePerProject"), retry_info("18s")), False, 18),
        (google("", "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProject"), retry_info("18s")), True, 18),
        (google("", "RESOURCE_EXHAUSTED", quota("PerMinute", "GenerateRequestsPerDayPerModel")), True, None),
        (google("Quota exceeded, limit: 0, model: x", "RESOURCE_EXHAUSTED", retry_info("18s")), True, None),
        (google("Quota exceeded, limit: 05", "RESOURCE_EXHAUSTED", retry_info("18s")), False, 18),
        (openai("Rate limit reached on tokens per day (TPD): Limit 100000", "rate_limit_exceeded"), True, None),
        (openai("Rate limit exceeded: free-models-per-day", 429), True, None),
        (openai("Rate limit reached", "rate_limit_exceeded"), False, None),
    ],
)
def test_a_quota_of_a_day(body: Any, spent: bool, wish: float | None):
    failed = failure(429, body)
    assert (failed.reason, failed.quota_spent) == (BUSY, spent)
    assert failed.retry_after == (None if wish is None else timedelta(seconds=wish))


@pytest.mark.parametrize(
    ("body", "delay"),
    [
        (google("", "X", retry_info("3.25s")), 3.25),
        (google("", "X", retry_info("3.25s"))["error"], 3.25),
        (google("", "X", retry_info("9" * 99 + "s")), 7.0),
        (google("", "X", retry_info(None)), 7.0),
        ({"error": {"details": "none"}}, 7.0),
        ({"error": []}, 7.0),
    ],
)
def test_retry_info_goes_before_the_header(body: Any, delay: float):
    assert failure(503, body, {"Retry-After": "7"}).retry_after == timedelta(seconds=delay)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (google("x", "INVALID_ARGUMENT", info("API_KEY_INVALID")), "API_KEY_INVALID INVALID_ARGUMENT"),
        (openai("x", "context_length_exceeded"), "context_length_exceeded invalid_request_error"),
        (openai("x", "You said: my secret", "also a secret"), None),
        (openai("x", "s" * 65, "\u0441\u0435\u043a\u0440\u0435\u0442"), None),
    ],
)
def test_only_words_of_machines_are_kept_for_the_operator(body: Any, code: str | None):
    failed = failure(400, body)
    assert failed.code == code
    assert "secret" not in repr(failed)


@pytest.mark.parametrize(
    ("error", "begun", "reason"),
    [
        ({"error": {"code": 503, "message": "x"}}, False, BUSY),
        ({"error": {"code": 503, "message": "x"}}, True, UNREACHABLE),
        ({"error": {"code": 400, "message": "x"}}, True, UNREACHABLE),
        ({"error": {"code": 499, "status": "CANCELLED"}}, True, INTERRUPTED),
        ({"error": {"code": "content_filter"}}, True, REFUSED),
        ({"error": "a sentence"}, False, UNREACHABLE),
        ({"error": {"code": "server_error"}}, False, UNREACHABLE),
        ({"error": openai("This model's maximum context length is 8 tokens.")["error"]}, False, TOO_LONG),
    ],
)
def test_an_error_in_the_stream(error: Any, begun: bool, reason: FailureReason):
    assert ProviderError.of_stream(error).failure(begun=begun).reason is reason
