"""/user and /chatroom/{id}: changing, taking along, and leaving."""

import json
from typing import Any

import pytest

from domain.errors import DependencyDown
from tests.api.door import Caller, Door, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House


class TestTheProfile:
    """PATCH /user/me."""

    def test_what_is_given_changes(self, asha: Caller):
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
    def test_what_no_profile_may_hold(self, asha: Caller, wrong: dict[str, Any], field: str):
        assert faulty_fields(asha.send("PATCH", "/user/me", json=wrong)) == {field}

    def test_who_one_is_and_what_one_has_do_not_change(self, asha: Caller, house: House):
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


class TestLeaving:
    """DELETE /user/me."""

    def test_everything_goes_and_is_counted(self, asha: Caller, door: Door, house: House):
        room = asha.open_room()
        asha.say(room)
        house.work()
        erased = body_of(asha.send("DELETE", "/user/me"))["erased"]
        assert erased == {
            "users": 1, "sessions": 1, "refreshTokens": 1, "chatrooms": 1, "messages": 1, "replies": 1,
            "dailyUsage": 1, "subscriptions": 0, "idempotencyKeys": 0, "checkouts": 0, "customers": 0,
            "paymentEvents": 0, "paymentEntries": 0, "auditEvents": erased["auditEvents"],
        }  # fmt: skip
        for path in ("/user/me", "/chatroom", room, "/user/export", "/auth/sessions"):
            problem_of(asha.get(path), 401, "token_invalid")
        assert body_of(door.log_in(ASHA).get("/chatroom")) == []

    def test_without_the_payment_provider_one_has_to_wait(self, asha: Caller, house: House):
        house.erasure_hook.failure = DependencyDown("stripe")
        answer = asha.send("DELETE", "/user/me")
        assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "stripe"
        body_of(asha.get("/user/me"))

    def test_a_guest_erases_nobody(self, guest: Caller, asha: Caller):
        problem_of(guest.send("DELETE", "/user/me"), 401, "token_invalid")
        body_of(asha.get("/user/me"))


class TestTheExport:
    """GET /user/export."""

    def test_it_is_one_object_a_line_and_says_where_it_ends(self, asha: Caller, ravi: Caller, house: House):
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

    def test_a_database_that_goes_away_shows_before_it_begins(self, asha: Caller, house: House):
        house.database_probe.on = False
        problem_of(asha.get("/user/export"), 503, "dependency_unavailable")

    def test_a_guest_takes_nothing(self, guest: Caller):
        problem_of(guest.get("/user/export"), 401, "token_invalid")


class TestChatroomsThatChange:
    """PATCH and DELETE of /chatroom/{id}."""

    def test_renaming(self, asha: Caller):
        room = asha.open_room("Old")
        tag = asha.get("/chatroom").headers["ETag"]
        body = body_of(asha.send("PATCH", room, json={"name": "New", "systemPrompt": "Be brief."}))
        assert (body["name"], body["systemPrompt"], room) == ("New", "Be brief.", f"/chatroom/{body['id']}")
        listed = asha.get("/chatroom", headers={"If-None-Match": tag})
        assert [line["name"] for line in body_of(listed)] == ["New"]
        assert listed.headers["X-Cache"] == "miss"
        shown = body_of(asha.get(room))
        assert (shown["name"], shown["systemPrompt"]) == ("New", "Be brief.")
        assert body_of(asha.send("PATCH", room, json={"systemPrompt": None}))["systemPrompt"] is None

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [({"name": ""}, "name"), ({"name": None}, "name"), ({"name": "x" * 101}, "name"), ({"name": " "}, "name"),
         ({"systemPrompt": ""}, "systemPrompt"), ({"systemPrompt": "x" * 4_001}, "systemPrompt"),
         ({"systemPrompt": 1}, "systemPrompt")],
    )  # fmt: skip
    def test_what_no_chatroom_may_be_called(self, asha: Caller, wrong: dict[str, Any], field: str):
        room = asha.open_room("Old")
        assert faulty_fields(asha.send("PATCH", room, json=wrong)) == {field}
        assert body_of(asha.get(room))["name"] == "Old"

    def test_removing(self, asha: Caller):
        room, other = asha.open_room(), asha.open_room()
        asha.say(room)
        assert asha.send("DELETE", room).status_code == 204
        for answer in (asha.get(room), asha.send("DELETE", room), asha.say(room), asha.send("PATCH", room, json={})):
            problem_of(answer, 404, "chatroom_not_found")
        assert [f"/chatroom/{line['id']}" for line in body_of(asha.get("/chatroom"))] == [other]

    def test_a_foreign_one_is_as_one_that_never_was(self, asha: Caller, ravi: Caller):
        room = asha.open_room("Mine")
        for method, json_ in (("PATCH", {"name": "His"}), ("DELETE", None)):
            problem_of(ravi.send(method, room, json=json_), 404, "chatroom_not_found")
        assert body_of(asha.get(room))["name"] == "Mine"

    def test_a_guest_changes_nothing(self, guest: Caller, asha: Caller):
        room = asha.open_room()
        for method in ("PATCH", "DELETE"):
            problem_of(guest.send(method, room), 401, "token_invalid")
