"""Hostile requests: each is refused with a documented 4xx, and changes nothing."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from adapters.memory.tables import Tables
from domain.accounts import Principal
from domain.one_time_password import Purpose
from entrypoints.api.body import MAX_BODY_BYTES
from tests.api.client import Api, Client
from tests.builders import ASHA, RAVI, SIGNING_KEY, House

SECRET = "what Asha told nobody else"
PASSWORD = "the password of Asha"
PHONE_OF_NOBODY = "+919876543299"


@dataclass(frozen=True)
class Scenario:
    """Ravi attacks the data of Asha. An attack must not change anything."""

    house: House
    asha: Principal
    asha_token: str
    asha_refresh_token: str
    ravi: Client
    guest: Client
    room: str
    ravis_room: str
    before: Tables = field(repr=False)
    codes_before: int

    def has_changed(self) -> bool:
        """Whether tables, sent codes or notifications changed, apart from the audit trail."""
        return (
            but_for_the_audit(self.house.database.tables) != but_for_the_audit(self.before)
            or len(self.house.outbox.sent) != self.codes_before
            or self.house.worker_notifier.notified != 1
        )


def but_for_the_audit(tables: Tables) -> Tables:
    """The tables without the audit trail, which records attacks."""
    return replace(tables, audit_events={})


@pytest.fixture
def scenario() -> Scenario:
    """A room of Asha with a conversation, an empty room of Ravi, and no pending replies."""
    house = House()
    asha = house.user_with_password(ASHA, PASSWORD)
    login = house.log_in(ASHA)
    ravi = Api(house).log_in(RAVI)
    room = house.room(asha, SECRET)
    house.say(asha, room, SECRET)
    house.work()
    ravis_room = ravi.open_room()
    return Scenario(
        house=house,
        asha=asha,
        asha_token=login.token,
        asha_refresh_token=login.refresh_token,
        ravi=ravi,
        guest=Api(house).guest(),
        room=str(room),
        ravis_room=ravis_room.rpartition("/")[2],
        before=house.database.tables.copy(),
        codes_before=len(house.outbox.sent),
    )


def assert_repelled(scenario: Scenario, answer: TestResponse, statuses: set[int]) -> None:
    """Refused with one of ``statuses``; nothing is disclosed or changed. DocumentedClient checks the rest."""
    assert answer.status_code in statuses, answer.text
    for secret in (SECRET, PASSWORD, ASHA, str(scenario.asha.user_id)):
        assert secret not in answer.text + str(answer.headers)
    assert not scenario.has_changed()


# --- Bodies that are no JSON, or wicked JSON -------------------------------------------------------------------------

# Sent as application/json to POST /chatroom, with what would be a good name wherever it has room for one.
WICKED_JSON: Mapping[str, bytes] = {
    "list 33 deep": b'{"name": "R", "x": ' + b"[" * 33 + b"]" * 33 + b"}",
    "list 1,000 deep": b'{"name": "R", "x": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    "list 30,000 deep": b"[" * 30_000 + b"]" * 30_000,
    "list 60,000 deep, never closed": b"[" * 60_000,
    "object 1,000 deep": b'{"x":' * 1_000 + b"1" + b"}" * 1_000,
    "object 10,000 deep, never closed": b'{"x":' * 10_000,
    "integer of 33 digits": b'{"name": "R", "x": ' + b"9" * 33 + b"}",
    "integer of 5,000 digits": b'{"name": "R", "x": ' + b"9" * 5_000 + b"}",
    "negative integer of 60,000 digits": b'{"name": "R", "x": -' + b"9" * 60_000 + b"}",
    "integer as name, 5,000 digits": b'{"name": ' + b"9" * 5_000 + b"}",
    "float of 5,000 digits": b'{"name": "R", "x": 0.' + b"3" * 5_000 + b"}",
    "float over the top": b'{"name": "R", "x": 1e400}',
    "float under the bottom": b'{"name": "R", "x": -1E+99999}',
    "NaN": b'{"name": "R", "x": NaN}',
    "Infinity": b'{"name": "R", "x": Infinity}',
    "-Infinity": b'{"name": "R", "x": -Infinity}',
    "NUL in a text": rb'{"name": "R\u0000"}',
    "NUL in a name": rb'{"name": "R", "\u0000": 1}',
    "NUL deep inside": rb'{"name": "R", "x": [{"y": ["\u0000"]}]}',
    "NUL as a byte": b'{"name": "R\x00"}',
    "high surrogate alone": rb'{"name": "R\ud800"}',
    "low surrogate alone": rb'{"name": "\udc00R"}',
    "surrogates the wrong way round": rb'{"name": "\udc00\ud800"}',
    "surrogate in a name": rb'{"name": "R", "\udfff": 1}',
    "surrogate as UTF-8": b'{"name": "R\xed\xa0\x80"}',
    "overlong UTF-8": b'{"name": "R\xc0\xaf"}',
    "UTF-8 beyond Unicode": b'{"name": "R\xf5\x80\x80\x80"}',
    "UTF-8 cut short": b'{"name": "R\xe2\x98"}',
    "Latin-1": '{"name": "Rée"}'.encode("latin-1"),
    "UTF-16": '{"name": "R"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"name": "R"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "R"}'.encode("utf-32-be"),
    "byte order mark": b'\xef\xbb\xbf{"name": "R"}',
    "name twice": b'{"name": "R", "name": "S"}',
    "name twice, once escaped": rb'{"name": "R", "n\u0061me": "S"}',
    "name twice, deep inside": b'{"name": "R", "x": [{"y": 1, "y": 2}]}',
    "comma at the end": b'{"name": "R",}',
    "single quotes": b"{'name': 'R'}",
    "comment": b'{"name": "R"} // x',
    "two values": b'{"name": "R"}{"name": "S"}',
    "something behind": b'{"name": "R"}]',
    "nothing behind the colon": b'{"name": ',
    "half an escape": rb'{"name": "R\u00"}',
    "escape that is none": rb'{"name": "R\x41"}',
    "line break in a text": b'{"name": "R\n"}',
    "leading zero": b'{"name": "R", "x": 01}',
    "hexadecimal": b'{"name": "R", "x": 0x10}',
    "plus": b'{"name": "R", "x": +1}',
    "digits of another script": '{"name": "R", "x": ١}'.encode(),
    "form": b"name=R",
    "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    "pickle": b"cos\nsystem\n(S'true'\ntR.",
    "white space": b" \n\t ",
    "only a quote": b'"',
}


@pytest.mark.parametrize("data", WICKED_JSON.values(), ids=list(WICKED_JSON))
def test_wicked_json(scenario: Scenario, data: bytes):
    answer = scenario.ravi.send("POST", "/chatroom", data=data, content_type="application/json")
    assert_repelled(scenario, answer, {400})


MEDIA_TYPES = [
    *("text/plain", "text/html", "text/json", "text/javascript", "application/javascript", "application/jsonp"),
    *("application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x"),
    *("application/octet-stream", "application/xml", "image/svg+xml", "application/json, text/plain", "json", "*/*"),
    *("application/json\t\x0b", "text/plain; application/json", "application/json\x00"),
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_media_types_a_browser_would_send_unasked(scenario: Scenario, media_type: str):
    answer = scenario.ravi.send(
        "POST", "/chatroom", data=b'{"name": "R"}', environ_overrides={"CONTENT_TYPE": media_type}
    )
    assert_repelled(scenario, answer, {415})


# --- Members of every wrong type -------------------------------------------------------------------------------------

GOOD_BODIES: Mapping[str, dict[str, str]] = {
    "/auth/signup": {
        "mobileNumber": PHONE_OF_NOBODY,
        "name": "Nobody",
        "email": "nobody@example.com",
        "password": "a password",
    },
    "/auth/send-otp": {"mobileNumber": PHONE_OF_NOBODY},
    "/auth/forgot-password": {"mobileNumber": PHONE_OF_NOBODY},
    "/auth/verify-otp": {"mobileNumber": PHONE_OF_NOBODY, "otp": "123456"},
    "/auth/login": {"mobileNumber": ASHA, "password": PASSWORD},
    "/auth/reset-password": {"mobileNumber": ASHA, "otp": "123456", "newPassword": "a password"},
    "/auth/change-password": {"newPassword": "a password", "currentPassword": "a password", "otp": "123456"},
    "/chatroom": {"name": "R", "systemPrompt": "Be brief."},
    "/chatroom/{mine}/message": {"message": "hi"},
}
WRONG_TYPES: Mapping[str, object] = {
    "integer": 123456,
    "zero": 0,
    "float": 1.5,
    "true": True,
    "false": False,
    "list": ["123456"],
    "empty list": [],
    "object": {"$ne": None},
    "object with a length": {"length": 10},
    "empty text": "",
    "text too long": "x" * 20_000,
}


@pytest.mark.parametrize(("path", "member"), [(path, member) for path, body in GOOD_BODIES.items() for member in body])
def test_members_of_the_wrong_type(scenario: Scenario, path: str, member: str):
    for name, wrong in WRONG_TYPES.items():
        answer = scenario.ravi.post(path.format(mine=scenario.ravis_room), {**GOOD_BODIES[path], member: wrong})
        assert_repelled(scenario, answer, {422})
        assert member in (answer.json or {})["errors"], name


# --- Ids of every shape ----------------------------------------------------------------------------------------------

IDS = [
    *("1", "0", "-1", "null", "undefined", "NaN", "true", "*", "%25", ".", "...", "%2e%2e", "%2E%2E%2Fuser%2Fme"),
    *("9" * 4_300, "9" * 32, "%D9%A1" * 32, "%EF%BC%91" * 32, "%F0%9F%92%A9", "%00", "%FF", "%0d%0aX-Evil:1"),
    *("{{{room}}}", "urn:uuid:{room}", "{room}%00", "{room}%0a", "%20{room}", "{room}%20", "{room}.json", "{room};x=1"),
    *("{room}%2f", "{room},{room}", "x{room}", "{bare}", "{bare}" * 100, "'%20OR%201=1--", "%24%7Bjndi:x%7D"),
    *("zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", "00000000-0000-0000-0000-00000000000", "{room}/../{mine}", "..%5c{room}"),
    # UUIDs, though of no room of Ravi's.
    *("{room}", "{upper}", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
]


def _with_id(scenario: Scenario, template: str) -> str:
    room = scenario.room
    return template.format(room=room, upper=room.upper(), bare=room.replace("-", ""), mine=scenario.ravis_room)


@pytest.mark.parametrize("template", IDS, ids=[template[:40] for template in IDS])
def test_reading_what_is_not_yours(scenario: Scenario, template: str):
    assert_repelled(scenario, scenario.ravi.get(f"/chatroom/{_with_id(scenario, template)}"), {404})


@pytest.mark.parametrize("template", IDS, ids=[template[:40] for template in IDS])
def test_writing_into_what_is_not_yours(scenario: Scenario, template: str):
    answer = scenario.ravi.post(f"/chatroom/{_with_id(scenario, template)}/message", {"message": "hi"})
    assert_repelled(scenario, answer, {404})


@pytest.mark.parametrize("template", IDS, ids=[template[:40] for template in IDS])
def test_changing_what_is_not_yours(scenario: Scenario, template: str):
    path = f"/chatroom/{_with_id(scenario, template)}"
    assert_repelled(scenario, scenario.ravi.send("PATCH", path, json={"name": "Mine now"}), {404})
    assert_repelled(scenario, scenario.ravi.send("DELETE", path), {404})


def test_putting_something_in_its_place(scenario: Scenario):
    assert_repelled(scenario, scenario.ravi.send("PUT", f"/chatroom/{scenario.room}"), {405})


# --- Queries ---------------------------------------------------------------------------------------------------------

QUERIES = [
    *("limit=-1", "limit=0", "limit=101", "limit=abc", "limit=", "limit=1.0", "limit=1e1", "limit=0x10", "limit=true"),
    *("limit=" + "9" * 31, "limit=" + "9" * 5_000, "limit=-" + "9" * 5_000, "limit=NaN", "limit=null", "limit=1;2"),
    *(
        "limit=%D9%A5",
        "limit=%EF%BC%95",
        "limit=1_0",
        "limit=%2B5",
        "limit=%205",
        "limit=5%00",
        "limit=%FF",
        "limit=5,6",
    ),
    *("limit=101&limit=5", "limit=5%0a", "limit=%27%20OR%201=1"),
    *("cursor=", "cursor=x", "cursor=1", "cursor=null", "cursor=-1", "cursor=%00", "cursor=%FF", "cursor=*"),
    *("cursor={{{room}}}", "cursor=urn:uuid:{room}", "cursor={bare}", "cursor={room}%00", "cursor={room}%0a"),
    *("cursor={room}{room}", "cursor=" + "9" * 5_000, "cursor=" + "%D9%A1" * 32, "cursor=x&cursor={room}"),
    *("cursor=%27%3BDROP%20TABLE%20users--",),
]


@pytest.mark.parametrize("query", QUERIES, ids=[query[:40] for query in QUERIES])
@pytest.mark.parametrize("path", ["/chatroom", "/chatroom/{mine}"])
def test_queries(scenario: Scenario, path: str, query: str):
    assert_repelled(scenario, scenario.ravi.get(_with_id(scenario, f"{path}?{query}")), {422})


@pytest.mark.parametrize("query", ["limit=5&limit=999", "limit[]=999", "LIMIT=0", "offset=-1&user_id=1&role=admin"])
def test_what_a_query_has_too_much_does_not_count(scenario: Scenario, query: str):
    answer = scenario.ravi.get(f"/chatroom?{query}")
    assert [room["id"] for room in answer.json or []] == [scenario.ravis_room]
    assert not scenario.has_changed()


# --- Tokens ----------------------------------------------------------------------------------------------------------


def b64(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(
    claims: object, *, key: bytes = SIGNING_KEY, digest: str = "sha256", header: Mapping[str, object] | None = None
) -> str:
    """A token signed by hand, since libraries refuse to sign most of these."""
    text = f"{b64({'alg': 'HS256', 'typ': 'JWT'} | dict(header or {}))}.{b64(claims)}"
    return f"{text}.{b64(hmac.new(key, text.encode(), digest).digest())}"


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def asha_with(**changes: object) -> Callable[[Scenario], str]:
    """A token of Asha's with some claims changed, rightly signed; None takes a claim away."""

    def forge(scenario: Scenario) -> str:
        claims = claims_of(scenario.asha_token) | changes
        return sign({name: value for name, value in claims.items() if value is not ...})

    return forge


