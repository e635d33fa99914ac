"""What every answer tells browsers, who may call from where, and how often."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from flask.testing import FlaskClient

from application.auth.rate_limits import RequestLimits
from application.ports.rate_limiter import Limit
from entrypoints.api.app import create_app
from entrypoints.api.client import read_origin
from entrypoints.api.http_options import HttpOptions
from tests.api.door import Caller, Door, problem_of
from tests.builders import ASHA, RAVI, House

APP = "https://app.example.com"
MINUTE = timedelta(minutes=1)


def served(house: House, policy: HttpOptions) -> FlaskClient:
    return create_app(house.use_cases, policy).test_client()


# --- Headers ---


@pytest.mark.parametrize("path", ["/", "/user/me", "/nowhere", "/health/live", "/openapi.json", "/problems", "/docs/"])
def test_every_answer_is_hardened(guest: Caller, path: str):
    headers = guest.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Server"] == ""
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert ("default-src 'none'" in headers["Content-Security-Policy"]) == (path != "/docs/")
    assert {"X-Powered-By", "Set-Cookie", "Access-Control-Allow-Origin"}.isdisjoint(headers.keys())
    assert "Strict-Transport-Security" not in headers


def test_in_production_browsers_are_told_to_come_with_tls():
    answer = served(House(), HttpOptions(https_only=True)).get("/")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


# --- CORS ---


@pytest.fixture(scope="module")
def browser() -> FlaskClient:
    """A client of an application whose pages come from APP."""
    return served(House(), HttpOptions(cors_origins=frozenset({APP})))


def test_our_pages_may_call(browser: FlaskClient):
    answer = browser.get("/user/me", headers={"Origin": APP})
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_they_may_ask_first(browser: FlaskClient):
    answer = browser.options("/user/me", headers={"Origin": APP, "Access-Control-Request-Method": "PATCH"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "", "*", "https://evil.example", f"{APP}.evil.example", f"{APP}:8443", "http://app.example.com"),
        *(f"{APP}/", f"{APP}, https://evil.example", "https://app.example.com@evil.example", f" {APP}\t"),
    ],
)
def test_nobody_elses_pages_may(browser: FlaskClient, origin: str):
    for method in ("GET", "OPTIONS"):
        answer = browser.open(
            "/user/me", method=method, headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
        )
        allowed = {name for name, _ in answer.headers if name.startswith("Access-Control")}
        if origin.strip() != APP:
            assert not allowed
        assert "Origin" in answer.headers["Vary"]  # a cache must not hand one's answer to the other


def test_without_a_list_nobody_may(guest: Caller):
    answer = guest.get("/", headers={"Origin": APP})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    assert "Vary" not in answer.headers


# --- Where a request comes from ---

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))


def origin_of(remote: str, *forwarded: str, agent: str = "") -> tuple[str | None, str | None]:
    # As WSGI hands on several headers of one name.
    found = read_origin(remote, ",".join(forwarded), agent, PROXIES)
    return found.address, found.device


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not through a proxy of ours: anybody can say that
        ("203.0.113.7", ["10.0.0.1"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # what the client wrote stands further left
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["garbage"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1:443"], "10.0.0.1"),
        ("10.0.0.1", [", ".join(["198.51.100.1"] * 5_000)], "198.51.100.1"),
        ("2001:db8:1::1", ["2001:db8:ffff:1:2:3:4:5"], "2001:db8:ffff:1::/64"),
        ("2001:db8:ffff:1::1", [], "2001:db8:ffff:1::/64"),
        ("2001:db8:ffff:1:ffff::", [], "2001:db8:ffff:1::/64"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], None),
        ("unix:", ["198.51.100.1"], None),
    ],
)
def test_an_address_is_what_our_own_proxies_say(remote: str, forwarded: list[str], address: str | None):
    assert origin_of(remote, *forwarded)[0] == address


def test_a_device_is_what_can_be_printed():
    assert origin_of("203.0.113.7")[1] is None
    assert origin_of("203.0.113.7", agent="A phone/1.0")[1] == "A phone/1.0"
    assert origin_of("203.0.113.7", agent="x" * 1_000)[1] == "x" * 200


# --- How often ---


def limited(**limits: Limit) -> Door:
    return Door(House(request_limits=RequestLimits(**limits)))


def test_a_user_is_told_what_is_left_and_then_to_wait():
    door = limited(per_user=Limit("user", 3, MINUTE))
    asha, ravi = door.log_in(ASHA), door.log_in(RAVI)
    for left in (2, 1, 0):
        answer = asha.get("/user/me")
        assert answer.headers["RateLimit-Policy"] == '"user";q=3;w=60'
        assert answer.headers["RateLimit"] == f'"user";r={left};t=60'
    answer = asha.get("/user/me")
    problem = problem_of(answer, 429, "rate_limited")
    assert (problem["limit"], problem["window"], problem["retryAfter"]) == (3, 60, 60)
    assert answer.headers["Retry-After"] == "60"
    assert answer.headers["RateLimit"] == '"user";r=0;t=60'
    assert ravi.get("/user/me").status_code == 200
    door.house.clock.advance(MINUTE)
    assert asha.get("/user/me").status_code == 200


def test_another_session_of_the_user_does_not_help():
    door = limited(per_user=Limit("user", 1, MINUTE))
    door.log_in(ASHA).get("/user/me")
    problem_of(door.log_in(ASHA).get("/user/me"), 429, "rate_limited")


def test_the_daily_quota_goes_first_in_the_headers():
    door = limited(per_user=Limit("user", 100, MINUTE))
    asha = door.log_in(ASHA)
    assert asha.say(asha.open_room()).headers["RateLimit"].startswith('"daily"')


def test_who_tries_tokens_is_counted_by_address():
    door = limited(per_address=Limit("address", 3, MINUTE), per_user=Limit("user", 100, MINUTE))
    for _ in range(3):
        problem_of(door.caller("x.y.z").get("/user/me"), 401, "token_invalid")
    problem_of(door.caller("x.y.z").get("/user/me"), 429, "rate_limited")
    problem_of(door.guest().post("/auth/refresh", {}), 429, "rate_limited")
    problem_of(door.log_in(ASHA).get("/user/me"), 429, "rate_limited")


def test_who_asks_to_be_let_in_is_counted_more_narrowly():
    door = limited(logins=Limit("login", 2, MINUTE), per_address=Limit("address", 100, MINUTE))
    guest = door.guest()
    for _ in range(2):
        problem_of(guest.post("/auth/login", {"mobileNumber": ASHA, "password": "x"}), 401, "credentials_invalid")
    for path in ("/auth/login", "/auth/signup", "/auth/send-otp", "/auth/verify-otp"):
        problem_of(guest.post(path, {}), 429, "rate_limited")
    problem_of(guest.post("/auth/refresh", {"refreshToken": "x"}), 401, "refresh_token_invalid")
    problem_of(guest.get("/user/me"), 401, "token_invalid")


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready", "/openapi.json", "/docs/", "/problems"])
def test_what_costs_nothing_is_not_counted(path: str):
    guest = limited(per_address=Limit("address", 0, MINUTE)).guest()
    answer = guest.get(path)
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers


def test_asking_first_is_not_counted():
    guest = limited(per_address=Limit("address", 0, MINUTE)).guest()
    assert guest.send("OPTIONS", "/auth/login").status_code == 200
