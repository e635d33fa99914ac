"""The OpenAPI document: valid, complete, and what the committed snapshot says."""

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from entrypoints.api.app import create_app, openapi_document
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.idempotency import HOLDS
from entrypoints.api.openapi_examples import EXAMPLES
from entrypoints.api.problem_registry import PROBLEM_JSON, PROBLEMS
from entrypoints.api.schemas import camel_case
from tests.api.client import Client, application
from tests.api.documented import assert_valid, strict_document_of
from tests.builders import House
from tests.page.vendoring import vendored

Json = dict[str, Any]

SNAPSHOT = Path(__file__).with_name("openapi.json")

# For people, or the document itself.
NOT_OPERATIONS = {
    *("/docs/", "/docs/page.css", "/docs/page.js", "/docs/rapidoc.js", "/openapi.json"),
    *("/pages.css", "/problems", "/problems/<code>", "/success", "/cancel"),
    *("/app/", "/app/<asked_version>/<path:name>"),
}

METHODS = {"get", "put", "post", "delete", "patch"}

# The operations that must exist. An endpoint is built or absent, never a stub.
OWED = {
    "POST /auth/refresh",
    "POST /auth/logout",
    "GET /auth/sessions",
    "DELETE /auth/sessions/{sessionId}",
    "PATCH /user/me",
    "DELETE /user/me",
    "GET /user/export",
    "PATCH /chatroom/{chatroomId}",
    "DELETE /chatroom/{chatroomId}",
    "GET /chatroom/{chatroomId}/export",
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
    "GET /chatroom/{chatroomId}",
    "GET /chatroom/{chatroomId}/messages",
    "POST /chatroom/{chatroomId}/message",
    "GET /message/{entryId}",
    "GET /message/{entryId}/replies",
    "PUT /message/{entryId}/feedback",
    "DELETE /message/{entryId}/feedback",
    "GET /message/{entryId}/stream",
    "GET /search",
    "POST /message/{entryId}/cancel",
    "POST /message/{entryId}/retry",
    "POST /message/{entryId}/regenerate",
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
WITHOUT_A_BODY = {"POST /subscription/cancel", "POST /subscription/resume"}
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
MEDIA_TYPES = {
    "GET /user/export": "application/x-ndjson",
    "GET /chatroom/{chatroomId}/export": "text/markdown",
}


class Operation(NamedTuple):
    name: str
    parts: Json


@pytest.fixture(scope="module")
def document() -> Json:
    return openapi_document(application())


def parameters_of(part: Json, document: Json) -> list[Json]:
    """The parameters of an operation or a path, those that are shared among them."""
    shared = document["components"]["parameters"]
    return [shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in part.get("parameters", [])]


def operations(document: Json) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method in METHODS & set(methods):
            yield Operation(f"{method.upper()} {path}", methods[method])


def _template(rule: str) -> str:
    """A path as OpenAPI writes it, of a rule as werkzeug does."""
    return re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", lambda name: f"{{{camel_case(name[1])}}}", rule)


def test_it_is_valid_openapi_3_1(document: Json):
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_is_the_one_in_the_repository(document: Json):
    document = deepcopy(document)
    committed = orjson.loads(SNAPSHOT.read_bytes())
    for one in (document, committed):  # where the service is reached differs from machine to machine
        del one["servers"], one["info"]["contact"]
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
        assert operation["description"].strip(), name
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= tags, name


def test_a_token_is_asked_for_where_it_is_needed(document: Json):
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for name, operation in operations(document):
        needed: list[Json] = [] if name in OPEN_TO_ALL else [{"bearer": []}]
        if name == "POST /auth/logout":  # its refresh token will do
            needed.append({})
        assert operation["security"] == needed, name


def test_each_operation_has_a_name_of_its_own(document: Json):
    names = [operation.parts["operationId"] for operation in operations(document)]
    assert max(Counter(names).values()) == 1
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name) for name in names)
    # Clients are generated with these names: they are part of the API.
    assert {"sendOtp", "verifyOtp", "createChatroom", "sendMessage", "streamReply", "subscribeToPro"} <= set(names)


