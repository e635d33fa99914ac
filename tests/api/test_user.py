"""/user: users look at themselves."""

from uuid import UUID

import pytest

from tests.api.door import Caller, Door, body_of, problem_of
from tests.builders import ASHA, House


def test_me_is_the_account_with_plan_and_use(asha: Caller):
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


def test_me_shows_what_was_said_at_sign_up(guest: Caller, door: Door):
    guest.post("/auth/signup", {"mobileNumber": ASHA, "name": "Asha ☀", "email": "asha@example.com"})
    body = body_of(door.log_in(ASHA).get("/user/me"))
    assert (body["name"], body["email"]) == ("Asha ☀", "asha@example.com")


def test_usage_counts_accepted_prompts(asha: Caller):
    room = asha.open_room()
    for used in (1, 2):
        asha.say(room)
        usage = body_of(asha.get("/user/usage"))
        assert (usage["used"], usage["remaining"]) == (used, 5 - used)
        assert body_of(asha.get("/user/me"))["usage"] == usage


def test_pro_has_no_daily_limit(asha: Caller, house: House):
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
def test_a_guest_is_told_nothing(guest: Caller, path: str):
    answer = guest.get(path)
    problem_of(answer, 401, "token_invalid")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/user/me", "/user/usage"])
def test_without_the_database_one_has_to_wait(asha: Caller, house: House, path: str):
    house.database_probe.on = False
    answer = asha.get(path)
    assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "database"
    assert answer.headers["Retry-After"] == "2"


def test_an_erased_account_has_no_token_any_more(asha: Caller, house: House):
    house.database.tables.users.clear()
    problem_of(asha.get("/user/me"), 401, "token_invalid")
