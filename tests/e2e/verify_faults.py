"""One fault for each check of the verify kit: it breaks the check's promise, and no other."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from itertools import count
from threading import Lock
from typing import Any

from tests.e2e.faulty_proxy import Answered, Asked, Fault, PassOn

WEBHOOK_SECRET = "whsec_of_the_tests"

ROOM = re.compile(r"/chatroom/[0-9a-f-]{36}")
MESSAGE = re.compile(r"/message/[0-9a-f-]{36}")

# A fault that remembers something is made anew for each proxy.
MakeFault = Callable[[], Fault]
FAULTS: dict[str, MakeFault] = {}


def breaks(check: str) -> Callable[[MakeFault], MakeFault]:
    """The check that a fault is for."""

    def register(make: MakeFault) -> MakeFault:
        assert check not in FAULTS
        FAULTS[check] = make
        return make

    return register


def changing(method: str, path: str, change: Callable[[Asked, Answered], Answered]) -> Fault:
    """Changes answers to a method and a path (a regular expression)."""

    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        answered = pass_on(asked)
        is_meant = asked.method == method and re.fullmatch(path, asked.path)
        return change(asked, answered) if is_meant else answered

    return fault


def with_another_status(method: str, path: str, status: int, *, was: int) -> Fault:
    """Changes one status of the answers to a method and a path (a regular expression)."""

    def change(_: Asked, answered: Answered) -> Answered:
        return answered.having(status=status) if answered.status == was else answered

    return changing(method, path, change)


def is_refusal(answered: Answered, *statuses: int) -> bool:
    return answered.status in (statuses or (400, 401, 403, 404, 409, 422, 429))


# Of every answer.


@breaks("home")
def another_page() -> Fault:
    return changing("GET", "/", lambda _, answered: answered.having(body={"message": "Hello"}))


@breaks("liveness")
def not_alive() -> Fault:
    return changing("GET", "/health/live", lambda _, answered: answered.having(body={"status": "starting"}))


@breaks("readiness")
def without_a_queue() -> Fault:
    body = {"status": "degraded", "degraded": ["redis"], "reasons": {}}
    return changing("GET", "/health/ready", lambda _, answered: answered.having(body=body))


@breaks("openapi")
def a_reference_to_nothing() -> Fault:
    def change(_: Asked, answered: Answered) -> Answered:
        document = answered.json()
        document["components"]["schemas"].popitem()
        return answered.having(body=document)

    return changing("GET", "/openapi.json", change)


@breaks("security-headers")
def types_are_sniffed() -> Fault:
    return lambda asked, pass_on: pass_on(asked).having(x_content_type_options=None)


@breaks("problems")
def errors_are_plain_json() -> Fault:
    change = lambda _, answered: answered.having(content_type="application/json")  # noqa: E731
    return changing("GET", "/nowhere", change)


@breaks("cors")
def every_origin_may_call() -> Fault:
    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        origin = asked.headers.get("origin")
        return pass_on(asked).having(access_control_allow_origin=origin)

    return fault


@breaks("request-id")
def requests_have_no_id() -> Fault:
    return lambda asked, pass_on: pass_on(asked).having(x_request_id=None)


@breaks("no-versions")
def the_server_tells_its_version() -> Fault:
    return lambda asked, pass_on: pass_on(asked).having(server="Werkzeug/3.1.9")


@breaks("no-store")
def any_cache_may_store_a_profile() -> Fault:
    return changing("GET", "/user/me", lambda _, answered: answered.having(cache_control="public, max-age=60"))


@breaks("etag")
def nothing_is_ever_unchanged() -> Fault:
    return lambda asked, pass_on: pass_on(asked.without("if-none-match"))


@breaks("bad-input")
def broken_json_is_an_internal_error() -> Fault:
    return with_another_status("POST", "/auth/send-otp", 500, was=400)


# Of accounts.


@breaks("sign-up")
def a_number_signs_up_twice() -> Fault:
    return with_another_status("POST", "/auth/signup", 201, was=409)


@breaks("login")
def an_account_has_another_number() -> Fault:
    def change(_: Asked, answered: Answered) -> Answered:
        is_shown = answered.status == 200
        return answered.having(body=answered.json() | {"mobileNumber": "+911230000000"}) if is_shown else answered

    return changing("GET", "/user/me", change)


@breaks("wrong-code")
def any_code_will_do() -> Fault:
    codes: dict[str, str] = {}

    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        if asked.path == "/auth/send-otp":
            answered = pass_on(asked)
            if answered.status == 200:
                codes[asked.json()["mobileNumber"]] = answered.json()["otp"]
            return answered
        if asked.path == "/auth/verify-otp":
            body = asked.json()
            right = {**body, "otp": codes[body["mobileNumber"]]}
            return pass_on(Asked(asked.method, asked.target, asked.headers, json.dumps(right).encode()))
        return pass_on(asked)

    return fault


@breaks("code-once")
def a_code_works_for_ever() -> Fault:
    return remembering(lambda asked: asked.path == "/auth/verify-otp", lambda asked: asked.body.decode())


@breaks("token-required")
def signatures_are_not_looked_at() -> Fault:
    signed: dict[str, str] = {}

    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        claims = asked.token.split(".")[1:2]
        if claims and claims[0] in signed:
            headers = asked.headers | {"authorization": f"Bearer {signed[claims[0]]}"}
            return pass_on(Asked(asked.method, asked.target, headers, asked.body))
        answered = pass_on(asked)
        if asked.path == "/auth/verify-otp" and answered.status == 200:
            token = answered.json()["token"]
            signed[token.split(".")[1]] = token
        return answered

    return fault


@breaks("refresh")
def a_refresh_token_works_for_ever() -> Fault:
    return remembering(lambda asked: asked.path == "/auth/refresh", lambda asked: asked.body.decode())


def remembering(is_meant: Callable[[Asked], bool], key: Callable[[Asked], str]) -> Fault:
    """What was once answered well is answered so again when it would be refused."""
    answers: dict[str, Answered] = {}

    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        answered = pass_on(asked)
        if not is_meant(asked):
            return answered
        if answered.status == 200:
            answers.setdefault(key(asked), answered)
        return answers.get(key(asked), answered) if is_refusal(answered) else answered

    return fault


@breaks("logout")
def logging_out_does_nothing() -> Fault:
    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        return well(body={"message": "Logged out."}) if asked.path == "/auth/logout" else pass_on(asked)

    return fault


def well(*, body: object) -> Answered:
    """An answer that does not come from the service, with what every one has."""
    headers = {"content-type": "application/json", "x-content-type-options": "nosniff"}
    return Answered(200, headers, json.dumps(body).encode())


@breaks("ownership")
def forbidden_in_place_of_not_found() -> Fault:
    return with_another_status("GET", ROOM.pattern, 403, was=404)


@breaks("message-ownership")
def a_reply_is_shown_to_everybody() -> Fault:
    return with_another_status("GET", MESSAGE.pattern, 200, was=404)


@breaks("password-reset")
def an_old_password_works() -> Fault:
    return with_another_status("POST", "/auth/login", 200, was=401)


@breaks("erasure")
def erasing_does_nothing() -> Fault:
    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        is_meant = (asked.method, asked.path) == ("DELETE", "/user/me")
        return well(body={"message": "Erased.", "complete": True}) if is_meant else pass_on(asked)

    return fault


# Of plans.


@breaks("subscription")
def everybody_is_pro() -> Fault:
    def change(_: Asked, answered: Answered) -> Answered:
        return answered.having(body=answered.json() | {"tier": "pro"}) if answered.status == 200 else answered

    return changing("GET", "/subscription/status", change)


@breaks("webhook-signature")
def an_event_needs_no_signature() -> Fault:
    def change(asked: Asked, answered: Answered) -> Answered:
        return answered if asked.headers.get("stripe-signature") else answered.having(status=200)

    return changing("POST", "/webhook/stripe", change)


@breaks("webhook-stale")
def an_event_is_never_stale() -> Fault:
    def change(asked: Asked, answered: Answered) -> Answered:
        said = re.fullmatch(r"t=(\d+),v1=(\w+)", asked.headers.get("stripe-signature", ""))
        right = said and hmac.new(WEBHOOK_SECRET.encode(), f"{said[1]}.".encode() + asked.body, hashlib.sha256)
        is_right = said is not None and right is not None and right.hexdigest() == said[2]
        return answered.having(status=200) if is_right else answered

    return changing("POST", "/webhook/stripe", change)


@breaks("checkout-once")
def each_request_opens_a_checkout() -> Fault:
    numbers = count(1)

    def change(_: Asked, answered: Answered) -> Answered:
        return answered.having(body=answered.json() | {"url": f"https://checkout.example/{next(numbers)}"})

    return changing("POST", "/subscribe/pro", change)


# Of chats.


@breaks("chatrooms")
def the_list_of_chatrooms_is_stale() -> Fault:
    lists: dict[str, Answered] = {}

    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        if (asked.method, asked.target) != ("GET", "/chatroom") or "if-none-match" in asked.headers:
            return pass_on(asked)
        if asked.token not in lists:
            lists[asked.token] = pass_on(asked)
        return lists[asked.token]

    return fault


@breaks("chatroom-pages")
def a_chatroom_is_missing_between_two_pages() -> Fault:
    def change(asked: Asked, answered: Answered) -> Answered:
        return answered.having(body=answered.json()[1:]) if "cursor=" in asked.target else answered

    return changing("GET", "/chatroom", change)


@breaks("message")
def a_message_counts_twice() -> Fault:
    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        answered = pass_on(asked)
        is_meant = asked.method == "POST" and asked.path.endswith("/message") and answered.status == 202
        if is_meant and "idempotency-key" not in asked.headers:
            pass_on(asked)
        return answered

    return fault


@breaks("order")
def an_older_page_lacks_an_entry() -> Fault:
    def change(asked: Asked, answered: Answered) -> Answered:
        body = answered.json()
        return (
            answered.having(body=body | {"messages": body["messages"][1:]}) if "before=" in asked.target else answered
        )

    return changing("GET", "/chatroom/[^/]+/messages", change)


@breaks("idempotency")
def keys_are_not_looked_at() -> Fault:
    return lambda asked, pass_on: pass_on(asked.without("idempotency-key"))


@breaks("quota-race")
def a_sixth_prompt_is_accepted() -> Fault:
    accepted: dict[str, Answered] = {}
    used: set[str] = set()
    lock = Lock()

    def fault(asked: Asked, pass_on: PassOn) -> Answered:
        answered = pass_on(asked)
        if asked.method != "POST" or not asked.path.endswith("/message"):
            return answered
        with lock:
            if answered.status == 202:
                accepted[asked.token] = answered
            elif answered.status == 429 and asked.token in accepted and asked.token not in used:
                used.add(asked.token)
                return accepted[asked.token]
        return answered

    return fault


@breaks("stream")
def a_stream_has_no_end() -> Fault:
    def change(asked: Asked, answered: Answered) -> Answered:
        return answered if "last-event-id" in asked.headers else without_event(answered, -1)

    return changing("GET", f"{MESSAGE.pattern}/stream", change)


@breaks("stream-resume")
def an_event_is_lost_between_two_connections() -> Fault:
    def change(asked: Asked, answered: Answered) -> Answered:
        return without_event(answered, 0) if "last-event-id" in asked.headers else answered

    return changing("GET", f"{MESSAGE.pattern}/stream", change)


def without_event(answered: Answered, index: int) -> Answered:
    """The stream without one of its events."""
    blocks = answered.body.decode().split("\n\n")
    events = [block for block in blocks if "data: " in block]
    if answered.status != 200 or not events:
        return answered
    blocks.remove(events[index])
    return Answered(answered.status, answered.headers, "\n\n".join(blocks).encode())


# Other services.

PLAIN = re.compile(
    r"/|/auth/(signup|send-otp|verify-otp|forgot-password|change-password)|/user/me|/chatroom|/chatroom/[^/]+"
    r"|/chatroom/[^/]+/message|/subscription/(subscribe/pro|webhook/stripe|status)"
)
PLAIN_METHODS = frozenset({"GET", "POST"})
PLAIN_HEADERS = ("content-type", "www-authenticate", "retry-after")


def plain(asked: Asked, pass_on: PassOn) -> Answered:
    """Another implementation: it has the endpoints of a source document, and JSON, and nothing else."""
    if asked.method not in PLAIN_METHODS or not PLAIN.fullmatch(asked.path):
        return Answered(404, {"content-type": "application/json"}, b'{"error":"Not found"}')
    answered = pass_on(asked.without("idempotency-key", "x-request-id", "if-none-match"))
    body = nested(asked, answered)
    headers = {name: value for name, value in answered.headers.items() if name in PLAIN_HEADERS}
    return Answered(200 if answered.status == 202 else answered.status, headers, json.dumps(body).encode())


def nested(asked: Asked, answered: Answered) -> Any:
    """Bodies as many such services have them."""
    if answered.status >= 400:
        return {"error": "Refused"}
    body = answered.json()
    if asked.path == "/chatroom":
        return {"success": True, "data": {"chatrooms" if asked.method == "GET" else "chatroom": body}}
    if ROOM.fullmatch(asked.path):
        messages = [{"sender": one["role"], "text": one["content"]} for one in body["messages"] if one.get("content")]
        return {"chatroom": {"_id": body["id"], "name": body["name"], "messages": messages}}
    return body


def replies_fail(asked: Asked, pass_on: PassOn) -> Answered:
    """A service whose model does not answer."""
    answered = pass_on(asked)
    if asked.method != "GET" or not ROOM.fullmatch(asked.path) or answered.status != 200:
        return answered
    body = answered.json()
    failed = {"status": "failed", "error": {"code": "model_unavailable"}}
    return answered.having(
        body=body | {"messages": [one | failed if one["role"] == "bot" else one for one in body["messages"]]}
    )


def codes_are_sent(asked: Asked, pass_on: PassOn) -> Answered:
    """A service that sends codes as text messages."""
    answered = pass_on(asked)
    if asked.path != "/auth/send-otp" or answered.status != 200:
        return answered
    return answered.having(body={name: value for name, value in answered.json().items() if name != "otp"})


def numbers_must_be_assignable(asked: Asked, pass_on: PassOn) -> Answered:
    """A service of production."""
    answered = pass_on(asked)
    if asked.path not in {"/auth/signup", "/auth/send-otp"} or answered.status >= 300:
        return answered
    problem = {"type": "/problems/validation_error", "title": "…", "status": 422, "code": "validation_error"}
    return answered.having(status=422, body=problem, content_type="application/problem+json")
