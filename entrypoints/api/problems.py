"""Errors as problem+json (RFC 9457): `type`, `title`, `status`, `detail`, `code`, `requestId` and the error's facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import marshmallow as ma
import structlog
from flask import Flask, Response, request
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from domain import errors
from domain.errors import DomainError, InvalidValue
from domain.languages import DEFAULT_LANGUAGE
from entrypoints.api.idempotency import IdempotencyKeyNotSupported
from entrypoints.api.languages import in_language, language, texts
from entrypoints.api.problem_bodies import problem_body
from entrypoints.api.problem_registry import CODE_OF_STATUS, PROBLEM_JSON, PROBLEMS
from entrypoints.api.request_id import request_id
from entrypoints.api.responses import rate_limit_headers, seconds_until, to_json
from entrypoints.api.schemas import Schema, camel_case, described
from entrypoints.api.waiting import TooManyWaiting

# Exceptions of werkzeug with a code of their own.
OWN_PROBLEMS = (IdempotencyKeyNotSupported, TooManyWaiting)

# Headers of werkzeug's exceptions that are kept, in lower case.
KEPT_HEADERS = frozenset({"allow", "retry-after", "location"})

# Named in daily_quota_exceeded.
UPGRADE_PATH = "/subscribe/pro"

log = structlog.get_logger(__name__)


class ProblemSchema(Schema):
    """RFC 9457. Which of the further members there are depends on ``code``."""

    type = ma.fields.String(
        required=True, metadata=described("Relative URL of a page that explains it; `/problems` lists all")
    )
    title = ma.fields.String(required=True, metadata=described("What happened, in the language of `Content-Language`"))
    status = ma.fields.Integer(required=True, metadata=described("The HTTP status"))
    detail = ma.fields.String(metadata=described("What happened this time, where more can be said"))
    code = ma.fields.String(
        required=True, metadata=described("Stable, for programs. Take a code that you do not know by its status")
    )
    request_id = ma.fields.String(required=True, metadata=described("Under it the log of the service has more"))
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.String()),
        metadata=described("What is wrong, by field, in English"),
    )
    attempts_left = ma.fields.Integer(metadata=described("Wrong codes until the one-time password is void"))
    limit = ma.fields.Integer(metadata=described("As many are allowed"))
    used = ma.fields.Integer(metadata=described("Prompts that were used today"))
    resets_at = ma.fields.AwareDateTime(metadata=described("When the day's prompts come back"))
    upgrade = ma.fields.String(metadata=described("Path to buy a plan without the limit"))
    portal_url = ma.fields.String(allow_none=True, metadata=described("Where to manage the subscription"))
    policy = ma.fields.String(metadata=described("Name of the limit"))
    window = ma.fields.Integer(metadata=described("Seconds over which the limit counts"))
    retry_after = ma.fields.Integer(metadata=described("Seconds to wait, as in `Retry-After`"))
    dependency = ma.fields.String(metadata=described("The part of the service that does not answer"))


class ProblemApi(Api):
    """flask-smorest whose errors are problems."""

    ERROR_SCHEMA = ProblemSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Called for exceptions of werkzeug and webargs."""
        return http_problem(error)

    def _register_responses(self) -> None:
        """openapi.py documents the responses that are problems."""
        self.spec.components.response("DEFAULT_ERROR", {"description": "A problem"}, lazy=True)
        self.spec.components.schema("Problem", schema=ProblemSchema)

    def _register_pagination_header(self) -> None:
        """Nothing: it would be an unused component."""


def register_problems(app: Flask) -> None:
    """Make a problem of every DomainError and of every unexpected exception."""
    app.register_error_handler(DomainError, domain_problem)
    app.register_error_handler(Exception, unexpected_problem)


def problem(
    code: str,
    *,
    status: int | None = None,
    wait: int | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem of the registry, in the language of the request.

    ``status`` replaces that of the registry. ``wait``: seconds until a later try, for the detail.
    """
    kind = PROBLEMS[code]
    if status is not None:
        members["status"] = status
    body = problem_body(kind, members, texts(), request_id=request_id(), wait=wait)
    return in_language(Response(to_json(body), body["status"], headers, content_type=PROBLEM_JSON))


def refusal_problem(status: int) -> Response:
    """For a request that the server refused by itself: it did not arrive as one, or there is no room for it now."""
    if status == 503:
        return problem("too_busy", wait=1, headers={"Retry-After": "1"}, retryAfter=1)
    return problem(CODE_OF_STATUS[status])


def domain_problem(error: DomainError) -> Response:
    if isinstance(error, InvalidValue):
        return problem(error.code, errors={error.field: [error.reason]})
    facts: dict[str, Any] = {camel_case(name): value for name, value in error.facts().items()}
    headers = {}
    wait = _seconds_to_wait(error)
    if wait is not None:
        headers["Retry-After"] = str(wait)
    if isinstance(error, errors.QuotaExhausted):
        facts["upgrade"] = UPGRADE_PATH
        headers |= rate_limit_headers(limit=error.limit, remaining=0, resets_at=error.resets_at)
    if isinstance(error, errors.RateLimited):
        headers |= {
            "RateLimit-Policy": f'"{error.policy}";q={error.limit};w={error.window}',
            "RateLimit": f'"{error.policy}";r=0;t={error.retry_after}',
        }
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(error.code, wait=wait, headers=headers, **facts)


def http_problem(error: HTTPException) -> Response:
    if error.response is not None and isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    code = error.code_of_problem if isinstance(error, OWN_PROBLEMS) else CODE_OF_STATUS.get(status)
    headers = {name: value for name, value in error.get_headers() if name.lower() in KEPT_HEADERS}
    members: dict[str, Any] = {}
    data = getattr(error, "data", None) or {}
    if "detail" in data:
        members["detail"] = data["detail"]
    if "messages" in data:
        members["errors"] = _by_field(data["messages"])
    if code is None:
        if language() is DEFAULT_LANGUAGE:
            members["title"] = error.name
        return problem("bad_request", status=status, headers=headers, **members)
    return problem(code, headers=headers, **members)


def unexpected_problem(error: Exception) -> Response:
    """A 500 that tells the client nothing but the request id, under which the log has the exception."""
    if isinstance(error, HTTPException):
        return http_problem(error)
    log.error("unforeseen_error", route=request.url_rule.rule if request.url_rule else None, exc_info=error)
    return problem("internal_error")


def _seconds_to_wait(error: DomainError) -> int | None:
    facts = error.facts()
    if isinstance(retry_after := facts.get("retry_after"), int):
        return retry_after
    if isinstance(resets_at := facts.get("resets_at"), datetime):
        return seconds_until(resets_at)
    return None


def _by_field(messages: Any) -> dict[str, list[str]]:
    """The messages of webargs by location, flattened to dotted field names."""
    found: dict[str, list[str]] = {}

    def walk(path: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, child in node.items():
                walk(f"{path}.{key}" if path else str(key), child)
        else:
            found[path or "body"] = [str(line) for line in node]

    for location in messages.values() if isinstance(messages, dict) else [messages]:
        walk("", location)
    return {("body" if name == "_schema" else name): lines for name, lines in found.items()}
