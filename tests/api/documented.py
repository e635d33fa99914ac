"""A test client that validates every response: against the OpenAPI document, and against rules for all responses."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from werkzeug.test import TestResponse

from entrypoints.api.app import openapi_document
from entrypoints.api.problem_registry import PROBLEM_JSON

Json = dict[str, Any]

# Pages for people and the document itself: not operations of the API.
NOT_IN_THE_DOCUMENT = re.compile(
    r"/docs(/.*)?|/app(/.*)?|/openapi\.json|/problems(/.*)?|/pages\.css|/success|/cancel|/sandbox/.*"
)

# Every response that is counted has these.
RATE_LIMIT = {"RateLimit", "RateLimit-Policy"}
# Headers that are part of what an operation answers.
TOLD_HEADERS = {
    "Content-Disposition",
    "Content-Language",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Cache",
    *RATE_LIMIT,
}

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


class DocumentedClient(FlaskClient):
    """Flask's test client; fails the test when a response is not as documented."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        assert_well_mannered(response)
        assert_documented(response, strict_document_of(self.application))
        return response


def assert_documented(response: TestResponse, openapi: Json) -> None:
    """The response is documented: path, method, status or ``default``, media type, and the schema of the body."""
    path, method = response.request.path, response.request.method
    if NOT_IN_THE_DOCUMENT.fullmatch(path) or method == "OPTIONS":
        if response.status_code >= 400:
            assert_problem(response, openapi)
        return
    operations = _operations(openapi, path)
    operation = (operations or {}).get("get" if method == "HEAD" else method.lower())
    if operation is None:
        expected = 404 if operations is None else 405
        assert response.status_code == expected, f"{method} {path} is not documented"
        assert_problem(response, openapi)
        return
    documented = _documented_response(response, operation, openapi)
    assert_documented_headers(response, documented)
    content = documented.get("content")
    if content is None:
        assert response.data == b"", f"{method} {path}: {response.status_code} is documented without a body"
        return
    assert response.mimetype in content, f"{method} {path}: {response.mimetype} is not documented"
    if response.mimetype == PROBLEM_JSON:
        assert response.status_code >= 400
        assert_documented_code(response, content[PROBLEM_JSON])
    if method != "HEAD" and response.mimetype == "text/event-stream":
        for event in _events(response.text):
            assert_valid(event, content[response.mimetype]["schema"], openapi)
    elif method != "HEAD" and response.is_json:
        assert_valid(response.json, content[response.mimetype]["schema"], openapi)


def _documented_response(response: TestResponse, operation: Json, openapi: Json) -> Json:
    responses = operation["responses"]
    documented: Json = responses.get(str(response.status_code)) or responses["default"]
    return _resolved(openapi, documented["$ref"]) if "$ref" in documented else documented


def assert_documented_code(response: TestResponse, content: Json) -> None:
    """The problem is among those that the operation documents for the status."""
    if response.request.method != "HEAD":
        code = response.json["code"]  # type: ignore[index]
        method, path = response.request.method, response.request.path
        assert code in content["examples"], f"{method} {path}: {response.status_code} {code} is not documented"


def assert_documented_headers(response: TestResponse, documented: Json) -> None:
    """The headers that not every response has are documented."""
    told = TOLD_HEADERS if response.status_code in {200, 201, 202, 204, 429} else TOLD_HEADERS - RATE_LIMIT
    missing = (set(response.headers.keys()) & told) - set(documented.get("headers", {}))
    assert not missing, f"{response.request.method} {response.request.path}: {response.status_code} {missing}"


def assert_problem(response: TestResponse, openapi: Json) -> None:
    assert response.mimetype == PROBLEM_JSON
    if response.request.method != "HEAD":
        assert_valid(response.json, {"$ref": "#/components/schemas/Problem"}, openapi)


def assert_valid(value: Any, schema: Json, openapi: Json) -> None:
    """The value is valid under a schema of the document."""
    validator = OAS31Validator(
        {**schema, "components": openapi["components"]},
        format_checker=oas31_format_checker,
    )
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not faults, faults


def assert_well_mannered(response: TestResponse) -> None:
    """Rules for all responses: ids, caching, and the headers that a refusal requires."""
    headers, status = response.headers, response.status_code
    assert status < 500 or status == 503, response.text
    assert REQUEST_ID.fullmatch(headers["X-Request-Id"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"]
    assert ("Retry-After" in headers) == (status in {429, 503})
    if "Retry-After" in headers:
        assert int(headers["Retry-After"]) >= 1
    if response.mimetype == PROBLEM_JSON:
        _assert_mannered_problem(response)
    elif response.mimetype == "application/json" and response.data and response.request.path != "/openapi.json":
        for name, value in _members(response.json):
            assert re.fullmatch(r"[a-z][A-Za-z]*", name), f"{name} is not camelCase"
            if name.endswith(("At", "PeriodEnd")) and value is not None and not isinstance(value, bool):
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value), f"{name}: {value}"


@lru_cache
def strict_document_of(app: Flask) -> Json:
    """The application's document with closed schemas: undocumented members are invalid."""
    closed = deepcopy(openapi_document(app))
    for schema in closed["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


def _assert_mannered_problem(response: TestResponse) -> None:
    headers, status = response.headers, response.status_code
    if response.request.method != "HEAD":
        problem = response.json
        assert isinstance(problem, dict)
        assert problem["status"] == status
        assert problem["type"] == f"/problems/{problem['code']}"
        assert problem["requestId"] == headers["X-Request-Id"]
        assert ("errors" in problem) == (problem["code"] == "validation_failed")
    assert headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert ("Allow" in headers) == (status == 405)


def _operations(openapi: Json, path: str) -> Json | None:
    for template, operations in openapi["paths"].items():
        if _pattern(template).fullmatch(path):
            found: Json = operations
            return found
    return None


@lru_cache
def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template.rstrip("/")))
    return re.compile(f"{pattern}/?")


def _events(stream: str) -> Iterator[Json]:
    """The events of a stream that are whole, with their data parsed."""
    for block in stream.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith((":", "retry")))
        if "event" in lines:
            yield {**lines, "data": orjson.loads(lines["data"])}


def _resolved(openapi: Json, reference: str) -> Json:
    found = openapi
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
        for child in value.values():
            yield from _members(child)
    elif isinstance(value, list):
        for child in value:
            yield from _members(child)