def asha_signed(**how: Any) -> Callable[[Scenario], str]:
    """The claims of Asha's token, signed in another way."""
    return lambda scenario: sign(claims_of(scenario.asha_token), **how)


def parts(scenario: Scenario) -> list[str]:
    """Header, claims and signature of Asha's token."""
    return scenario.asha_token.split(".")


def unsigned(algorithm: object, signature: str = "") -> Callable[[Scenario], str]:
    """Asha's claims under an algorithm that signs nothing."""
    return lambda scenario: f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{parts(scenario)[1]}.{signature}"


def session_of_ravi(scenario: Scenario) -> str:
    return str(claims_of(scenario.ravi.token or "")["sid"])


PUBLIC_KEY = (
    b"-----BEGIN PUBLIC KEY-----\n"
    b"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    b"-----END PUBLIC KEY-----\n"
)
OTHER_KEY = b"a key that an attacker made up, of more than 32 bytes"

TOKENS: Mapping[str, Callable[[Scenario], str]] = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE with a signature": unsigned("nOnE", "c2lnbmF0dXJl"),
    "alg null": unsigned(None),
    "alg empty": unsigned(""),
    "alg a list": unsigned(["HS256"]),
    "alg a number": unsigned(256),
    "alg missing": lambda scenario: f"{b64({'typ': 'JWT'})}.{parts(scenario)[1]}.{parts(scenario)[2]}",
    "signature cut off": lambda scenario: ".".join(parts(scenario)[:2]) + ".",
    "signature missing": lambda scenario: ".".join(parts(scenario)[:2]),
    "signature of another token": lambda scenario: ".".join(
        [*parts(scenario)[:2], (scenario.ravi.token or "").split(".")[2]]
    ),
    "signature shortened": lambda scenario: scenario.asha_token[:-4],
    "another key": asha_signed(key=OTHER_KEY),
    "empty key": asha_signed(key=b""),
    "key id of a file": asha_signed(key=b"", header={"kid": "../../../../dev/null"}),
    "key id of SQL": asha_signed(key=OTHER_KEY, header={"kid": "x' UNION SELECT 'key"}),
    "key id a list": asha_signed(key=OTHER_KEY, header={"kid": ["x"]}),
    "key in the header": asha_signed(
        key=OTHER_KEY, header={"jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(OTHER_KEY).decode()}}
    ),
    "key at an address": asha_signed(key=OTHER_KEY, header={"jku": "https://evil.example/keys", "x5u": "https://evil"}),
    "HS384": asha_signed(digest="sha384", header={"alg": "HS384"}),
    "HS512": asha_signed(digest="sha512", header={"alg": "HS512"}),
    "RS256 that is HS256": asha_signed(header={"alg": "RS256"}),
    "ES256 that is HS256": asha_signed(header={"alg": "ES256"}),
    "HS256 with a public key": asha_signed(key=PUBLIC_KEY),
    "RS256 with a public key": asha_signed(key=PUBLIC_KEY, header={"alg": "RS256"}),
    "critical extension nobody knows": asha_signed(header={"crit": ["evil"], "evil": True}),
    "payload elsewhere": asha_signed(header={"crit": ["b64"], "b64": False}),
    **{f"without {name}": asha_with(**{name: ...}) for name in ("exp", "iat", "sub", "jti", "aud", "iss", "sid")},
    **{f"{name} null": asha_with(**{name: None}) for name in ("exp", "iat", "sub", "jti", "aud", "iss", "sid")},
    "exp in the past": asha_with(exp=1),
    "exp negative": asha_with(exp=-1),
    "exp a text": asha_with(exp="tomorrow"),
    "exp a list": asha_with(exp=[9_999_999_999]),
    "exp beyond all calendars": asha_with(exp=10**30),
    "exp infinite": asha_with(exp=float("inf")),
    "exp no number": asha_with(exp=float("nan")),
    "not before 2100": asha_with(nbf=4_102_444_800),
    "another issuer": asha_with(iss="evil.example"),
    "another audience": asha_with(aud="gemini-chat-backend/refresh"),
    "issuer a list": asha_with(iss=["gemini-chat-backend"]),
    "sub a number": asha_with(sub=1),
    "sub no UUID": asha_with(sub="asha"),
    "sub of nobody": asha_with(sub="00000000-0000-7000-8000-000000000000"),
    "sub of Ravi": lambda scenario: asha_with(sub=claims_of(scenario.ravi.token or "")["sub"])(scenario),
    "sid a number": asha_with(sid=1),
    "sid a list": asha_with(sid=["x"]),
    "sid an object": asha_with(sid={"$ne": None}),
    "sid no UUID": asha_with(sid="x"),
    "sid of nobody": asha_with(sid="00000000-0000-7000-8000-000000000000"),
    "sid of Ravi": lambda scenario: asha_with(sid=session_of_ravi(scenario))(scenario),
    "claims a list": lambda _: sign([1]),
    "claims a text": lambda _: sign("asha"),
    "claims null": lambda _: sign(None),
    "claims empty": lambda _: sign({}),
    "claims not JSON": lambda _: sign(b"{"),
    "claims not UTF-8": lambda _: sign(b'{"sub": "\xff"}'),
    "claims 1,000 deep": lambda _: sign(b"[" * 1_000),
    "header 1,400 deep": lambda _: b64(b"[" * 1_400) + ".e30.e30",
    "header of objects 280 deep": lambda _: b64(b'{"x":' * 280) + ".e30.e30",
    "header with 1,400 digits": lambda _: b64(b'{"alg": ' + b"9" * 1_400 + b"}") + ".e30.e30",
    "header not JSON": lambda scenario: f"{b64(b'{')}.{parts(scenario)[1]}.{parts(scenario)[2]}",
    "header a list": lambda scenario: f"{b64([])}.{parts(scenario)[1]}.{parts(scenario)[2]}",
    "claims changed afterwards": lambda scenario: (
        f"{parts(scenario)[0]}.{b64(claims_of(scenario.asha_token) | {'tier': 'pro'})}.{parts(scenario)[2]}"
    ),
    "one part": lambda scenario: parts(scenario)[1],
    "five parts": lambda scenario: f"{scenario.asha_token}.{parts(scenario)[1]}.{parts(scenario)[2]}",
    "empty parts": lambda _: "..",
    "dots": lambda _: "." * 500,
    "not Base64": lambda _: "!!!.???.***",
    "twice": lambda scenario: f"{scenario.asha_token},{scenario.asha_token}",
    "twice with its scheme": lambda scenario: f"{scenario.asha_token}, Bearer {scenario.asha_token}",
    "white space inside": lambda scenario: scenario.asha_token.replace(".", ". "),
    "2,001 characters": lambda _: "x" * 2_001,
    "100,000 characters": lambda _: "x.y." + "z" * 100_000,
    "bytes of Latin-1": lambda _: "\xff\xfe.\xe9.\xfc",
    "UTF-8": lambda scenario: scenario.asha_token + "☠".encode().decode("latin-1"),
    "NUL": lambda scenario: scenario.asha_token + "\x00",
    "refresh token": lambda scenario: scenario.asha_refresh_token,
    "key id of nobody": asha_signed(header={"kid": "00000000"}),
    "key id empty": asha_signed(header={"kid": ""}),
    "key id a number": asha_signed(header={"kid": 1}),
    "key id null": asha_signed(header={"kid": None}),
    "user id": lambda scenario: str(scenario.asha.user_id),
    "phone number": lambda _: PHONE_OF_NOBODY,
}