def test_tags_come_in_the_order_of_an_integration(document: Json):
    names = [tag["name"] for tag in document["tags"]]
    assert names[:3] == ["Auth", "Chatrooms", "Messages"]
    assert names[-1] == "Aliases"
    aliases = {name for name, operation in operations(document) if operation["tags"] == ["Aliases"]}
    assert aliases == {name for name, operation in operations(document) if operation.get("deprecated")}
    assert aliases == {"POST /subscription/subscribe/pro", "POST /subscription/webhook/stripe"}


def problems_of(operation: Json) -> Iterator[tuple[str, Json]]:
    """Status and response of the problems that an operation documents."""
    for status, response in operation["responses"].items():
        if PROBLEM_JSON in response.get("content", {}):
            yield status, response


def test_every_refusal_is_documented_as_a_problem(document: Json):
    for name, operation in operations(document):
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/OtherProblem"}
        for status, response in problems_of(operation):
            content = response["content"][PROBLEM_JSON]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code in content["examples"]:
                assert str(PROBLEMS[code].status) == status, name
                assert f"(/problems/{code})" in response["description"], name


def test_an_operation_that_needs_a_token_documents_its_refusal(document: Json):
    for name, operation in operations(document):
        codes = {code for _, one in problems_of(operation) for code in one["content"][PROBLEM_JSON]["examples"]}
        assert ("token_expired" in codes) == bool(operation["security"]), name
        assert ("unsupported_media_type" in codes) == ("requestBody" in operation and name not in OF_STRANGERS), name


def test_an_idempotency_key_holds_where_it_is_documented(document: Json):
    documented = {
        operation["operationId"]
        for _, operation in operations(document)
        if any(one["name"] == "Idempotency-Key" for one in parameters_of(operation, document))
    }
    assert documented == {camel_case(endpoint.partition(".")[2]) for endpoint in HOLDS}


def bodies(document: Json) -> Iterator[tuple[str, Json]]:
    """The media types of all requests and responses, under the name of their operation."""
    for name, operation in operations(document):
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in part.get("content", {}).values():
                yield name, content


def test_every_body_has_an_example_that_is_valid(document: Json):
    closed = strict_document_of(application())
    for name, content in bodies(document):
        if "examples" in content:
            continue  # of problems
        assert "example" in content, name
        assert_valid(content["example"], content["schema"], closed)
    for example in document["components"]["examples"].values():
        assert_valid(example["value"], {"$ref": "#/components/schemas/Problem"}, closed)


def test_every_example_is_of_a_schema_that_there_is():
    assert set(EXAMPLES) <= set(strict_document_of(application())["components"]["schemas"])


def test_every_parameter_says_what_it_is(document: Json):
    for path, methods in document["paths"].items():
        for part in (methods, *(methods[method] for method in METHODS & set(methods))):
            for parameter in parameters_of(part, document):
                assert parameter["description"], f"{path} {parameter['name']}"
                assert parameter["in"] != "path" or re.fullmatch(r"[a-zA-Z]+", parameter["name"])


def test_no_component_is_unused(document: Json):
    text = orjson.dumps(document).decode()
    for kind, components in document["components"].items():
        for name in components if kind != "securitySchemes" else ():
            assert f'"#/components/{kind}/{name}"' in text, name


def test_patterns_are_those_of_javascript(document: Json):
    patterns = [
        parameter["schema"]["pattern"]
        for _, operation in operations(document)
        for parameter in parameters_of(operation, document)
        if "pattern" in parameter["schema"]
    ]
    assert patterns
    for pattern in patterns:
        assert not re.search(r"\\[AZzG]|\(\?P|\(\?<[^=!]", pattern)
        assert pattern.startswith("^")
        assert pattern.endswith("$")


