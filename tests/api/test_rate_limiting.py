"""Rate limits of requests, by user and by address."""

import weakref
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest
from flask.testing import FlaskClient

from adapters.memory.doubles import SettableClock
from application.auth.rate_limits import RequestLimits
from application.ports.rate_limiter import Limit
from domain.errors import RateLimited
from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.refused_tokens import RefusedTokens
from entrypoints.api.request_id import REQUEST_ID
from entrypoints.server.waiting import RESUMED
from tests.api.client import Api, problem_of
from tests.builders import ASHA, RAVI, House

MINUTE = timedelta(minutes=1)


def limited(**limits: Limit) -> Api:
    return Api(House(request_limits=RequestLimits(**limits)))


def test_a_user_is_told_what_is_left_and_then_to_wait():
    api = limited(per_user=Limit("user", 3, MINUTE))
    asha, ravi = api.log_in(ASHA), api.log_in(RAVI)
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
    api.house.clock.advance(MINUTE)
    assert asha.get("/user/me").status_code == 200


def test_beyond_the_limit_the_database_is_not_asked():
    api = limited(per_user=Limit("user", 1, MINUTE))
    asha, again = api.log_in(ASHA), api.log_in(ASHA)
    asha.get("/user/me")
    seconds = problem_of(asha.get("/user/me"), 429, "rate_limited")["retryAfter"]
    api.house.clock.advance(timedelta(seconds=20))
    api.house.database_probe.on = False
    for path in ("/user/me", "/chatroom?limit=junk", "/subscription/status"):
        assert problem_of(asha.get(path), 429, "rate_limited")["retryAfter"] == seconds - 20
    problem_of(again.get("/user/me"), 503, "dependency_unavailable")
    api.house.clock.advance(timedelta(seconds=seconds - 20))
    problem_of(asha.get("/user/me"), 503, "dependency_unavailable")


def test_what_was_refused_from_one_address_is_not_refused_from_another():
    house = House(request_limits=RequestLimits(per_address=Limit("address", 1, MINUTE)))
    client = FlaskClient(create_app(house.use_cases, HttpOptions()))
    headers = {"Authorization": f"Bearer {house.token(ASHA)}"}
    statuses = [
        client.get("/user/me", headers=headers, environ_overrides={"REMOTE_ADDR": address}).status_code
        for address in ("203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2")
    ]
    assert statuses == [200, 429, 429, 200]


def test_what_is_refused_is_forgotten_and_holds_no_request():
    clock = SettableClock(datetime(2026, 3, 2, tzinfo=UTC))
    refused, pages = RefusedTokens(clock, kept=2), []

    def refuse() -> NoReturn:
        page = {"messages"}
        pages.append(weakref.ref(page))
        raise RateLimited("user", 1, 60, 60)

    for token in ("one", "two", "three"):
        try:
            refuse()
        except RateLimited as refusal:
            refused.remember(token, None, refusal)
    assert [page() for page in pages] == [None] * 3
    refused.check("one", None)
    for token in ("two", "three"):
        with pytest.raises(RateLimited):
            refused.check(token, None)
    clock.advance(MINUTE)
    refused.check("two", None)


def test_a_request_that_has_waited_was_counted_when_it_came():
    api = limited(per_user=Limit("user", 1, MINUTE))
    asha = api.log_in(ASHA)
    asha.get("/user/me")
    problem_of(asha.get("/user/me"), 429, "rate_limited")
    resumed = asha.get("/user/me", environ_overrides={RESUMED: True, REQUEST_ID: "one-and-the-same"})
    assert resumed.status_code == 200


def test_another_session_of_the_user_does_not_help():
    api = limited(per_user=Limit("user", 1, MINUTE))
    api.log_in(ASHA).get("/user/me")
    problem_of(api.log_in(ASHA).get("/user/me"), 429, "rate_limited")


def test_the_daily_quota_goes_first_in_the_headers():
    api = limited(per_user=Limit("user", 100, MINUTE))
    asha = api.log_in(ASHA)
    assert asha.say(asha.open_room()).headers["RateLimit"].startswith('"daily"')


def test_who_tries_tokens_is_counted_by_address():
    api = limited(per_address=Limit("address", 3, MINUTE), per_user=Limit("user", 100, MINUTE))
    for _ in range(3):
        problem_of(api.client("x.y.z").get("/user/me"), 401, "token_invalid")
    problem_of(api.client("x.y.z").get("/user/me"), 429, "rate_limited")
    problem_of(api.guest().post("/auth/refresh", {}), 429, "rate_limited")
    problem_of(api.log_in(ASHA).get("/user/me"), 429, "rate_limited")


def test_who_asks_to_be_let_in_is_counted_more_narrowly():
    api = limited(logins=Limit("login", 2, MINUTE), per_address=Limit("address", 100, MINUTE))
    guest = api.guest()
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


@pytest.mark.parametrize("path", ["/nowhere", "/metrics"])
def test_unknown_paths_are_counted(path: str):
    answer = limited(per_address=Limit("address", 3, MINUTE)).guest().get(path)
    problem_of(answer, 404, "not_found")
    assert answer.headers["RateLimit"].startswith('"address";r=2;')


def test_asking_first_is_not_counted():
    guest = limited(per_address=Limit("address", 0, MINUTE)).guest()
    assert guest.send("OPTIONS", "/auth/login").status_code == 200
