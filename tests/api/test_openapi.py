"""The OpenAPI document: valid, complete, and what the committed snapshot says."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from entrypoints.api.app import openapi_document
from tests.api.client import Client, application

Json = dict[str, Any]

SNAPSHOT = Path(__file__).with_name("openapi.json")

# For people, or the document itself.
NOT_OPERATIONS = {"/docs/", "/docs/<path:path>", "/openapi.json", "/problems", "/success", "/cancel"} | {
    "/app/",
    "/app/<asked_version>/<path:name>",
}

METHODS = {"get", "put", "post", "delete", "patch"}

# The operations that must exist. An endpoint is built or absent, never a stub.
OWED = {
    "POST /auth/refresh",
    "POST /auth/logout",
    "GET /auth/sessions",
    "DELETE /auth/sessions/{session_id}",
    "PATCH /user/me",
    "DELETE /user/me",
    "GET /user/export",
    "PATCH /chatroom/{chatroom_id}",
    "DELETE /chatroom/{chatroom_id}",
    "GET /",
    "GET /health/live",
    "GET /health/ready",
    "POST /auth/signup",
    "POST /auth/send-otp",
    "POST /auth/verify-otp",
    "POST /auth/forgot-password",
    "POST /auth/reset-password",
    "POST /auth/change-password",
    "POST /auth/login",
    "GET /user/me",
    "GET /user/usage",
    "POST /chatroom",
    "GET /chatroom",
    "GET /chatroom/{chatroom_id}",
    "GET /chatroom/{chatroom_id}/messages",
    "POST /chatroom/{chatroom_id}/message",
    "GET /message/{entry_id}",
    "GET /message/{entry_id}/stream",
    "POST /message/{entry_id}/cancel",
    "POST /message/{entry_id}/retry",
    "POST /message/{entry_id}/regenerate",
    "GET /subscription/status",
} | {
    # Billing.
    "POST /subscribe/pro",
    "POST /subscription/subscribe/pro",
    "POST /subscription/portal",
    "POST /subscription/cancel",
    "POST /subscription/resume",
    "POST /webhook/stripe",
    "POST /subscription/webhook/stripe",
}

# Bytes that are proven before they are read.
OF_STRANGERS = {"POST /webhook/stripe", "POST /subscription/webhook/stripe"}
WITHOUT_A_BODY = {"POST /subscription/cancel", "POST /subscription/resume"} | OF_STRANGERS
WITH_A_BODY_IF_YOU_LIKE = {
    "POST /auth/logout",
    "POST /subscribe/pro",
    "POST /subscription/subscribe/pro",
    "POST /subscription/portal",
}

OPEN_TO_ALL = {
    operation for operation in OWED if operation.startswith(("GET /health", "POST /auth")) or operation == "GET /"
} - {"POST /auth/change-password", "POST /auth/logout"} | OF_STRANGERS

# Their answer is no JSON: what it is instead.
MEDIA_TYPES = {"GET /user/export": "application/x-ndjson"}


class Operation(NamedTuple):
    name: str
    parts: Json


@pytest.fixture(scope="module")
def document() -> Json:
    return openapi_document(application())


def operations(document: Json) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in METHODS & set(methods):
            yield Operation(f"{method.upper()} {path}", methods[method])


def _template(rule: str) -> str:
    """A path as OpenAPI writes it, of a rule as werkzeug does."""
    return re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule)


def test_it_is_valid_openapi_3_1(document: Json):
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_is_the_one_in_the_repository(document: Json):
    committed = orjson.loads(SNAPSHOT.read_bytes())
    assert orjson.loads(orjson.dumps(document)) == committed, "`make openapi` writes it; look at what has changed"


def test_it_is_served(guest: Client, document: Json):
    answer = guest.get("/openapi.json")
    assert answer.content_type == "application/json"
    assert answer.json == orjson.loads(orjson.dumps(document))


def test_every_route_is_documented_and_every_documented_path_is_a_route(document: Json):
    routes = {
        f"{method} {_template(rule.rule)}"
        for rule in application().url_map.iter_rules()
        if rule.rule not in NOT_OPERATIONS
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {operation.name for operation in operations(document)}


def test_it_owes_nothing_and_promises_nothing_else(document: Json):
    assert {operation.name for operation in operations(document)} == OWED


def test_each_operation_says_what_it_is(document: Json):
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for name, operation in operations(document):
        assert operation["summary"].strip(), name
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= tags, name


def test_a_token_is_asked_for_where_it_is_needed(document: Json):
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for name, operation in operations(document):
        needed: list[Json] = [] if name in OPEN_TO_ALL else [{"bearer": []}]
        if name == "POST /auth/logout":  # its refresh token will do
            needed.append({})
        assert operation.get("security", []) == needed, name


def test_every_refusal_is_documented_as_a_problem(document: Json):
    for name, operation in operations(document):
        reference = operation["responses"]["default"]["$ref"]
        response = document["components"]["responses"][reference.rpartition("/")[2]]
        assert list(response["content"]) == ["application/problem+json"], name
        assert response["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


TWO_SUCCESSES = {"POST /chatroom/{chatroom_id}/message", "GET /message/{entry_id}/stream"}


def test_every_success_has_a_shape(document: Json):
    for name, operation in operations(document):
        successes = {status: response for status, response in operation["responses"].items() if status[0] == "2"}
        # A reply may be there at once, where a client waits for it; and a stream may have been read to its end.
        assert len(successes) == (2 if name in TWO_SUCCESSES else 1), name
        media_type = "text/event-stream" if name.endswith("/stream") else MEDIA_TYPES.get(name, "application/json")
        for status, response in successes.items():
            if status == "204":
                assert "content" not in response, name
            else:
                assert list(response["content"]) == [media_type], name
                assert response["content"][media_type]["schema"], name


def test_headers_that_are_asked_for_are_documented(document: Json):
    parameters = document["paths"]["/chatroom/{chatroom_id}/message"]["post"]["parameters"]
    assert {one["name"] for one in parameters if one["in"] == "header"} == {"Idempotency-Key", "Prefer"}


def test_every_body_has_a_shape(document: Json):
    for name, operation in operations(document):
        takes_one = name.startswith(("POST", "PATCH")) and not name.startswith("POST /message/")
        assert ("requestBody" in operation) == (takes_one and name not in WITHOUT_A_BODY), name
        if "requestBody" in operation:
            assert operation["requestBody"]["required"] == (name not in WITH_A_BODY_IF_YOU_LIKE), name
            assert operation["requestBody"]["content"]["application/json"]["schema"], name


def test_every_member_of_every_shape_has_a_type(document: Json):
    for name, schema in document["components"]["schemas"].items():
        for member, parts in schema["properties"].items():
            assert {"type", "enum", "$ref"} & set(parts), f"{name}.{member}"
        # Both sides may grow.
        assert "additionalProperties" not in schema or name == "PaginationMetadata", name


def test_it_is_the_same_on_every_version_of_python(document: Json):
    # http.HTTPStatus(422) is UNPROCESSABLE_ENTITY before Python 3.13 and UNPROCESSABLE_CONTENT from there on.
    assert list(document["components"]["responses"]) == ["DEFAULT_ERROR"]
    assert b"UNPROCESSABLE" not in orjson.dumps(document)


class Links(HTMLParser):
    """The addresses that a page makes a browser fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"href", "src"} and value]


class TestThePageOfTheDocumentation:
    """/docs."""

    @pytest.mark.parametrize("path", ["/docs/", "/docs", "/docs/index.html"])
    def test_it_stands_alone(self, guest: Client, path: str):
        page = guest.get(path)
        assert page.status_code == 200
        assert page.mimetype == "text/html"
        assert not re.search(r"(https?:)?//\w", page.text)
        links = Links(page.text).found
        assert {Path(link).suffix for link in links} == {".css", ".js", ".png"}
        for link in links:
            with guest.get(link) as asset:
                assert asset.status_code == 200, link
                assert asset.data, link

    def test_it_shows_our_document(self, guest: Client):
        page = guest.get("/docs/").text
        assert '"url": "/openapi.json"' in page
        assert '"validatorUrl": null' in page

    def test_its_styles_fetch_nothing_from_elsewhere(self, guest: Client):
        for path in ("/docs/swagger-ui.css", "/docs/index.css"):
            with guest.get(path) as style:
                assert not re.search(r"(@import|url\()[\s\"']*(https?:)?//", style.get_data(as_text=True))
