"""/chatroom: opening, listing, reading, changing and removing chatrooms."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.replies import Answer, AnswerFailed, FailureReason
from entrypoints.api.entries import FAILURE_DETAILS
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House

NOWHERE = f"/chatroom/{UUID(int=1 << 100)}"


def next_link(answer: Any) -> str | None:
    links = {link["rel"]: url for url, link in _links(answer.headers.get("Link", ""))}
    return links.get("next")


def _links(header: str) -> list[tuple[str, dict[str, str]]]:
    found = []
    for part in filter(None, header.split(",")):
        url, *parameters = part.strip().split(";")
        pairs = (parameter.strip().split("=", 1) for parameter in parameters)
        found.append((url.strip("<>"), {name: value.strip('"') for name, value in pairs}))
    return found


class TestOpening:
    """POST /chatroom."""

    def test_the_room_and_its_address(self, asha: Client):
        answer = asha.post("/chatroom", {"name": "  My First Chat "})
        body = body_of(answer, 201)
        assert body == {
            "id": str(UUID(body["id"])),
            "name": "My First Chat",
            "createdAt": "2026-03-02T09:30:00Z",
            "updatedAt": "2026-03-02T09:30:00Z",
            "pinned": False,
            "archived": False,
        }
        assert answer.headers["Location"] == f"/chatroom/{body['id']}"
        assert answer.headers["Cache-Control"] == "no-store"
        assert body_of(asha.get(answer.headers["Location"]))["name"] == "My First Chat"

    def test_a_system_prompt_is_kept(self, asha: Client):
        answer = asha.post("/chatroom", {"name": "Pirates", "systemPrompt": "Talk like a pirate. ☠"})
        assert body_of(asha.get(answer.headers["Location"]))["systemPrompt"] == "Talk like a pirate. ☠"

    def test_without_a_name_the_first_message_gives_it_one(self, asha: Client):
        opened = asha.post("/chatroom", {})
        assert body_of(opened, 201)["name"] == ""
        room = opened.headers["Location"]
        tag = asha.get("/chatroom").headers["ETag"]
        first = body_of(asha.say(room, "Why is **the sky** blue? Be brief.", Idempotency_Key="k"), 202)
        assert first["chatroomName"] == "Why is the sky blue?"
        assert body_of(asha.say(room, "Why is **the sky** blue? Be brief.", Idempotency_Key="k"), 202) == first
        assert "chatroomName" not in body_of(asha.say(room, "And the sea?"), 202)
        listed = asha.get("/chatroom", headers={"If-None-Match": tag})
        assert [line["name"] for line in body_of(listed)] == ["Why is the sky blue?"]
        assert body_of(asha.get(room))["name"] == "Why is the sky blue?"

    @pytest.mark.parametrize(
        ("body", "faulty"),
        [
            ({"name": ""}, {"name"}),
            ({"name": " \n"}, {"name"}),
            ({"name": None}, {"name"}),
            ({"name": 5}, {"name"}),
            ({"name": "n" * 101}, {"name"}),
            ({"name": "Room", "systemPrompt": ""}, {"systemPrompt"}),
            ({"name": "Room", "systemPrompt": "\t"}, {"systemPrompt"}),
            ({"name": "Room", "systemPrompt": "s" * 4001}, {"systemPrompt"}),
            ({"name": 5, "systemPrompt": 1}, {"name", "systemPrompt"}),
        ],
    )
    def test_each_faulty_field_is_named(self, asha: Client, house: House, body: object, faulty: set[str]):
        assert faulty_fields(asha.post("/chatroom", body)) == faulty
        assert not house.database.tables.chatrooms

    def test_users_cannot_open_a_room_for_another(self, asha: Client, ravi: Client):
        theirs = body_of(ravi.get("/user/me"))["id"]
        wish = {"userId": theirs, "user_id": theirs, "id": str(UUID(int=7)), "createdAt": "2020-01-01T00:00:00Z"}
        body = body_of(asha.post("/chatroom", {"name": "Mine", **wish}), 201)
        assert (body["id"], body["createdAt"]) != (wish["id"], wish["createdAt"])
        assert body_of(ravi.get("/chatroom")) == []

    def test_a_guest_is_not_told_what_a_body_should_look_like(self, guest: Client):
        assert "errors" not in problem_of(guest.post("/chatroom", {}), 401, "token_invalid")

    def test_without_the_database_nothing_is_opened(self, asha: Client, house: House):
        house.database_probe.on = False
        problem_of(asha.post("/chatroom", {"name": "Room"}), 503, "dependency_unavailable")
        assert not house.database.tables.chatrooms


class TestListing:
    """GET /chatroom."""

    def test_an_array_newest_first_and_only_your_own(self, asha: Client, ravi: Client):
        for name in ("one", "two", "three"):
            asha.open_room(name)
        ravi.open_room("theirs")
        assert [room["name"] for room in body_of(asha.get("/chatroom"))] == ["three", "two", "one"]

    def test_a_new_user_has_no_rooms(self, asha: Client):
        answer = asha.get("/chatroom")
        assert body_of(answer) == []
        assert "Link" not in answer.headers

    def test_the_second_look_is_a_hit_until_a_write(self, asha: Client, ravi: Client):
        assert asha.get("/chatroom").headers["X-Cache"] == "miss"
        assert asha.get("/chatroom").headers["X-Cache"] == "hit"
        ravi.open_room("theirs")
        assert asha.get("/chatroom/").headers["X-Cache"] == "hit"
        asha.open_room("one")
        after_the_write = asha.get("/chatroom")
        assert after_the_write.headers["X-Cache"] == "miss"
        assert [room["name"] for room in body_of(after_the_write)] == ["one"]
        again = asha.get("/chatroom")
        assert again.headers["X-Cache"] == "hit"
        assert again.data == after_the_write.data

    def test_the_cache_of_one_is_not_shown_to_another(self, asha: Client, ravi: Client):
        asha.open_room("secret")
        asha.get("/chatroom")
        assert body_of(ravi.get("/chatroom")) == []

    def test_a_page_that_is_known_is_not_sent_again(self, asha: Client):
        asha.open_room("one")
        first = asha.get("/chatroom")
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "private, no-cache"
        for header in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
            again = asha.get("/chatroom", headers={"If-None-Match": header})
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
            assert again.headers["X-Cache"] == "hit"
        body_of(asha.get("/chatroom", headers={"If-None-Match": 'W/"other"'}))
        asha.open_room("two")
        changed = asha.get("/chatroom", headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag

    def test_pages_follow_each_other_to_the_end(self, asha: Client):
        for number in range(7):
            asha.open_room(f"room {number}")
        names: list[list[str]] = []
        path: str | None = "/chatroom?limit=3"
        while path is not None:
            answer = asha.get(path)
            names.append([room["name"] for room in body_of(answer)])
            assert answer.headers["X-Cache"] == "miss"
            path = next_link(answer)
        assert names == [["room 6", "room 5", "room 4"], ["room 3", "room 2", "room 1"], ["room 0"]]

    def test_the_first_page_links_to_the_next_from_the_cache_too(self, asha: Client):
        for number in range(51):
            asha.open_room(f"room {number}")
        miss, hit = asha.get("/chatroom"), asha.get("/chatroom")
        assert (miss.headers["X-Cache"], hit.headers["X-Cache"]) == ("miss", "hit")
        assert len(body_of(hit)) == 50
        path = next_link(hit)
        assert path is not None
        assert path == next_link(miss)
        last = asha.get(path)
        assert [room["name"] for room in body_of(last)] == ["room 0"]
        assert next_link(last) is None

    def test_a_room_opened_meanwhile_does_not_shift_the_pages(self, asha: Client):
        for number in range(4):
            asha.open_room(f"room {number}")
        path = next_link(asha.get("/chatroom?limit=2"))
        asha.open_room("meanwhile")
        assert [room["name"] for room in body_of(asha.get(path or ""))] == ["room 1", "room 0"]

    @pytest.mark.parametrize("limit", [1, 100])
    def test_the_bounds_of_a_page(self, asha: Client, limit: int):
        body_of(asha.get(f"/chatroom?limit={limit}"))

    @pytest.mark.parametrize("limit", ["0", "-1", "101", "abc", "", "1.5", "1e1"])
    def test_a_limit_out_of_bounds(self, asha: Client, limit: str):
        assert faulty_fields(asha.get(f"/chatroom?limit={limit}")) == {"limit"}

    def test_a_cursor_that_is_none(self, asha: Client):
        assert faulty_fields(asha.get("/chatroom?cursor=junk&limit=junk")) == {"cursor", "limit"}

    def test_a_guest_is_told_nothing(self, guest: Client):
        problem_of(guest.get("/chatroom?limit=junk"), 401, "token_invalid")

    def test_without_the_database_one_has_to_wait(self, asha: Client, house: House):
        asha.get("/chatroom")
        house.database_probe.on = False
        problem_of(asha.get("/chatroom"), 503, "dependency_unavailable")


class TestReading:
    """GET /chatroom/{id}."""

    def test_prompts_and_replies_oldest_first(self, asha: Client, house: House):
        room = asha.open_room("Poems")
        asha.say(room, "one")
        house.work()
        asha.say(room, "two")
        body = body_of(asha.get(room))
        room_id = room.rpartition("/")[2]
        first, answer, second, waiting = body.pop("messages")
        assert body == {
            "id": room_id,
            "name": "Poems",
            "systemPrompt": None,
            "createdAt": "2026-03-02T09:30:00Z",
            "updatedAt": "2026-03-02T09:30:00Z",
            "pinned": False,
            "archived": False,
            "nextCursor": None,
        }
        at = "2026-03-02T09:30:00Z"
        ours = {"chatroomId": room_id, "role": "user", "createdAt": at}
        assert first == {**ours, "id": first["id"], "content": "one"}
        assert second == {**ours, "id": second["id"], "content": "two"}
        theirs = {"chatroomId": room_id, "role": "bot", "createdAt": at}
        assert answer == {
            **theirs,
            "id": answer["id"],
            "content": "echo: one",
            "replyTo": first["id"],
            "status": "done",
            "model": "scripted",
            "truncated": False,
            "finishedAt": at,
            "usage": {"inputTokens": None, "outputTokens": None},
        }
        assert waiting == {
            **theirs,
            "id": waiting["id"],
            "content": None,
            "replyTo": second["id"],
            "status": "queued",
        }

    def test_what_the_model_counted(self, asha: Client, house: House):
        room = asha.open_room()
        house.model.will(Answer("cut sho", "gemini-x", input_tokens=3, output_tokens=2, truncated=True))
        asha.say(room)
        house.work()
        entry = body_of(asha.get(room))["messages"][1]
        assert entry["usage"] == {"inputTokens": 3, "outputTokens": 2}
        assert (entry["model"], entry["truncated"]) == ("gemini-x", True)

    @pytest.mark.parametrize("reason", list(FailureReason))
    def test_a_failed_reply_says_why_and_costs_nothing(self, asha: Client, house: House, reason: FailureReason):
        room = asha.open_room()
        house.model.will(*[AnswerFailed(reason, retry_after=timedelta(minutes=4))] * 2)
        asha.say(room, "hi")
        assert body_of(asha.get("/user/usage"))["used"] == 1
        for _ in range(2):
            house.work()
            house.clock.advance(timedelta(minutes=4))
        entry = body_of(asha.get(room))["messages"][1]
        assert (entry["status"], entry["content"]) == ("failed", None)
        assert entry["error"] == {"code": reason.value, "detail": FAILURE_DETAILS[reason]}
        assert "finishedAt" in entry
        assert not {"model", "truncated", "usage"} & set(entry)
        assert body_of(asha.get("/user/usage"))["used"] == 0

    def test_a_running_reply(self, asha: Client, house: House):
        room = asha.open_room()
        asha.say(room)
        house.claim_one()
        assert body_of(asha.get(room))["messages"][1]["status"] == "running"

    def test_texts_come_back_as_they_were_sent(self, asha: Client, house: House):
        room = asha.open_room()
        text = ' tabs\t"quotes" \\ <b> \U0001f44b\U0001f3fd é é \u200f שלום '
        asha.say(room, text)
        house.work()
        contents = [entry["content"] for entry in body_of(asha.get(room))["messages"]]
        assert contents == [text, f"echo: {text}"]

    def test_a_reply_shows_as_soon_as_it_is_stored(self, asha: Client, house: House):
        room = asha.open_room()
        asha.say(room)
        before = asha.get(room)
        tag = before.headers["ETag"]
        assert before.headers["Cache-Control"] == "private, no-cache"
        known = asha.get(room, headers={"If-None-Match": tag})
        assert (known.status_code, known.data, known.headers["ETag"]) == (304, b"", tag)
        house.work()
        after = asha.get(room, headers={"If-None-Match": tag})
        assert body_of(after)["messages"][1]["status"] == "done"
        assert after.headers["ETag"] != tag

    def test_pages_go_back_to_the_beginning(self):
        api = Api(House(basic_daily_prompts=100))
        asha = api.log_in(ASHA)
        room = asha.open_room()
        for number in range(5):
            asha.say(room, str(number))
        pages = []
        cursor: str | None = ""
        while cursor is not None:
            body = body_of(asha.get(f"{room}?limit=4" + (f"&cursor={cursor}" if cursor else "")))
            pages.append([entry["content"] for entry in body["messages"] if entry["role"] == "user"])
            assert len(body["messages"]) == 2 * len(pages[-1])
            cursor = body["nextCursor"]
        assert pages == [["3", "4"], ["1", "2"], ["0"]]

    def test_the_usual_page_has_fifty_entries(self):
        api = Api(House(basic_daily_prompts=100))
        asha = api.log_in(ASHA)
        room = asha.open_room()
        for number in range(26):
            asha.say(room, str(number))
        body = body_of(asha.get(room))
        assert len(body["messages"]) == 50
        assert body["nextCursor"] == body["messages"][0]["id"]

    def test_a_message_always_comes_with_its_reply(self, asha: Client):
        room = asha.open_room()
        asha.say(room, "one")
        asha.say(room, "two")
        for limit, entries in ((1, 2), (2, 2), (3, 4)):
            assert len(body_of(asha.get(f"{room}?limit={limit}"))["messages"]) == entries

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x"])
    def test_a_limit_out_of_bounds(self, asha: Client, query: str):
        assert faulty_fields(asha.get(f"{asha.open_room()}?{query}")) == {"limit"}

    def test_a_cursor_that_is_none(self, asha: Client):
        assert faulty_fields(asha.get(f"{asha.open_room()}?cursor=1")) == {"cursor"}

    def test_a_foreign_room_and_a_missing_one_look_alike(self, asha: Client, ravi: Client):
        room = ravi.open_room("secret")
        same_id = {"X-Request-Id": "one-and-the-same"}
        foreign, missing = asha.get(room, headers=same_id), asha.get(NOWHERE, headers=same_id)
        problem_of(foreign, 404, "chatroom_not_found")
        assert foreign.data == missing.data
        assert foreign.headers == missing.headers

    def test_a_foreign_cursor_tells_nothing(self, asha: Client, ravi: Client):
        theirs = body_of(ravi.say(ravi.open_room("secret"), "secret"), 202)["message"]["id"]
        room = asha.open_room()
        asha.say(room, "mine")
        answer = asha.get(f"{room}?cursor={theirs}")
        assert "secret" not in answer.text

    def test_a_guest_cannot_tell_which_rooms_there_are(self, guest: Client, asha: Client):
        for path in (asha.open_room(), NOWHERE, f"{NOWHERE}?limit=junk"):
            problem_of(guest.get(path), 401, "token_invalid")

    @pytest.mark.parametrize("query", ["", "?limit=junk"])
    def test_a_session_that_ended_is_told_first(self, asha: Client, query: str):
        room = asha.open_room()
        asha.post("/auth/logout")
        problem_of(asha.get(f"{room}{query}"), 401, "token_invalid")

    def test_without_the_database_one_has_to_wait(self, asha: Client, house: House):
        room = asha.open_room()
        house.database_probe.on = False
        problem_of(asha.get(room), 503, "dependency_unavailable")


class TestChanging:
    """PATCH and DELETE of /chatroom/{id}."""

    def test_renaming(self, asha: Client):
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
    def test_what_no_chatroom_may_be_called(self, asha: Client, wrong: dict[str, Any], field: str):
        room = asha.open_room("Old")
        assert faulty_fields(asha.send("PATCH", room, json=wrong)) == {field}
        assert body_of(asha.get(room))["name"] == "Old"

    def test_pinning_and_archiving(self, asha: Client):
        rooms = {name: asha.open_room(name) for name in ("one", "two", "three")}
        pinned = body_of(asha.send("PATCH", rooms["one"], json={"pinned": True}))
        assert (pinned["name"], pinned["pinned"], pinned["archived"]) == ("one", True, False)
        archived = body_of(asha.send("PATCH", rooms["three"], json={"archived": True}))
        assert (archived["pinned"], archived["archived"]) == (False, True)
        listed = body_of(asha.get("/chatroom"))
        assert [(line["name"], line["pinned"], line["archived"]) for line in listed] == [
            ("one", True, False),
            ("two", False, False),
        ]
        archive = asha.get("/chatroom?archived=true")
        assert [(line["name"], line["archived"]) for line in body_of(archive)] == [("three", True)]
        assert archive.headers["X-Cache"] == "miss"
        assert [line["name"] for line in body_of(asha.get("/chatroom?archived=false"))] == ["one", "two"]
        assert body_of(asha.get(rooms["three"]))["archived"] is True
        assert asha.say(rooms["three"]).status_code == 202
        assert [line["name"] for line in body_of(asha.get("/chatroom"))] == ["one", "three", "two"]

    @pytest.mark.parametrize("archived", ["", "&archived=true"])
    def test_pages_of_each_list_follow_each_other(self, asha: Client, archived: str):
        for number in range(6):
            room = asha.open_room(f"room {number}")
            asha.send("PATCH", room, json={"archived": True} if archived else {"pinned": number < 3})
        names: list[str] = []
        path: str | None = f"/chatroom?limit=2{archived}"
        while path is not None:
            answer = asha.get(path)
            names += [line["name"] for line in body_of(answer)]
            path = next_link(answer)
        order = [5, 4, 3, 2, 1, 0] if archived else [2, 1, 0, 5, 4, 3]
        assert names == [f"room {number}" for number in order]

    def test_the_number_of_pinned_rooms_is_bounded(self, asha: Client):
        for _ in range(20):
            body_of(asha.send("PATCH", asha.open_room(), json={"pinned": True}))
        problem = problem_of(asha.send("PATCH", asha.open_room(), json={"pinned": True}), 409, "too_many_pinned")
        assert problem["limit"] == 20

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [({"pinned": None}, "pinned"), ({"pinned": 1}, "pinned"), ({"pinned": "true"}, "pinned"),
         ({"archived": "no"}, "archived"), ({"archived": 0}, "archived"), ({"archived": []}, "archived"),
         ({"pinned": True, "archived": True}, "archived")],
    )  # fmt: skip
    def test_what_is_no_way_to_pin_or_archive(self, asha: Client, wrong: dict[str, Any], field: str):
        room = asha.open_room()
        assert faulty_fields(asha.send("PATCH", room, json=wrong)) == {field}
        assert {body_of(asha.get(room))[name] for name in ("pinned", "archived")} == {False}

    @pytest.mark.parametrize("query", ["archived=yes", "archived=1", "archived=", "archived=True"])
    def test_what_is_no_list(self, asha: Client, query: str):
        assert faulty_fields(asha.get(f"/chatroom?{query}")) == {"archived"}

    @pytest.mark.parametrize(
        "cursor", ["pinned-", "pinned-7", "archived-{id}", "{id}-pinned", "pinned-{id}x", "%7B{id}%7D"]
    )
    def test_what_is_no_cursor_of_rooms(self, asha: Client, cursor: str):
        assert faulty_fields(asha.get(f"/chatroom?cursor={cursor.format(id=UUID(int=7))}")) == {"cursor"}

    def test_removing(self, asha: Client):
        room, other = asha.open_room(), asha.open_room()
        asha.say(room)
        assert asha.send("DELETE", room).status_code == 204
        for answer in (asha.get(room), asha.send("DELETE", room), asha.say(room), asha.send("PATCH", room, json={})):
            problem_of(answer, 404, "chatroom_not_found")
        assert [f"/chatroom/{line['id']}" for line in body_of(asha.get("/chatroom"))] == [other]

    def test_a_foreign_one_is_as_one_that_never_was(self, asha: Client, ravi: Client):
        room = asha.open_room("Mine")
        for method, json_ in (("PATCH", {"name": "His"}), ("DELETE", None)):
            problem_of(ravi.send(method, room, json=json_), 404, "chatroom_not_found")
        assert body_of(asha.get(room))["name"] == "Mine"

    def test_a_guest_changes_nothing(self, guest: Client, asha: Client):
        room = asha.open_room()
        for method in ("PATCH", "DELETE"):
            problem_of(guest.send(method, room), 401, "token_invalid")
