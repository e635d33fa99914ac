"""The OpenAPI document: what flask-smorest has read from the views, and what follows for each from its nature.

A view brings its name, docstring, schemas, headers and, with ``may_give``, the problems of its use case. The others
follow from whether it needs a token, has a body or parameters, holds an Idempotency-Key, is limited by rate.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

from entrypoints.api.body import ALIASES, PROBLEMS_OF_VIEW
from entrypoints.api.openapi_examples import EXAMPLES, PARAMETER_TEXTS, PARAMETERS
from entrypoints.api.problem_bodies import example_of
from entrypoints.api.problem_registry import PROBLEM_JSON, PROBLEMS, ProblemType
from entrypoints.api.reply_events import EVENT_SCHEMAS
from entrypoints.api.schemas import ACCEPT_LANGUAGE, camel_case, header

Json = dict[str, Any]

IDEMPOTENCY_KEY = "Idempotency-Key"
ALIASES_TEXT = "Second paths of some operations, for clients that know them. New clients use the first ones."

# Headers with which a request is never a 422, whatever they say.
NEVER_REFUSED = {"Last-Event-ID", "Stripe-Signature"}

# Of operations whose effect depends on it; the errors of all others do, too, see the description of the API.
SHARED_PARAMETERS = {
    ACCEPT_LANGUAGE: {
        "name": "Accept-Language",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The language of the texts for people (RFC 9110, 12.5.4): `en`, the default, or `hi`",
        "example": "hi-IN, en;q=0.8",
    }
}

IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The `ETag` that you have",
}

# Of every operation, under other statuses than its own.
OTHER_PROBLEMS = ("request_timeout", "headers_too_large", "internal_error")

# Of all operations with one of these statuses, or with one of these problems.
HEADERS = {
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": header("`Bearer` (RFC 6750)"),
    "Content-Language": header("The language of `title` and `detail`, by the `Accept-Language` of the request"),
    "RateLimit": header("What is left of the limit: `r` requests or prompts, for `t` seconds"),
    "RateLimit-Policy": header("The limit that is nearest: `q` requests or prompts in `w` seconds"),
}
RATE_LIMIT = ("RateLimit", "RateLimit-Policy")
HEADERS_OF_PROBLEMS = {"401": ("WWW-Authenticate",), "429": ("Retry-After", *RATE_LIMIT), "503": ("Retry-After",)}


def completed(document: Json, *, public_url: str, is_limited: Callable[[str], bool]) -> Json:
    """The whole document, of what flask-smorest makes. ``is_limited``: whether requests to a path are counted."""
    whole = deepcopy(document)
    whole["servers"] = [{"url": public_url, "description": "This service"}]
    whole["info"]["contact"] = {"name": "The operator of this service", "url": public_url}
    whole["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    whole["tags"].append({"name": ALIASES, "description": ALIASES_TEXT})
    whole["paths"] = {_in_camel_case(path): methods for path, methods in whole["paths"].items()}
    components = whole["components"]
    components["schemas"] |= deepcopy(EVENT_SCHEMAS)
    components["headers"] = HEADERS
    components["parameters"] = SHARED_PARAMETERS
    for name, schema in components["schemas"].items():
        for member in schema.get("properties", {}).values():
            _complete_enum(member)
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    for path, methods in whole["paths"].items():
        for parameter in methods.get("parameters", []):
            _complete_parameter(parameter)
        for method, operation in _operations(methods):
            _complete_operation(method, path, operation, limited=is_limited(path))
    components["responses"] = {"OtherProblem": _other_problem()}
    used = sorted({*OTHER_PROBLEMS, *(code for methods in whole["paths"].values() for code in _codes_in(methods))})
    components["examples"] = {
        code: {"summary": PROBLEMS[code].title, "value": example_of(PROBLEMS[code])} for code in used
    }
    return whole


def _complete_operation(method: str, path: str, operation: Json, *, limited: bool) -> None:
    operation.setdefault("security", [])
    operation["summary"] = operation["summary"].removesuffix(".")
    codes = [*operation.pop(PROBLEMS_OF_VIEW), *_generic_codes(method, path, operation, limited=limited)]
    for parameter in _own_parameters(operation):
        _complete_parameter(parameter)
    responses = operation["responses"]
    for status, response in responses.items():
        if limited and status.startswith("2"):
            _add_headers(response, RATE_LIMIT)
    if "304" in responses:
        operation.setdefault("parameters", []).append(dict(IF_NONE_MATCH))
        responses["304"]["headers"] = dict(responses["200"]["headers"])
    for part in (operation.get("requestBody", {}), *responses.values()):
        for media in part.get("content", {}).values():
            _complete_media(media)
    responses["default"] = {"$ref": "#/components/responses/OtherProblem"}
    _add_problems(responses, [PROBLEMS[code] for code in codes])


def _own_parameters(operation: Json) -> Iterator[Json]:
    """Those that are not shared."""
    return (parameter for parameter in operation.get("parameters", []) if "$ref" not in parameter)


def _generic_codes(method: str, path: str, operation: Json, *, limited: bool) -> Iterator[str]:
    """The problems that follow from the nature of an operation."""
    yield "bad_request"
    if operation["security"]:
        yield from ("token_invalid", "token_expired", "account_locked")
    if "{" in path:
        yield "not_found"
    yield from _codes_of_input(method, operation, is_webhook="/webhook/" in path)
    if limited:
        yield "rate_limited"
    if path != "/health/live":
        yield "too_busy"
    if not path.startswith("/health") and path != "/":
        yield "dependency_unavailable"


def _codes_of_input(method: str, operation: Json, *, is_webhook: bool) -> Iterator[str]:
    """The problems of bodies, parameters and keys. The body of a webhook is only proven, and then stored."""
    parameters = {parameter["name"] for parameter in _own_parameters(operation)} - NEVER_REFUSED
    has_body = "requestBody" in operation
    if has_body:
        yield "payload_too_large"
    if has_body and not is_webhook:
        yield "unsupported_media_type"
    if parameters or (has_body and not is_webhook):
        yield "validation_failed"
    if IDEMPOTENCY_KEY in parameters:
        yield from ("idempotency_key_in_use", "idempotency_key_reused")
    elif method == "post" and not is_webhook:
        yield "idempotency_key_not_supported"


def _add_problems(responses: Json, kinds: list[ProblemType]) -> None:
    by_status: dict[str, dict[str, ProblemType]] = defaultdict(dict)
    for kind in kinds:
        by_status[str(kind.status)][kind.code] = kind
    for status, of_status in sorted(by_status.items()):
        response = responses.setdefault(status, {})
        lines = _listed(of_status.values())
        response["description"] = f"{response['description']}\n\n{lines}" if "description" in response else lines
        response.setdefault("content", {})[PROBLEM_JSON] = _problem_content(of_status)
        _add_headers(response, ("Content-Language", *HEADERS_OF_PROBLEMS.get(status, ())))
    in_order = dict(sorted(responses.items()))
    responses.clear()
    responses.update(in_order)


def _other_problem() -> Json:
    kinds = [PROBLEMS[code] for code in OTHER_PROBLEMS]
    text = "Another problem, which any request may meet, or one that is newer than this document:\n\n" + _listed(kinds)
    response = {"description": text, "content": {PROBLEM_JSON: _problem_content(OTHER_PROBLEMS)}}
    _add_headers(response, ("Content-Language",))
    return response


def _listed(kinds: Iterable[ProblemType]) -> str:
    return "\n".join(f"- [`{kind.code}`]({kind.path}): {kind.title}" for kind in kinds)


def _problem_content(codes: Iterable[str]) -> Json:
    return {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }


def _add_headers(response: Json, names: tuple[str, ...]) -> None:
    if names:
        own = response.setdefault("headers", {})
        own |= {name: {"$ref": f"#/components/headers/{name}"} for name in names if name not in own}


def _complete_media(media: Json) -> None:
    """Give a body its example, unless it has one."""
    if "example" not in media and "examples" not in media:
        example = _example_of(media["schema"])
        if example is not None:
            media["example"] = example


def _example_of(schema: Json) -> Any:
    if "items" in schema:
        return [_example_of(schema["items"])]
    return EXAMPLES.get(schema.get("$ref", "").rpartition("/")[2])


def _complete_parameter(parameter: Json) -> None:
    if parameter["in"] == "path":
        parameter["name"] = camel_case(parameter["name"])
    name = parameter["name"]
    if name in PARAMETER_TEXTS:
        parameter.setdefault("description", PARAMETER_TEXTS[name])
    if name in PARAMETERS:
        parameter.setdefault("example", PARAMETERS[name])


def _complete_enum(schema: Json) -> None:
    """Say that an enumeration is one of texts, which apispec leaves out."""
    if "enum" in schema and "type" not in schema:
        schema["type"] = ["string", "null"] if None in schema["enum"] else "string"


def _in_camel_case(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: f"{{{camel_case(name[1])}}}", path)


def _operations(methods: Json) -> Iterator[tuple[str, Json]]:
    return ((method, operation) for method, operation in methods.items() if method != "parameters")


def _codes_in(methods: Json) -> Iterator[str]:
    for _, operation in _operations(methods):
        for response in operation["responses"].values():
            yield from response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {})
