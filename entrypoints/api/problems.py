"""Errors as problem+json (RFC 9457): `type`, `title`, `status`, `detail`, `code`, `requestId` and the error's facts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import marshmallow as ma
import structlog
from flask import Flask, Response
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from domain import errors
from domain.errors import DomainError, InvalidValue
from entrypoints.api.idempotency import IdempotencyKeyNotSupported
from entrypoints.api.request_id import request_id
from entrypoints.api.responses import rate_limit_headers, seconds_until, to_json
from entrypoints.api.schemas import Schema, camel_case
from entrypoints.api.waiting import TooManyWaiting

PROBLEM_JSON = "application/problem+json"

STATUS_OF_KIND: Mapping[type[DomainError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooMuch: 429,
    errors.Unavailable: 503,
}

# Code and title by status of errors of HTTP itself. Every other exception of werkzeug is a bad_request.
HTTP_PROBLEMS = {
    400: ("bad_request", "The request cannot be understood"),
    404: ("not_found", "There is nothing here"),
    405: ("method_not_allowed", "Not with this method"),
    408: ("request_timeout", "The request took too long to arrive"),
    413: ("payload_too_large", "The body is too large"),
    415: ("unsupported_media_type", "The body must be application/json"),
    422: (InvalidValue.code, InvalidValue.title),
    431: ("headers_too_large", "The headers are too large"),
    500: ("internal_error", "Something went wrong on our side"),
    503: ("unavailable", "Not available at the moment"),
}

# Exceptions of werkzeug with a code and a title of their own.
OWN_PROBLEMS = (IdempotencyKeyNotSupported, TooManyWaiting)

# Headers of werkzeug's exceptions that are kept, in lower case.
KEPT_HEADERS = frozenset({"allow", "retry-after", "location"})

# Named in daily_quota_exceeded.
UPGRADE_PATH = "/subscribe/pro"

log = structlog.get_logger(__name__)


class ProblemSchema(Schema):
    """RFC 9457. The facts of the error are further members, which depend on ``code``."""

    type = ma.fields.String(required=True, metadata={"description": "Identifies the problem; `/problems` lists all"})
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)
    detail = ma.fields.String()
    code = ma.fields.String(required=True, metadata={"description": "Stable, for programs"})
    request_id = ma.fields.String(required=True)
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.String()),
        metadata={"description": "What is wrong, by field (422)"},
    )


class ProblemApi(Api):
    """flask-smorest whose errors are problems."""

    ERROR_SCHEMA = ProblemSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Called for exceptions of werkzeug and webargs."""
        return http_problem(error)

    def _register_responses(self) -> None:
        """Document the default response of every operation as a problem."""
        content = {PROBLEM_JSON: {"schema": self.ERROR_SCHEMA}}
        self.spec.components.response("DEFAULT_ERROR", {"description": "A problem", "content": content}, lazy=True)


def register_problems(app: Flask) -> None:
    """Make a problem of every DomainError and of every unexpected exception; serve /problems."""
    app.register_error_handler(DomainError, domain_problem)
    app.register_error_handler(Exception, unexpected_problem)
    app.add_url_rule("/problems", view_func=describe_problems)


def problem(
    status: int, code: str, title: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    body = {
        "type": f"/problems#{code}",
        "title": title,
        "status": status,
        "code": code,
        "requestId": request_id(),
        **members,
    }
    return Response(to_json(body), status, headers, content_type=PROBLEM_JSON)


def refusal_problem(status: int) -> Response:
    """For a request that the server refused by itself: it did not arrive as one, or there is no room for it now."""
    if status == 503:
        return problem(503, "too_busy", "Too many requests of this kind", headers={"Retry-After": "1"}, retryAfter=1)
    return problem(status, *HTTP_PROBLEMS[status])


def status_of(error: type[DomainError]) -> int:
    """The HTTP status of an error, by its kind."""
    return next(status for kind, status in STATUS_OF_KIND.items() if issubclass(error, kind))


def domain_problem(error: DomainError) -> Response:
    status = status_of(type(error))
    if isinstance(error, InvalidValue):
        return problem(status, error.code, error.title, errors={error.field: [error.reason]})
    facts = {camel_case(name): value for name, value in error.facts().items()}
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
    return problem(status, error.code, error.title, headers=headers, **facts)


def http_problem(error: HTTPException) -> Response:
    if error.response is not None and isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    code, title = (
        error.problem if isinstance(error, OWN_PROBLEMS) else HTTP_PROBLEMS.get(status, ("bad_request", error.name))
    )
    headers = {name: value for name, value in error.get_headers() if name.lower() in KEPT_HEADERS}
    members: dict[str, Any] = {}
    data = getattr(error, "data", None) or {}
    if "detail" in data:
        members["detail"] = data["detail"]
    if "messages" in data:
        members["errors"] = _by_field(data["messages"])
    return problem(status, code, title, headers=headers, **members)


def unexpected_problem(error: Exception) -> Response:
    """A 500 that tells the client nothing but the request id, under which the log has the exception."""
    if isinstance(error, HTTPException):
        return http_problem(error)
    log.error("unforeseen_error", exc_info=error)
    return problem(500, *HTTP_PROBLEMS[500])


def describe_problems() -> Response:
    """The page of /problems, to which ``type`` links: every code with its status and meaning."""
    paragraphs = [
        f"## {leaf.code}\n\n{status_of(leaf)}: {leaf.title}. {leaf.__doc__}\n"
        for leaf in sorted(leaves(DomainError), key=lambda leaf: leaf.code)
    ] + [
        f"## {code}\n\n{status}: {title}.\n"
        for status, (code, title) in (*HTTP_PROBLEMS.items(), *((own.code, own.problem) for own in OWN_PROBLEMS))
        if code != InvalidValue.code
    ]
    return Response("# Problems\n\n" + "\n".join(paragraphs), mimetype="text/markdown")


def leaves(kind: type[DomainError]) -> list[type[DomainError]]:
    """The subclasses of ``kind`` that have none themselves: only these are raised."""
    below = kind.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]


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
