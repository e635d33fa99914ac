"""POST /chatroom/{id}/message: Idempotency-Key, Prefer: wait, full backlogs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory.idempotency import MemoryIdempotencyKeys
from domain.errors import IdempotencyKeyInUse
from domain.replies import AnswerFailed, FailureReason, ReplyPolicy
from tests.api.client import Api, Client, body_of, faulty_fields, problem_of
from tests.builders import ASHA, RAVI, House

UUID_KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


class TestIdempotencyKey:
    """Idempotency-Key (draft-ietf-httpapi-idempotency-key-header)."""

    def test_what_is_repeated_gets_the_same_answer(self, asha: Client, house: House):
        room = asha.open_room()
        first = asha.say(room, Idempotency_Key=UUID_KEY)
        assert "Idempotent-Replayed" not in first.headers
        house.clock.advance(timedelta(seconds=30))
        for _ in range(2):
            again = asha.say(room, Idempotency_Key=UUID_KEY)
            assert (again.status_code, again.data) == (202, first.data)
            assert again.headers["Idempotent-Replayed"] == "true"
            for name in ("Location", "RateLimit-Policy", "Content-Type"):
                assert again.headers[name] == first.headers[name]
        assert body_of(asha.get("/user/usage"))["used"] == 1
        assert len(body_of(asha.get(room))["messages"]) == 2

    def test_without_a_key_it_is_another_message(self, asha: Client):
        room = asha.open_room()
        assert asha.say(room).json != asha.say(room).json
        assert body_of(asha.get("/user/usage"))["used"] == 2

    @pytest.mark.parametrize("text", ["another", "hi "])
    def test_with_another_message_it_is_a_mistake(self, asha: Client, text: str):
        room = asha.open_room()
        asha.say(room, Idempotency_Key=UUID_KEY)
        problem = problem_of(asha.say(room, text, Idempotency_Key=UUID_KEY), 422, "idempotency_key_reused")
        assert set(problem) == {"type", "title", "status", "code", "requestId"}
        assert body_of(asha.get("/user/usage"))["used"] == 1

    def test_in_another_room_too(self, asha: Client):
        asha.say(asha.open_room(), Idempotency_Key=UUID_KEY)
        problem_of(asha.say(asha.open_room(), Idempotency_Key=UUID_KEY), 422, "idempotency_key_reused")

    def test_of_another_user_it_is_another_key(self, asha: Client, ravi: Client):
        asha.say(asha.open_room(), Idempotency_Key=UUID_KEY)
        answer = ravi.say(ravi.open_room(), "mine", Idempotency_Key=UUID_KEY)
        assert body_of(answer, 202)["message"]["content"] == "mine"
        assert "Idempotent-Replayed" not in answer.headers

    def test_while_the_first_is_underway_one_has_to_ask_again(
        self, asha: Client, house: House, monkeypatch: pytest.MonkeyPatch
    ):
        room = asha.open_room()

        def in_use(*_args: object, **_options: object) -> None:
            raise IdempotencyKeyInUse

        with monkeypatch.context() as patched:
            patched.setattr(MemoryIdempotencyKeys, "recall", in_use)
            problem_of(asha.say(room, Idempotency_Key=UUID_KEY), 409, "idempotency_key_in_use")
        assert not house.database.tables.messages
        body_of(asha.say(room, Idempotency_Key=UUID_KEY), 202)

    def test_what_was_refused_may_come_again_with_its_key(self, asha: Client, ravi: Client):
        theirs, mine = ravi.open_room(), asha.open_room()
        problem_of(asha.say(theirs, Idempotency_Key=UUID_KEY), 404, "chatroom_not_found")
        assert faulty_fields(asha.say(mine, " ", Idempotency_Key=UUID_KEY)) == {"message"}
        body_of(asha.say(mine, Idempotency_Key=UUID_KEY), 202)

    def test_after_a_day_it_is_free(self, asha: Client, house: House):
        room = asha.open_room()
        first = asha.say(room, Idempotency_Key=UUID_KEY).json
        house.clock.advance(timedelta(hours=24))
        asha = Api(house).log_in(ASHA)
        answer = asha.say(room, Idempotency_Key=UUID_KEY)
        assert body_of(answer, 202) != first
        assert "Idempotent-Replayed" not in answer.headers

    @pytest.mark.parametrize("key", ["k", "k" * 255, '"quoted"', "!~", "a,b;c"])
    def test_any_visible_ascii_is_one(self, asha: Client, key: str):
        room = asha.open_room()
        first = body_of(asha.say(room, Idempotency_Key=key), 202)
        assert body_of(asha.say(room, Idempotency_Key=key), 202) == first

    @pytest.mark.parametrize("key", ["", "k" * 256, "two words", "tab\tbed", "clé", "\x7f"])
    def test_what_is_none(self, asha: Client, house: House, key: str):
        assert faulty_fields(asha.say(asha.open_room(), Idempotency_Key=key)) == {"Idempotency-Key"}
        assert not house.database.tables.messages

    def test_a_stranger_s_key_is_not_looked_at(self, guest: Client, asha: Client):
        problem_of(guest.say(asha.open_room(), Idempotency_Key=""), 401, "token_invalid")


class TestIdempotencyKeyOfAnotherReply:
    """Idempotency-Key with retry and regenerate."""

    @pytest.fixture(params=["retry", "regenerate"])
    def path(self, request: pytest.FixtureRequest, asha: Client, house: House) -> str:
        reply = asha.promised(asha.open_room())
        if request.param == "retry":
            house.model.will(AnswerFailed(FailureReason.REFUSED))
        house.work()
        return f"{reply}/{request.param}"

    def test_one_tap_is_one_answer(self, asha: Client, house: House, path: str):
        used = body_of(asha.get("/user/usage"))["used"]
        key = {"Idempotency-Key": UUID_KEY}
        first = asha.post(path, headers=key)
        assert "Idempotent-Replayed" not in first.headers
        for _ in range(2):
            again = asha.post(path, headers=key)
            assert (again.status_code, again.data) == (202, first.data)
            assert again.headers["Idempotent-Replayed"] == "true"
            assert again.headers["Location"] == first.headers["Location"]
            house.work()  # whatever became of it meanwhile
        assert body_of(asha.get("/user/usage"))["used"] == used + 1
        assert len(house.database.tables.replies) == 2

    def test_with_another_message_it_is_a_mistake(self, asha: Client, house: House, path: str):
        key = {"Idempotency-Key": UUID_KEY}
        body_of(asha.post(path, headers=key), 202)
        other = asha.promised(asha.open_room())
        way = path.rpartition("/")[2]
        problem_of(asha.post(f"{other}/{way}", headers=key), 422, "idempotency_key_reused")

    def test_what_is_refused_is_not_remembered(self, asha: Client, house: House):
        reply = asha.promised(asha.open_room())
        key = {"Idempotency-Key": UUID_KEY}
        problem_of(asha.post(f"{reply}/regenerate", headers=key), 409, "reply_not_done")
        house.work()
        assert "Idempotent-Replayed" not in asha.post(f"{reply}/regenerate", headers=key).headers

    def test_each_way_to_ask_has_keys_of_its_own(self, asha: Client, house: House):
        room = asha.open_room()
        sent = asha.say(room, Idempotency_Key=UUID_KEY)
        house.work()
        key = {"Idempotency-Key": UUID_KEY}
        again = body_of(asha.post(f"{sent.headers['Location']}/regenerate", headers=key), 202)
        assert again["reply"]["id"] != body_of(sent, 202)["reply"]["id"]

    @pytest.mark.parametrize(
        "path", ["/subscription/portal", "/subscription/cancel", "/auth/send-otp", f"/message/{UUID_KEY}/cancel"]
    )
    def test_elsewhere_it_is_refused_and_nothing_is_done(self, asha: Client, path: str):
        answer = asha.post(path, {"name": "Room"}, headers={"Idempotency-Key": UUID_KEY})
        problem_of(answer, 400, "idempotency_key_not_supported")


class TestIdempotencyKeyOfAChatroom:
    """Idempotency-Key with POST /chatroom."""

    @pytest.fixture
    def open_room(self, asha: Client) -> Callable[..., Any]:
        def post(name: str = "Tea", *, key: str = UUID_KEY, **body: str) -> Any:
            return asha.post("/chatroom", {"name": name, **body}, headers={"Idempotency-Key": key})

        return post

    def test_one_tap_is_one_room(self, asha: Client, house: House, open_room: Callable[..., Any]):
        first = open_room(systemPrompt="Be brief.")
        assert "Idempotent-Replayed" not in first.headers
        house.clock.advance(timedelta(seconds=30))
        asha.send("PATCH", first.headers["Location"], json={"name": "Coffee"})
        again = open_room(systemPrompt="Be brief.")
        assert (again.status_code, again.data) == (201, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        assert [room["name"] for room in body_of(asha.get("/chatroom"))] == ["Coffee"]

    @pytest.mark.parametrize("other", [{"name": "Coffee"}, {"systemPrompt": "Be long."}])
    def test_with_another_body_it_is_a_mistake(
        self, asha: Client, open_room: Callable[..., Any], other: dict[str, str]
    ):
        open_room()
        problem_of(open_room(**other), 422, "idempotency_key_reused")
        assert len(body_of(asha.get("/chatroom"))) == 1

    def test_one_key_may_be_used_for_a_room_and_for_a_message(self, asha: Client, open_room: Callable[..., Any]):
        room = open_room().headers["Location"]
        assert "Idempotent-Replayed" not in asha.say(room, Idempotency_Key=UUID_KEY).headers

    def test_a_room_that_was_removed_is_opened_anew(self, asha: Client, open_room: Callable[..., Any]):
        room = open_room().headers["Location"]
        asha.send("DELETE", room)
        anew = open_room()
        assert "Idempotent-Replayed" not in anew.headers
        assert anew.headers["Location"] != room
        assert open_room().headers["Location"] == anew.headers["Location"]

    def test_what_was_refused_may_come_again_with_its_key(self, asha: Client, open_room: Callable[..., Any]):
        assert faulty_fields(open_room(" ")) == {"name"}
        body_of(open_room(), 201)


class TestIdempotencyKeyOfACheckout:
    """Idempotency-Key with POST /subscribe/pro."""

    @pytest.fixture(params=["/subscribe/pro", "/subscription/subscribe/pro"])
    def buy(self, asha: Client, request: pytest.FixtureRequest) -> Callable[..., Any]:
        def post(**body: str) -> Any:
            return asha.post(request.param, body, headers={"Idempotency-Key": UUID_KEY})

        return post

    def test_what_is_repeated_gets_the_same_answer(self, buy: Callable[..., Any]):
        first = buy()
        assert "Idempotent-Replayed" not in first.headers
        again = buy()
        assert (again.status_code, again.data) == (200, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"

    def test_with_another_body_it_is_a_mistake(self, buy: Callable[..., Any]):
        buy()
        problem_of(buy(successUrl="https://app.example/paid"), 422, "idempotency_key_reused")

    def test_a_checkout_that_has_expired_is_not_given_again(self, house: House, buy: Callable[..., Any]):
        first = body_of(buy())
        house.payments.expire_checkout(first["sessionId"])
        anew = buy()
        assert "Idempotent-Replayed" not in anew.headers
        assert body_of(anew)["sessionId"] != first["sessionId"]
        assert buy().headers["Idempotent-Replayed"] == "true"


class TestPreferWait:
    """Prefer: wait=N (RFC 7240)."""

    def test_a_reply_that_is_there_in_time_comes_along(self, asha: Client, house: House):
        room = asha.open_room()
        house.meanwhile.plan(house.work)
        answer = asha.say(room, Prefer="wait=10")
        body = body_of(answer, 201)
        assert body["reply"]["content"] == "echo: hi"
        assert body["reply"] == body_of(asha.get(answer.headers["Location"])) == body_of(asha.get(room))["messages"][1]
        assert body["quota"]["used"] == 1
        assert answer.headers["RateLimit"]

    def test_a_failure_is_an_answer_too(self, asha: Client, house: House):
        house.model.will(AnswerFailed(FailureReason.REFUSED))
        house.meanwhile.plan(house.work)
        body = body_of(asha.say(asha.open_room(), Prefer="wait=10"), 201)
        assert (body["reply"]["status"], body["reply"]["error"]["code"]) == ("failed", "refused")

    @pytest.mark.parametrize(
        ("preference", "seconds"),
        [
            ("wait=3", 3),
            ("wait=0", 0),
            ("wait=25", 25),
            ("wait=26", 25),
            ("wait=9999", 25),
            ('wait="3"', 3),
            ("Wait = 3", 3),
            ("respond-async, wait=3", 3),
            ("wait=3, handling=lenient", 3),
            ("handling=lenient;x=1 ,wait=3;y", 3),
            ("respond-async", 0),
            ("", 0),
            ("wait", 0),
            ("wait=", 0),
            ("wait=-3", 0),
            ("wait=3.5", 0),
            ("wait=soon", 0),
            ("await=3", 0),
            ("x=wait=3", 0),
        ],
    )
    def test_when_the_time_is_up_the_reply_comes_later(self, asha: Client, house: House, preference: str, seconds: int):
        room = asha.open_room()
        began = house.clock()
        body = body_of(asha.say(room, Prefer=preference), 202)
        assert body["reply"]["status"] == "queued"
        assert house.clock() - began == timedelta(seconds=seconds)

    def test_a_repetition_may_wait_for_the_reply_of_the_first(self, asha: Client, house: House):
        room = asha.open_room()
        first = body_of(asha.say(room, Idempotency_Key="k", Prefer="wait=1"), 202)
        house.work()
        again = asha.say(room, Idempotency_Key="k", Prefer="wait=1")
        assert again.headers["Idempotent-Replayed"] == "true"
        body = body_of(again, 201)
        assert (body["reply"]["id"], body["reply"]["status"]) == (first["reply"]["id"], "done")
        assert (body["message"], body["quota"]) == (first["message"], first["quota"])

    def test_what_was_accepted_is_so_also_when_the_database_goes_down_meanwhile(self, asha: Client, house: House):
        room = asha.open_room()
        house.meanwhile.plan(lambda: setattr(house.database_probe, "on", False))
        assert body_of(asha.say(room, Prefer="wait=10"), 202)["reply"]["status"] == "queued"

    def test_a_chatroom_that_is_removed_meanwhile_is_not_found(self, asha: Client, house: House):
        room = asha.open_room()
        house.meanwhile.plan(lambda: asha.send("DELETE", room))
        problem_of(asha.say(room, Prefer="wait=10"), 404, "chatroom_not_found")
        assert body_of(asha.get("/user/me"))["usage"]["used"] == 0

    def test_what_is_refused_waits_for_nothing(self, asha: Client, ravi: Client, house: House):
        room = ravi.open_room()
        began = house.clock()
        problem_of(asha.say(room, Prefer="wait=10"), 404, "chatroom_not_found")
        assert house.clock() == began


class TestFullBacklogs:
    """429 too_many_unfinished_replies, 503 backlog_full."""

    def test_of_one_user(self):
        api = Api(House(reply_policy=ReplyPolicy(user_backlog=2)))
        asha, ravi = api.log_in(ASHA), api.log_in(RAVI)
        room = asha.open_room()
        for _ in range(2):
            body_of(asha.say(room), 202)
        answer = asha.say(asha.open_room())
        assert problem_of(answer, 429, "too_many_unfinished_replies")["limit"] == 2
        assert answer.headers["Retry-After"] == "5"
        assert "RateLimit" not in answer.headers
        assert body_of(asha.get("/user/usage"))["used"] == 2
        body_of(ravi.say(ravi.open_room()), 202)

    def test_of_all(self):
        api = Api(House(reply_policy=ReplyPolicy(backlog=1)))
        asha, ravi = api.log_in(ASHA), api.log_in(RAVI)
        body_of(asha.say(asha.open_room()), 202)
        room = ravi.open_room()
        answer = ravi.say(room)
        problem_of(answer, 503, "backlog_full")
        assert answer.headers["Retry-After"] == "10"
        assert body_of(ravi.get("/user/usage"))["used"] == 0
        api.house.work()
        body_of(ravi.say(room), 202)