@pytest.mark.parametrize("forge", TOKENS.values(), ids=list(TOKENS))
def test_forged_tokens(scenario: Scenario, forge: Callable[[Scenario], str]):
    header = {"HTTP_AUTHORIZATION": f"Bearer {forge(scenario)}"}  # as the server hands it over, whatever is in it
    for method, path in (("GET", "/user/me"), ("GET", f"/chatroom/{scenario.room}"), ("POST", "/chatroom")):
        assert_repelled(scenario, scenario.guest.send(method, path, environ_overrides=header), {401})


def test_the_forger_can_sign_what_is_genuine(scenario: Scenario):
    """The forged tokens above are refused for what is wrong with them, and not for how they were made."""
    assert Api(scenario.house).client(asha_with()(scenario)).get("/user/me").status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer  ", "Basic YTpi", "Digest x", "Token x", "bearer", "Bearer\tx", "\xff"]
)
def test_headers_without_a_token(scenario: Scenario, header: str):
    answer = scenario.guest.send("GET", "/user/me", environ_overrides={"HTTP_AUTHORIZATION": header})
    assert_repelled(scenario, answer, {401})


def test_a_token_whose_session_was_ended(scenario: Scenario):
    session = claims_of(scenario.asha_token)["sid"]
    for ended in [known for known in scenario.house.database.tables.sessions if str(known) == session]:
        del scenario.house.database.tables.sessions[ended]
        del scenario.before.sessions[ended]
    assert_repelled(scenario, Api(scenario.house).client(scenario.asha_token).get("/user/me"), {401})


