"""POST /chatroom/{id}/message: a prompt is accepted, or refused and not charged."""

import re
from datetime import UTC, datetime
from json import dumps
from uuid import UUID

import pytest

from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House

NOWHERE = f"/chatroom/{UUID(int=1 << 100)}"


def test_a_message_is_accepted(asha: Client, house: House):
    room = asha.open_room()
    answer = asha.say(room, "Hello, how are you?")
    body = body_of(answer, 202)
    message, reply = body["message"], body["reply"]
    assert body == {
        "message": {
            "id": str(UUID(message["id"])),
            "chatroomId": room.rpartition("/")[2],
            "role": "user",
            "content": "Hello, how are you?",
            "createdAt": "2026-03-02T09:30:00Z",
        },
        "reply": {"id": str(UUID(reply["id"])), "status": "queued"},
        "quota": {"limit": 5, "used": 1, "remaining": 4, "resetsAt": "2026-03-03T00:00:00Z"},
        "links": {
            "chatroom": room,
            "reply": f"/message/{reply['id']}",
            "stream": f"/message/{reply['id']}/stream",
        },
    }
    assert answer.headers["Location"] == f"/message/{reply['id']}"
    assert "Idempotent-Replayed" not in answer.headers
    assert house.worker_notifier.notified == 1
    assert [entry["id"] for entry in body_of(asha.get(room))["messages"]] == [message["id"], reply["id"]]


def test_what_is_left_of_the_day(asha: Client):
    room = asha.open_room()
    for left in (4, 3):
        headers = asha.say(room).headers
        assert headers["RateLimit-Policy"] == '"daily";q=5;w=86400'
        assert re.fullmatch(rf'"daily";r={left};t=\d+', headers["RateLimit"])


def test_the_time_until_midnight():
    asha = Api(House(now=datetime.now(UTC))).log_in(ASHA)
    headers = asha.say(asha.open_room()).headers
    seconds = int(headers["RateLimit"].rpartition("t=")[2])
    assert 0 <= seconds <= 86_400


def test_without_a_limit_there_are_no_limit_headers(asha: Client, house: House):
    house.subscribe(house.use_cases.auth.authenticate(asha.token or ""))
    answer = asha.say(asha.open_room())
    assert body_of(answer, 202)["quota"] == {
        "limit": None,
        "used": 1,
        "remaining": None,
        "resetsAt": "2026-03-03T00:00:00Z",
    }
    assert "RateLimit" not in answer.headers
    assert "RateLimit-Policy" not in answer.headers


def test_the_sixth_prompt_of_the_day_is_refused(asha: Client, house: House):
    room = asha.open_room()
    for _ in range(5):
        body_of(asha.say(room), 202)
    answer = asha.say(asha.open_room("another"))
    problem = problem_of(answer, 429, "daily_quota_exceeded")
    assert (problem["limit"], problem["used"], problem["resetsAt"]) == (5, 5, "2026-03-03T00:00:00Z")
    assert answer.headers["RateLimit-Policy"] == '"daily";q=5;w=86400'
    assert answer.headers["RateLimit"].startswith('"daily";r=0;t=')
    assert len(house.database.tables.messages) == len(house.database.tables.replies) == 5
    assert house.worker_notifier.notified == 5


def test_the_refusal_says_when_to_come_back():
    now = datetime.now(UTC)
    asha = Api(House(now=now, basic_daily_prompts=0)).log_in(ASHA)
    headers = asha.say(asha.open_room()).headers
    seconds = int(headers["Retry-After"])
    assert 1 <= seconds <= 86_400
    assert seconds - int(headers["RateLimit"].removeprefix('"daily";r=0;t=')) in {0, 1}


def test_the_next_day_there_are_prompts_again(asha: Client, house: House):
    room = asha.open_room()
    for _ in range(6):
        asha.say(room)
    house.clock.now = datetime(2026, 3, 3, tzinfo=UTC)
    asha.token = house.token(ASHA)
    assert body_of(asha.say(room), 202)["quota"]["used"] == 1


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("message", ["m" * 16_000, "\U0001f600" * 16_000, "\u0928" * 16_000, "x"])
def test_long_messages_are_taken_however_the_client_escapes_them(asha: Client, message: str, escaped: bool):
    data = dumps({"message": message}, ensure_ascii=escaped).encode()
    answer = asha.send("POST", f"{asha.open_room()}/message", data=data, content_type="application/json")
    assert body_of(answer, 202)["message"]["content"] == message


@pytest.mark.parametrize("message", ["", " \n\t", "m" * 16_001, None, 5, True, ["hi"], {"text": "hi"}])
def test_what_is_no_message_costs_nothing(asha: Client, house: House, message: object):
    answer = asha.post(f"{asha.open_room()}/message", {"message": message})
    assert faulty_fields(answer) == {"message"}
    assert not house.database.tables.daily_usage


def test_a_body_without_a_message(asha: Client):
    assert faulty_fields(asha.post(f"{asha.open_room()}/message", {"text": "hi"})) == {"message"}


def test_users_cannot_speak_for_the_bot(asha: Client):
    room = asha.open_room()
    wish = {"role": "bot", "status": "done", "id": str(UUID(int=7)), "userId": str(UUID(int=8)), "quota": {"used": 0}}
    body = body_of(asha.post(f"{room}/message", {"message": "hi", **wish}), 202)
    assert (body["message"]["role"], body["reply"]["status"], body["quota"]["used"]) == ("user", "queued", 1)
    assert body["message"]["id"] != wish["id"]


def test_a_foreign_room_and_a_missing_one_look_alike_and_cost_nothing(asha: Client, ravi: Client, house: House):
    room = ravi.open_room("secret")
    request = {"json": {"message": "hi"}, "headers": {"X-Request-Id": "one-and-the-same"}}
    foreign = asha.send("POST", f"{room}/message", **request)
    missing = asha.send("POST", f"{NOWHERE}/message", **request)
    problem_of(foreign, 404, "chatroom_not_found")
    assert foreign.data == missing.data
    assert foreign.headers == missing.headers
    assert not house.database.tables.daily_usage
    assert not house.database.tables.messages


def test_a_guest_is_refused_first(guest: Client, asha: Client, house: House):
    problem_of(guest.post(f"{asha.open_room()}/message", {}), 401, "token_invalid")
    assert not house.database.tables.messages


def test_without_the_database_nothing_is_accepted(asha: Client, house: House):
    room = asha.open_room()
    house.database_probe.on = False
    problem_of(asha.say(room), 503, "dependency_unavailable")
    assert not house.database.tables.messages
    assert house.worker_notifier.notified == 0
