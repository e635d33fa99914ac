"""Where things are, and what holds for every answer."""

import json
import re
from collections.abc import Iterator
from typing import Any

from verify.checks import Check, check
from verify.http import Exchange
from verify.outcomes import LeftOut, expect
from verify.world import World

ENDPOINTS = (
    ("/auth/signup", "post"), ("/auth/send-otp", "post"), ("/auth/verify-otp", "post"),
    ("/auth/forgot-password", "post"), ("/auth/change-password", "post"), ("/user/me", "get"),
    ("/chatroom", "post"), ("/chatroom", "get"), ("/chatroom/{}", "get"), ("/chatroom/{}/message", "post"),
    ("/subscribe/pro", "post"), ("/webhook/stripe", "post"), ("/subscription/status", "get"),
)  # fmt: skip
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
STRANGER = "https://stranger.example"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@check("home", plain=True)
def home(world: World) -> None:
    """The home route answers, and says that it is the home route."""
    answer = world.get("/").must_be(200)
    expect("home route" in answer.text.lower(), "GET / does not say “Home Route”")


@check("liveness")
def liveness(world: World) -> None:
    """The process says that it lives."""
    expect(world.get("/health/live").must_be(200).json().get("status") == "ok", "status is not ok")


@check("readiness")
def readiness(world: World) -> None:
    """The service says that it is ready, with nothing down that it needs."""
    body = world.get("/health/ready").must_be(200).json()
    expect(not body.get("degraded"), f"degraded: {body.get('degraded')}")


@check("openapi")
def openapi(world: World) -> None:
    """An OpenAPI 3 document is served, whose references lead somewhere, and it has every endpoint."""
    document = world.get("/openapi.json").must_be(200).json()
    expect(str(document.get("openapi", "")).startswith("3."), "it is no document of OpenAPI 3")
    expect(document.get("info", {}).get("title") and document["info"].get("version"), "info lacks title or version")
    for reference in _references(document):
        expect(_leads_somewhere(document, reference), f"$ref {reference} leads nowhere")
    operations = dict(_operations(document))
    ids = [operation.get("operationId") for operation in operations.values()]
    expect(len({*ids}) == len(ids), "two operations have the same operationId")
    for (path, method), operation in operations.items():
        expect(operation.get("responses"), f"{method} {path} describes no response")
    there = {(re.sub(r"{[^}]*}", "{}", path), method) for path, method in operations}
    missing = [f"{method.upper()} {path}" for path, method in ENDPOINTS if (path, method) not in there]
    expect(not missing, f"it lacks {', '.join(missing)}")


@check("security-headers")
def security_headers(world: World) -> None:
    """Answers and refusals forbid sniffing, framing and scripts, and over HTTPS they ask for HTTPS."""
    for path in ("/", "/user/me", "/nowhere"):
        answer = world.get(path)
        policy = answer.header("Content-Security-Policy")
        expect(answer.header("X-Content-Type-Options") == "nosniff", f"{answer.line} lacks X-Content-Type-Options")
        expect(policy, f"{answer.line} lacks Content-Security-Policy")
        framing = answer.header("X-Frame-Options").upper() == "DENY" or "frame-ancestors 'none'" in policy
        expect(framing, f"{answer.line} may be framed")
        expect(answer.header("Referrer-Policy"), f"{answer.line} lacks Referrer-Policy")
        if world.http.is_encrypted:
            expect(answer.header("Strict-Transport-Security"), f"{answer.line} lacks Strict-Transport-Security")


@check("no-store")
def no_store(world: World) -> None:
    """No shared cache may keep what belongs to one user."""
    answer = world.user().get("/user/me").must_be(200)
    expect(re.search("no-store|private", answer.header("Cache-Control")), "GET /user/me may be stored by any cache")


@check("problems")
def problems(world: World) -> None:
    """Errors are application/problem+json (RFC 9457) with type, title, status and a code."""
    for answer, status in (
        (world.get("/user/me"), 401),
        (world.get("/nowhere"), 404),
        (world.http.send("DELETE", "/auth/signup"), 405),
        (world.post("/auth/send-otp", {"mobileNumber": "no number"}), 422),
    ):
        answer.must_be(status)
        _expect_problem(answer)


@check("cors")
def cors(world: World) -> None:
    """Pages of a stranger's origin get no permission of their own; those of --origin may call."""
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for method in ("OPTIONS", "GET"):
        answer = world.http.send(method, "/chatroom", headers={"Origin": STRANGER} | preflight)
        allowed = answer.header("Access-Control-Allow-Origin")
        expect(answer.status < 500, f"{answer.line} answers {answer.status}")
        expect(allowed in {"", "*"}, f"{method} /chatroom allows {allowed}")
        credentials = answer.header("Access-Control-Allow-Credentials").lower() == "true"
        expect(not (allowed and credentials), f"{method} /chatroom allows every origin with credentials")
    if world.options.origin:
        answer = world.http.send("OPTIONS", "/chatroom", headers={"Origin": world.options.origin} | preflight)
        allowed = answer.must_be(200, 204).header("Access-Control-Allow-Origin")
        expect(allowed in {"*", world.options.origin}, f"{world.options.origin} is not allowed")
        headers = answer.header("Access-Control-Allow-Headers").lower()
        expect("authorization" in headers or headers == "*", "the preflight does not allow Authorization")