def test_a_token_of_an_erased_user(scenario: Scenario):
    del scenario.house.database.tables.users[scenario.asha.user_id]
    del scenario.before.users[scenario.asha.user_id]
    assert_repelled(scenario, Api(scenario.house).client(scenario.asha_token).get("/user/me"), {401})


# --- One-time passwords ----------------------------------------------------------------------------------------------


def in_digits_from(zero: int) -> Callable[[str], str]:
    """Writes a code in the digits of another script."""
    return lambda code: "".join(chr(zero + int(digit)) for digit in code)


# What is made of the right code, and what it gets.
OTPS: Mapping[str, tuple[Callable[[str], object], int]] = {
    "000000": (lambda _: "000000", 401),
    "another one in Arabic digits": (lambda _: in_digits_from(0x0660)("000000"), 401),
    "another one in full-width digits": (lambda _: in_digits_from(0xFF10)("000000"), 401),
    # What can be no code is no try.
    "one digit less": (lambda code: code[:-1], 422),
    "two codes": (lambda code: f"{code},{code}", 422),
    "wildcards": (lambda _: "______", 422),
    "SQL": (lambda _: "' OR '1'='1", 422),
    "with NUL": (lambda code: f"{code}\x00", 400),
    "with half a surrogate pair": (lambda code: f"{code}\ud800", 400),
    "as a number": (int, 422),
    "as a list": (lambda code: [code], 422),
    "as an object": (lambda code: {"$in": [code]}, 422),
    "true": (lambda _: True, 422),
    "null": (lambda _: None, 422),
    "4,000 characters": (lambda code: code * 700, 422),
    "more than a body may hold": (lambda _: "1" * MAX_BODY_BYTES, 413),
}


