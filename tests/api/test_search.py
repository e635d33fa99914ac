"""GET /search."""

import pytest

from domain.errors import SearchTooBroad
from tests.api.client import Client, body_of, faulty_fields, problem_of
from tests.builders import House


def index_all(house: House) -> None:
    while house.replying.index_entries():
        pass


def test_rooms_messages_and_replies(asha: Client, house: House):
    room = asha.open_room("Tides & <b>moons</b>")
    sent = body_of(asha.say(room, "Why are there two tides a day?"), 202)
    house.work()
    index_all(house)
    room_id, at = room.rpartition("/")[2], "2026-03-02T09:30:00Z"
    entry = {"chatroomId": room_id, "chatroomName": "Tides & <b>moons</b>", "createdAt": at}
    answer = asha.get("/search?q=TIDE")
    assert body_of(answer) == {
        "chatrooms": [
            {
                "id": room_id,
                "name": {"text": "Tides & <b>moons</b>", "matches": [{"start": 0, "end": 4}]},
                "createdAt": at,
                "archived": False,
            }
        ],
        "messages": [
            {
                **entry,
                "id": sent["reply"]["id"],
                "role": "bot",
                "passage": {
                    "text": "echo: Why are there two tides a day?",
                    "matches": [{"start": 24, "end": 28}],
                },
            },
            {
                **entry,
                "id": sent["message"]["id"],
                "role": "user",
                "passage": {"text": "Why are there two tides a day?", "matches": [{"start": 18, "end": 22}]},
            },
        ],
        "nextCursor": None,
        "complete": True,
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_pages(asha: Client, house: House):
    room = asha.open_room()
    for number in range(3):
        asha.say(room, f"दिल्ली {number}")
    index_all(house)
    first = body_of(asha.get("/search?limit=2&q=दिल्ली"))
    assert [one["passage"]["text"] for one in first["messages"]] == ["दिल्ली 2", "दिल्ली 1"]
    second = body_of(asha.get(f"/search?limit=2&q=दिल्ली&cursor={first['nextCursor']}"))
    assert ([one["passage"]["text"] for one in second["messages"]], second["nextCursor"]) == (["दिल्ली 0"], None)


def test_nothing_of_others_and_nothing_that_is_removed(asha: Client, ravi: Client, house: House):
    room = ravi.open_room("Secrets")
    ravi.say(room, "a secret")
    house.work()
    index_all(house)
    found = body_of(asha.get("/search?q=secret"))
    assert (found["chatrooms"], found["messages"]) == ([], [])
    assert len(body_of(ravi.get("/search?q=secret"))["messages"]) == 2
    ravi.send("DELETE", room)
    found = body_of(ravi.get("/search?q=secret"))
    assert (found["chatrooms"], found["messages"]) == ([], [])


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("", {"q"}),
        ("q=", {"q"}),
        ("q=%20", {"q"}),
        ("q=%00", {"q"}),
        ("q=?!", {"q"}),
        (f"q={'x' * 101}", {"q"}),
        ("q=tea&limit=0", {"limit"}),
        ("q=tea&limit=51", {"limit"}),
        ("q=tea&cursor=7", {"cursor"}),
    ],
)
def test_what_is_no_search(asha: Client, query: str, faulty: set[str]):
    assert faulty_fields(asha.get(f"/search?{query}")) == faulty


@pytest.mark.parametrize("query", ["'; DROP TABLE messages", "a%26b%7C!c:*", "%FF%FE", "\\\\", "(%25s)", "x:x*"])
def test_nothing_in_a_query_is_an_operator(asha: Client, query: str):
    body_of(asha.get(f"/search?q=x{query}"))


def test_a_guest_is_told_nothing(guest: Client):
    problem_of(guest.get("/search?q="), 401, "token_invalid")


def test_the_number_of_searches_is_limited(asha: Client):
    for _ in range(60):
        body_of(asha.get("/search?q=tea"))
    refused = asha.get("/search?q=tea")
    problem = problem_of(refused, 429, "rate_limited")
    assert (problem["policy"], problem["limit"], problem["window"]) == ("search", 60, 60)
    assert refused.headers["Retry-After"] == str(problem["retryAfter"])
    body_of(asha.get("/chatroom"))


def test_a_search_that_finds_too_much(asha: Client, monkeypatch: pytest.MonkeyPatch):
    def too_broad(*_: object, **__: object) -> None:
        raise SearchTooBroad

    monkeypatch.setattr("adapters.memory.search.MemorySearch.entries", too_broad)
    problem_of(asha.get("/search?q=tea"), 422, "search_too_broad")


def test_without_the_database_one_has_to_wait(asha: Client, house: House):
    house.database_probe.on = False
    problem_of(asha.get("/search?q=tea"), 503, "dependency_unavailable")