@check("request-id")
def request_id(world: World) -> None:
    """Every answer has an X-Request-Id: the one that was sent, or else a new one."""
    own = world.get("/health/live", headers={"X-Request-Id": "verify-request-id"})
    expect(own.header("X-Request-Id") == "verify-request-id", "the id that was sent is not kept")
    ids = [world.get(path, headers={"X-Request-Id": ""}).header("X-Request-Id") for path in ("/", "/nowhere")]
    expect(all(ids), "an answer lacks X-Request-Id")
    expect(ids[0] != ids[1], "two requests have one id")


@check("no-versions")
def no_versions(world: World) -> None:
    """No header tells which software in which version answers."""
    for path in ("/", "/nowhere"):
        answer = world.get(path)
        for name in ("Server", "X-Powered-By", "X-AspNet-Version"):
            shown = answer.header(name)
            expect(not re.search(r"[/ ]v?\d+\.\d+", shown), f"{answer.line}: {name} is {shown}")
        expect(not answer.header("X-Powered-By"), f"{answer.line} has X-Powered-By")


@check("etag")
def etag(world: World) -> None:
    """A list of chatrooms that was not changed is 304, and one that was is not."""
    user = world.user()
    user.open_room("Verify: etag")
    first = user.get("/chatroom").must_be(200)
    tag = first.header("ETag")
    if not tag:
        raise LeftOut("GET /chatroom offers no ETag")
    same = user.get("/chatroom", headers={"If-None-Match": tag}).must_be(304)
    expect(not same.body, "304 comes with a body")
    user.open_room("Verify: another etag")
    user.get("/chatroom", headers={"If-None-Match": tag}).must_be(200)


@check("bad-input", plain=True)
def bad_input(world: World) -> None:
    """What cannot be understood is refused with 4xx: broken JSON, other media types, large bodies, wrong values."""
    user = world.user()
    attempts: tuple[tuple[str, str, bytes, tuple[int, ...]], ...] = (
        ("/auth/send-otp", "application/json", b'{"mobileNumber": ', (400,)),
        ("/auth/send-otp", "application/json", b"{}", (400, 422)),
        ("/auth/send-otp", "application/json", b'{"mobileNumber": {"$ne": ""}}', (400, 422)),
        ("/auth/send-otp", "application/json", b"[]", (400, 422)),
        ("/auth/send-otp", "application/xml", b"<mobileNumber/>", (400, 415, 422)),
        ("/chatroom", "application/json", b'{"name": "\xff"}', (400, 422)),
        ("/chatroom", "application/json", b'{"name": "' + b"x" * 2_000_000 + b'"}', (400, 413, 422)),
        ("/chatroom/nonsense/message", "application/json", b'{"message": "hello"}', (400, 404, 422)),
        (f"/chatroom/{UNKNOWN_ID}/message", "application/json", b'{"message": "hello"}', (404,)),
    )
    for path, media_type, data, statuses in attempts:
        user.send("POST", path, data=data, headers={"Content-Type": media_type}).must_be(*statuses)
    world.get("/nowhere").must_be(404)
    user.get("/chatroom/nonsense").must_be(400, 404, 422)


def _expect_problem(answer: Exchange) -> None:
    media_type = answer.header("Content-Type").partition(";")[0]
    expect(media_type == "application/problem+json", f"{answer.line} answers {answer.status} as {media_type}")
    problem = answer.json()
    missing = [name for name in ("type", "title", "status", "code") if name not in problem]
    expect(not missing, f"the problem of {answer.line} lacks {', '.join(missing)}")
    expect(problem["status"] == answer.status, f"the problem of {answer.line} says {problem['status']}")
    expect("Traceback" not in answer.text and "    at " not in answer.text, f"{answer.line} shows a stack trace")


def _operations(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for path, item in document.get("paths", {}).items():
        for method in METHODS & item.keys():
            yield (path, method), item[method]


def _references(document: object) -> set[str]:
    return set(re.findall(r'"\$ref": "(#[^"]*)"', json.dumps(document)))


def _leads_somewhere(document: Any, reference: str) -> bool:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found is not None


BEFORE_LOGIN: tuple[Check, ...] = (
    home, liveness, readiness, openapi, security_headers, problems, cors, request_id, no_versions,
)  # fmt: skip
AFTER_LOGIN: tuple[Check, ...] = (no_store, etag, bad_input)