@pytest.mark.parametrize(("write", "status"), OTPS.values(), ids=list(OTPS))
@pytest.mark.parametrize("path", ["/auth/verify-otp", "/auth/reset-password"])
def test_one_time_passwords_that_are_none(scenario: Scenario, path: str, write: Callable[[str], object], status: int):
    code = scenario.house.code(ASHA, Purpose.LOGIN if path == "/auth/verify-otp" else Purpose.PASSWORD_RESET)
    sent = len(scenario.house.outbox.sent)
    body = {"mobileNumber": ASHA, "otp": write(code), "newPassword": "a new password"}
    assert scenario.guest.post(path, body).status_code == status
    assert but_for_the_audit(scenario.house.database.tables) == but_for_the_audit(scenario.before)
    assert len(scenario.house.outbox.sent) == sent


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("path", ["/auth/verify-otp", "/auth/reset-password"])
def test_the_code_of_another_number(scenario: Scenario, path: str, purpose: Purpose):
    for phone in (RAVI, ASHA):
        scenario.house.code(phone, purpose)
    code_of_ravi = next(code for phone, code, _ in reversed(scenario.house.outbox.sent) if phone.e164 == RAVI)
    body = {"mobileNumber": ASHA, "otp": code_of_ravi, "newPassword": "a new password"}
    assert scenario.guest.post(path, body).status_code == 401
    assert but_for_the_audit(scenario.house.database.tables) == but_for_the_audit(scenario.before)


