"""/user: profile, usage, export and erasure."""

import json
from typing import Any
from uuid import UUID

import pytest

from domain.errors import DependencyDown
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House


class TestChangingTheProfile:
    """PATCH /user/me."""

    def test_what_is_given_changes(self, asha: Client):
        body = body_of(asha.send("PATCH", "/user/me", json={"name": "Asha ☀", "email": "asha@example.org"}))
        assert (body["name"], body["email"]) == ("Asha ☀", "asha@example.org")
        assert body_of(asha.get("/user/me")) == body
        assert body_of(asha.send("PATCH", "/user/me", json={"name": None}))["email"] == "asha@example.org"
        assert body_of(asha.send("PATCH", "/user/me", json={})) == body_of(asha.get("/user/me"))

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [({"name": ""}, "name"), ({"name": "x" * 101}, "name"), ({"name": 1}, "name"), ({"email": "x"}, "email"),
         ({"email": f"{'x' * 250}@example.org"}, "email"), ({"email": ["a@b.cd"]}, "email")],
    )  # fmt: skip
    def test_what_no_profile_may_hold(self, asha: Client, wrong: dict[str, Any], field: str):
        assert faulty_fields(asha.send("PATCH", "/user/me", json=wrong)) == {field}

    def test_who_one_is_and_what_one_has_do_not_change(self, asha: Client, house: House):
        before = body_of(asha.get("/user/me"))
        smuggled = {
            "id": "0" * 8,
            "mobileNumber": "+10000000000",
            "tier": "pro",
            "createdAt": "2000-01-01T00:00:00Z",
            "usage": {"used": 0, "limit": 1_000_000},
            "passwordHash": "x",
            "verifiedAt": None,
            "__proto__": {"tier": "pro"},
        }
        tables = house.database.tables.copy()
        assert body_of(asha.send("PATCH", "/user/me", json=smuggled)) == before
        assert house.database.tables.users == tables.users


class TestErasure:
    """DELETE /user/me."""

    def test_everything_goes_and_is_counted(self, asha: Client, api: Api, house: House):
        room = asha.open_room()
        asha.say(room)
        house.work()
        body = body_of(asha.send("DELETE", "/user/me"))
        erased = body["erased"]
        assert body["complete"]
        assert erased == {
            "users": 1, "sessions": 1, "refreshTokens": 1, "chatrooms": 1, "messages": 1, "replies": 1,
            "dailyUsage": 1, "subscriptions": 0, "idempotencyKeys": 0, "checkouts": 0, "customers": 0,
            "paymentEvents": 0, "paymentEntries": 0, "auditEvents": erased["auditEvents"],
        }  # fmt: skip
        for path in ("/user/me", "/chatroom", room, "/user/export", "/auth/sessions"):
            problem_of(asha.get(path), 401, "token_invalid")
        assert body_of(api.log_in(ASHA).get("/chatroom")) == []

    def test_without_the_payment_provider_one_has_to_wait(self, asha: Client, house: House):
        house.erasure_hook.failure = DependencyDown("stripe")
        answer = asha.send("DELETE", "/user/me")
        assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "stripe"
        body_of(asha.get("/user/me"))

    def test_a_guest_erases_no_account(self, guest: Client, asha: Client):
        problem_of(guest.send("DELETE", "/user/me"), 401, "token_invalid")
        body_of(asha.get("/user/me"))


class TestExport:
    """GET /user/export."""

    def test_it_is_one_object_a_line_and_says_where_it_ends(self, asha: Client, ravi: Client, house: House):
        asha.say(asha.open_room(), "line one\nline two ☀")
        ravi.say(ravi.open_room(), "a secret of Ravi's")
        house.work()
        answer = asha.get("/user/export")
        assert (answer.status_code, answer.mimetype) == (200, "application/x-ndjson")
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert lines[0]["mobileNumber"] == ASHA
        assert lines[-1] == {"type": "end", "records": len(lines) - 1}
        assert "line one\nline two ☀" in [line.get("content") for line in lines]
        assert "Ravi" not in answer.text

    def test_a_database_that_goes_away_shows_before_it_begins(self, asha: Client, house: House):
        house.database_probe.on = False
        problem_of(asha.get("/user/export"), 503, "dependency_unavailable")

    def test_a_guest_takes_nothing(self, guest: Client):
        problem_of(guest.get("/user/export"), 401, "token_invalid")


# --- GET /user/me, GET /user/usage ---


def test_me_is_the_account_with_plan_and_use(asha: Client):
    answer = asha.get("/user/me")
    body = body_of(answer)
    assert body == {
        "id": str(UUID(body["id"])),
        "mobileNumber": ASHA,
        "name": None,
        "email": None,
        "createdAt": "2026-03-02T09:30:00Z",
        "tier": "basic",
        "usage": {"tier": "basic", "limit": 5, "used": 0, "remaining": 5, "resetsAt": "2026-03-03T00:00:00Z"},
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content_type == "application/json"


def test_me_shows_what_was_said_at_sign_up(guest: Client, api: Api):
    guest.post("/auth/signup", {"mobileNumber": ASHA, "name": "Asha ☀", "email": "asha@example.com"})
    body = body_of(api.log_in(ASHA).get("/user/me"))
    assert (body["name"], body["email"]) == ("Asha ☀", "asha@example.com")


def test_usage_counts_accepted_prompts(asha: Client):
    room = asha.open_room()
    for used in (1, 2):
        asha.say(room)
        usage = body_of(asha.get("/user/usage"))
        assert (usage["used"], usage["remaining"]) == (used, 5 - used)
        assert body_of(asha.get("/user/me"))["usage"] == usage


def test_pro_has_no_daily_limit(asha: Client, house: House):
    house.subscribe(house.use_cases.auth.authenticate(asha.token or ""))
    assert body_of(asha.get("/user/usage")) == {
        "tier": "pro",
        "limit": None,
        "used": 0,
        "remaining": None,
        "resetsAt": "2026-03-03T00:00:00Z",
    }
    assert body_of(asha.get("/user/me"))["tier"] == "pro"


@pytest.mark.parametrize("path", ["/user/me", "/user/usage"])
def test_a_guest_is_told_nothing(guest: Client, path: str):
    answer = guest.get(path)
    problem_of(answer, 401, "token_invalid")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/user/me", "/user/usage"])
def test_without_the_database_one_has_to_wait(asha: Client, house: House, path: str):
    house.database_probe.on = False
    answer = asha.get(path)
    assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "database"
    assert answer.headers["Retry-After"] == "2"


def test_an_erased_account_has_no_token_any_more(asha: Client, house: House):
    house.database.tables.users.clear()
    problem_of(asha.get("/user/me"), 401, "token_invalid")


def test_the_last_days_are_shown_to_whom_asks(asha: Client):
    asha.say(asha.open_room())
    usage = body_of(asha.get("/user/usage?days=7"))
    assert usage.pop("days") == [{"day": "2026-03-02", "used": 1, "refunded": 0}]
    assert usage == body_of(asha.get("/user/usage"))
    for days in ("0", "32", "x", ""):
        assert faulty_fields(asha.get(f"/user/usage?days={days}")) == {"days"}