def test_every_event_of_a_stream_has_a_schema(document: Json):
    stream = document["paths"]["/message/{entryId}/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    event = document["components"]["schemas"][stream["schema"]["$ref"].rpartition("/")[2]]
    assert set(event["discriminator"]["mapping"]) == {"delta", "reset", "done", "failed", "cancelled", "removed"}


def test_its_server_is_the_address_that_the_operator_has_set():
    app = create_app(House().use_cases, HttpOptions(public_url="https://chat.example.org"))
    assert [server["url"] for server in openapi_document(app)["servers"]] == ["https://chat.example.org"]


TWO_SUCCESSES = {"POST /chatroom/{chatroomId}/message", "GET /message/{entryId}/stream"}


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
                pages = ["text/html"] if name == "GET /" else []
                assert [one for one in response["content"] if one != PROBLEM_JSON] == [media_type, *pages], name
                assert response["content"][media_type]["schema"], name


def test_headers_that_are_asked_for_are_documented(document: Json):
    parameters = document["paths"]["/chatroom/{chatroomId}/message"]["post"]["parameters"]
    assert {one["name"] for one in parameters if one["in"] == "header"} == {"Idempotency-Key", "Prefer"}


def test_every_body_has_a_shape(document: Json):
    for name, operation in operations(document):
        takes_one = name.startswith(("POST", "PUT", "PATCH")) and not name.startswith("POST /message/")
        assert ("requestBody" in operation) == (takes_one and name not in WITHOUT_A_BODY), name
        if "requestBody" in operation:
            assert operation["requestBody"]["required"] == (name not in WITH_A_BODY_IF_YOU_LIKE), name
            assert operation["requestBody"]["content"]["application/json"]["schema"], name


def test_every_member_of_every_shape_has_a_type(document: Json):
    for name, schema in document["components"]["schemas"].items():
        for member, parts in schema.get("properties", {}).items():
            assert {"type", "enum", "$ref"} & set(parts), f"{name}.{member}"
        # Both sides may grow.
        assert "additionalProperties" not in schema, name


def test_it_is_the_same_on_every_version_of_python(document: Json):
    # http.HTTPStatus(422) is UNPROCESSABLE_ENTITY before Python 3.13 and UNPROCESSABLE_CONTENT from there on.
    assert list(document["components"]["responses"]) == ["OtherProblem"]
    assert b"UNPROCESSABLE" not in orjson.dumps(document)


class Links(HTMLParser):
    """The addresses that a page makes a browser fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"href", "src", "spec-url"} and value]


class TestThePageOfTheDocumentation:
    """/docs."""

    def test_it_stands_alone(self, guest: Client):
        page = guest.get("/docs/")
        assert page.mimetype == "text/html"
        links = Links(page.text).found
        assert {Path(link).suffix for link in links} == {".css", ".js", ".json"}
        for link in links:
            assert link.startswith("/")
            answer = guest.get(link)
            assert answer.status_code == 200, link
            assert answer.data, link

    def test_it_shows_our_document(self, guest: Client):
        assert 'spec-url="/openapi.json"' in guest.get("/docs").text

    def test_it_runs_no_script_but_ours_and_asks_nobody_else(self, guest: Client):
        page = guest.get("/docs/")
        policy = dict(one.split(" ", 1) for one in page.headers["Content-Security-Policy"].split("; "))
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert policy["default-src"] == "'none'"
        assert "<script>" not in page.text
        assert 'load-fonts="false"' in page.text

    def test_its_script_is_the_one_that_was_published(self, guest: Client):
        packed = guest.get("/docs/rapidoc.js", headers={"Accept-Encoding": "gzip, br"})
        assert packed.headers["Content-Encoding"] == "gzip"
        (published,) = (entry["sha256"] for entry in vendored() if entry["package"] == "rapidoc")
        assert hashlib.sha256(packed.data).hexdigest() == published
        assert guest.get("/docs/rapidoc.js").data == gzip.decompress(packed.data)