def test_the_code_of_another_number_does_not_change_a_password(scenario: Scenario):
    scenario.house.clock.advance(timedelta(minutes=11))
    code = scenario.house.code(ASHA, Purpose.PASSWORD_RESET)
    answer = scenario.ravi.post("/auth/change-password", {"newPassword": "a new password", "otp": code})
    assert answer.status_code == 401
    assert but_for_the_audit(scenario.house.database.tables) == but_for_the_audit(scenario.before)


def test_a_code_cannot_be_guessed(scenario: Scenario):
    code = scenario.house.code(ASHA)
    statuses = [
        scenario.guest.post("/auth/verify-otp", {"mobileNumber": ASHA, "otp": guess}).status_code
        for guess in ("000001", "000002", "000003", "000004", "000005", "000006", code)
    ]
    assert statuses == [401] * 5 + [429] * 2
    assert but_for_the_audit(scenario.house.database.tables) == but_for_the_audit(scenario.before)


# --- Headers ---------------------------------------------------------------------------------------------------------

INJECTIONS = [
    *("12345678\r\nSet-Cookie: a=b", "12345678\nX-Evil: 1", "12345678\r\n\r\n<html>", "12345678\x00"),
    *("12345678\x1b[2J", "x" * 100_000, "<script>alert(1)</script>", "../../../etc/passwd", "\xff" * 10),
    *("12345678 12345678", "\u0661" * 8),
]


