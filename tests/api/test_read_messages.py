"""GET /chatroom/{id}/messages: older pages, newer entries, long polls."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.replies import AnswerFailed, FailureReason
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, House

NOWHERE = f"/chatroom/{UUID(int=1 << 100)}"


def contents(body: Any) -> list[str | None]:
    return [entry["content"] for entry in body["messages"]]


@pytest.fixture
def room(asha: Client, house: House) -> str:
    """A room in which two messages were answered and one waits."""
    room = asha.open_room()
    for text in ("one", "two"):
        asha.say(room, text)
        house.work()
    asha.say(room, "three")
    return room


ALL = ["one", "echo: one", "two", "echo: two", "three", None]


class TestOlderPages:
    """Without ``after``."""

    def test_the_newest_page_is_that_of_the_room(self, asha: Client, room: str):
        body = body_of(asha.get(f"{room}/messages"))
        whole = body_of(asha.get(room))
        assert body == {"messages": whole["messages"], "nextCursor": None}
        assert contents(body) == ALL

    def test_nothing_in_an_empty_room(self, asha: Client):
        assert body_of(asha.get(f"{asha.open_room()}/messages")) == {"messages": [], "nextCursor": None}

    @pytest.mark.parametrize("limit", [1, 2, 3, 4])
    def test_pages_go_back_to_the_beginning(self, asha: Client, room: str, limit: int):
        pages: list[list[str | None]] = []
        cursor: str | None = ""
        while cursor is not None:
            body = body_of(asha.get(f"{room}/messages?limit={limit}" + (f"&before={cursor}" if cursor else "")))
            pages.insert(0, contents(body))
            cursor = body["nextCursor"]
            assert cursor in {None, body["messages"][0]["id"]}
        assert [text for page in pages for text in page] == ALL
        assert all(len(page) in {limit, limit + 1} for page in pages[1:])  # a message always comes with its reply

    def test_to_wait_is_for_what_comes_after_something(self, asha: Client, room: str, house: House):
        began = house.clock()
        assert contents(body_of(asha.get(f"{room}/messages?wait=25"))) == ALL
        assert house.clock() == began


class TestNewerEntries:
    """With ``after``."""

    @pytest.mark.parametrize("nth", range(6))
    def test_all_that_comes_after_an_entry(self, asha: Client, room: str, nth: int):
        entries = body_of(asha.get(room))["messages"]
        body = body_of(asha.get(f"{room}/messages?after={entries[nth]['id']}"))
        assert body == {"messages": entries[nth + 1 :], "nextCursor": None}

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 100])
    def test_reading_on_loses_nothing_and_doubles_nothing(self, asha: Client, room: str, limit: int):
        [first, *rest] = body_of(asha.get(room))["messages"]
        found = []
        after = first["id"]
        while page := body_of(asha.get(f"{room}/messages?after={after}&limit={limit}"))["messages"]:
            assert len(page) <= limit
            found += page
            after = page[-1]["id"]
        assert found == rest

    def test_nor_does_it_where_an_older_message_has_another_reply(self, asha: Client, room: str, house: House):
        entries = body_of(asha.get(room))["messages"]
        again = body_of(asha.post(f"/message/{entries[1]['id']}/regenerate"), 202)["reply"]["id"]
        house.work()
        found: list[str] = []
        after = entries[0]["id"]
        while page := body_of(asha.get(f"{room}/messages?after={after}&limit=1"))["messages"]:
            found += [entry["id"] for entry in page]
            after = page[-1]["id"]
        assert found == [*(entry["id"] for entry in entries[1:]), again]

    def test_another_reply_to_the_last_message_is_newer(self, asha: Client, house: House):
        room = asha.open_room()
        first = asha.promised(room)
        house.work()
        again = body_of(asha.post(f"{first}/regenerate"), 202)["reply"]["id"]
        house.work()
        newer = body_of(asha.get(f"{room}/messages?after={first.rpartition('/')[2]}"))["messages"]
        assert [entry["id"] for entry in newer] == [again]

    def test_an_entry_of_another_room_tells_nothing(self, asha: Client, ravi: Client, room: str):
        theirs = body_of(ravi.say(ravi.open_room(), "secret"), 202)
        for entry_id in (theirs["message"]["id"], theirs["reply"]["id"], UUID(int=1 << 100)):
            assert "secret" not in asha.get(f"{room}/messages?after={entry_id}").text
            assert "secret" not in asha.get(f"{room}/messages?before={entry_id}").text


class TestLongPolls:
    """With ``after`` and ``wait``."""

    def test_what_is_finished_is_not_waited_for(self, asha: Client, room: str, house: House):
        first = body_of(asha.get(room))["messages"][0]
        began = house.clock()
        assert contents(body_of(asha.get(f"{room}/messages?after={first['id']}&wait=25"))) == ALL[1:]
        assert house.clock() == began

    def test_the_answer_comes_with_the_reply(self, asha: Client, room: str, house: House):
        message = body_of(asha.get(room))["messages"][4]
        began = house.clock()
        house.meanwhile.plan(house.work)
        [reply] = body_of(asha.get(f"{room}/messages?after={message['id']}&wait=25"))["messages"]
        assert (reply["content"], reply["status"]) == ("echo: three", "done")
        assert house.clock() == began

    def test_who_has_everything_waits_for_another_device(self, asha: Client, house: House):
        room = asha.open_room()
        last = asha.promised(room)
        house.work()

        def on_another_device() -> None:
            Api(house).client(asha.token or "").say(room, "hello again")

        house.meanwhile.plan(on_another_device, house.work)
        body = body_of(asha.get(f"{room}/messages?after={last.rpartition('/')[2]}&wait=25"))
        assert contents(body) == ["hello again", "echo: hello again"]

    @pytest.mark.parametrize("seconds", [0, 1, 25])
    def test_when_the_time_is_up_it_stands_as_it_stands(self, asha: Client, room: str, house: House, seconds: int):
        message, reply = body_of(asha.get(room))["messages"][4:]
        began = house.clock()
        body = body_of(asha.get(f"{room}/messages?after={message['id']}&wait={seconds}"))
        assert body["messages"] == [reply]
        assert house.clock() - began == timedelta(seconds=seconds)


class TestRefusals:
    """404, 422, 401, 503."""

    @pytest.mark.parametrize(
        ("query", "faulty"),
        [
            ("limit=0", {"limit"}),
            ("limit=101", {"limit"}),
            ("wait=-1", {"wait"}),
            ("wait=26", {"wait"}),
            ("wait=1.5", {"wait"}),
            ("after=x&before=1&wait=soon", {"after", "before", "wait"}),
            ("after=", {"after"}),
        ],
    )
    def test_each_faulty_parameter_is_named(self, asha: Client, room: str, query: str, faulty: set[str]):
        assert faulty_fields(asha.get(f"{room}/messages?{query}")) == faulty

    @pytest.mark.parametrize("query", ["", f"?after={UUID(int=1)}", f"?after={UUID(int=1)}&wait=25"])
    def test_a_foreign_room_and_a_missing_one_look_alike(self, asha: Client, ravi: Client, house: House, query: str):
        room = ravi.open_room("secret")
        began = house.clock()
        same_id = {"X-Request-Id": "one-and-the-same"}
        foreign, missing = (asha.get(f"{path}/messages{query}", headers=same_id) for path in (room, NOWHERE))
        problem_of(foreign, 404, "chatroom_not_found")
        assert (foreign.data, foreign.headers) == (missing.data, missing.headers)
        assert house.clock() == began

    def test_without_the_database_one_has_to_wait(self, asha: Client, room: str, house: House):
        entry = body_of(asha.get(room))["messages"][0]["id"]
        house.database_probe.on = False
        for query in ("", f"?after={entry}", f"?after={entry}&wait=25"):
            problem_of(asha.get(f"{room}/messages{query}"), 503, "dependency_unavailable")


def test_a_long_conversation_is_read_on_in_pages_of_the_usual_size():
    api = Api(House(basic_daily_prompts=100))
    asha = api.log_in(ASHA)
    room = asha.open_room()
    for number in range(40):
        asha.say(room, str(number))
    first = body_of(asha.get(f"{room}?limit=80"))["messages"][0]["id"]
    page = body_of(asha.get(f"{room}/messages?after={first}"))["messages"]
    assert len(page) == 50
    rest = body_of(asha.get(f"{room}/messages?after={page[-1]['id']}"))["messages"]
    assert len(rest) == 29


class TestAnswersAndAttempts:
    """Which reply stands with a message, and what is told of a later one."""

    @pytest.mark.parametrize("then", ["queued", "failed", "cancelled"])
    def test_an_answer_stays_while_another_attempt_has_none(self, asha: Client, house: House, then: str):
        room = asha.open_room()
        first = asha.promised(room, "My name is Ada")
        house.work()
        again = body_of(asha.post(f"{first}/regenerate"), 202)["reply"]["id"]
        if then == "failed":
            house.model.will(AnswerFailed(FailureReason.REFUSED))
            house.work()
        if then == "cancelled":
            asha.post(f"/message/{again}/cancel")
        for path in (room, f"{room}/messages"):
            _, bot = body_of(asha.get(path))["messages"]
            assert (bot["content"], bot["status"]) == ("echo: My name is Ada", "done")
            attempt = bot["latestAttempt"]
            assert (attempt["id"], attempt["status"]) == (again, then)
            assert attempt.get("error", {}).get("code") == ("refused" if then == "failed" else None)
        if then != "queued":
            body_of(asha.post(f"{first}/regenerate"), 202)
        house.work()
        assert "latestAttempt" not in body_of(asha.get(room))["messages"][1]