@pytest.mark.parametrize("request_id", INJECTIONS, ids=[repr(value[:30]) for value in INJECTIONS])
def test_request_ids_that_are_more_than_ids(scenario: Scenario, request_id: str):
    answer = scenario.guest.send("GET", "/user/me", environ_overrides={"HTTP_X_REQUEST_ID": request_id})
    assert_repelled(scenario, answer, {401})
    assert {"Set-Cookie", "X-Evil"}.isdisjoint(answer.headers.keys())
    assert request_id not in answer.text + str(answer.headers)


HEADERS: Mapping[str, dict[str, str]] = {
    "forwarded": {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"},
    "rewritten": {"X-Original-URL": "/user/me", "X-Rewrite-URL": "/user/me"},
    "user named by a proxy": {"X-User-Id": "1", "X-Authenticated-User": "1", "X-Admin": "true", "Remote-User": "asha"},
    "another method": {"X-HTTP-Method-Override": "OPTIONS", "X-Method-Override": "OPTIONS"},
    "any entity tag": {"If-None-Match": "*"},
    "10,000 quotes": {"If-None-Match": '"' * 10_000},
    "a range": {"Range": "bytes=0-", "If-Modified-Since": "x"},
    "long Accept": {"Accept": "application/" + "x" * 10_000},
    "long cookie": {"Cookie": "session=" + "x" * 10_000},
    "negative length": {"Content-Length": "-1"},
    "long length": {"Content-Length": "9" * 30},
    "length of letters": {"Content-Length": "x"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=list(HEADERS))
def test_headers_grant_no_access(scenario: Scenario, headers: dict[str, str]):
    for path in ("/user/me", "/chatroom", f"/chatroom/{scenario.room}"):
        assert_repelled(scenario, scenario.guest.get(path, headers=headers), {401})
    assert_repelled(scenario, scenario.ravi.get(f"/chatroom/{scenario.room}", headers=headers), {404})


@pytest.mark.parametrize("length", ["-1", "x", "1.5", "9" * 30, "١", "1000"])
def test_lengths_that_lie(scenario: Scenario, length: str):
    answer = scenario.ravi.send(
        "POST",
        "/auth/login",
        data=b'{"mobileNumber": "+919876543211", "password": "a password"}',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": length.encode().decode("latin-1")},
    )
    assert_repelled(scenario, answer, {400, 413, 422})
