"""GET /message/{id}/stream: Server-Sent Events of a reply (html.spec.whatwg.org, section 9.2)."""

import json
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient

from domain.replies import AnswerFailed, FailureReason
from entrypoints.api.app import create_app
from tests.api.client import Api, Client, body_of, problem_of
from tests.builders import ASHA, House

PIECES = ["Once ", "upon", " a time…\n\nnämlich\r\n\u2028data: x"]
TEXT = "".join(PIECES)


class ServerSent(NamedTuple):
    """An event as a browser dispatches it."""

    id: str
    name: str
    data: Any


class EventSource:
    """Parses a stream as a browser does, section 9.2.6."""

    def __init__(self, body: bytes) -> None:
        self.events: list[ServerSent] = []
        self.comments = 0
        self.retry: int | None = None
        self.last_id = ""
        fields: dict[str, list[str]] = {}
        for line in body.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                self._dispatch(fields)
                fields = {}
            elif not name:
                self.comments += 1
            elif name == "retry":
                self.retry = int(value)
            else:
                fields.setdefault(name, []).append(value)
        assert not fields, "the stream breaks off in an event"

    def _dispatch(self, fields: dict[str, list[str]]) -> None:
        if "id" in fields:
            self.last_id = fields["id"][-1]
        if "data" in fields:
            data = json.loads("\n".join(fields["data"]))
            self.events.append(ServerSent(self.last_id, fields["event"][-1], data))

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    @property
    def text(self) -> str:
        """The text as a client puts it together."""
        text = ""
        for event in self.events:
            text = "" if event.name == "reset" else text + event.data["text"] if event.name == "delta" else text
        return text


def watch(client: Client, path: str, last_event_id: str | None = None) -> EventSource:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    answer = client.get(f"{path}/stream", headers=headers)
    assert answer.status_code == 200, answer.text
    return EventSource(answer.data)


@pytest.fixture
def path(asha: Client) -> str:
    """The path of a queued reply."""
    return asha.promised(asha.open_room())


@pytest.fixture
def done(path: str, house: House) -> str:
    """The path of a reply that is done."""
    house.model.will(PIECES)
    house.work()
    return path


class TestTheFormat:
    """Headers and bytes."""

    def test_headers(self, asha: Client, done: str):
        headers = asha.get(f"{done}/stream").headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Length" not in headers

    def test_bytes(self, asha: Client, path: str, house: House):
        house.model.will(["Hé", "llo"])
        house.meanwhile.plan(house.work)
        stream = asha.get(f"{path}/stream").data.decode()
        begin, silence, first, second, end, rest = stream.split("\n\n")
        assert (begin, silence, rest) == ("retry: 1000", ": still here", "")
        assert first == 'id: 1-2\nevent: delta\ndata: {"text":"Hé"}'
        assert second == 'id: 1-5\nevent: delta\ndata: {"text":"llo"}'
        assert end.startswith('id: 1-5-end\nevent: done\ndata: {"id":"')

    def test_head(self, asha: Client, path: str):
        answer = asha.send("HEAD", f"{path}/stream")
        assert (answer.status_code, answer.data) == (200, b"")


class TestWatching:
    """From the start to the end."""

    def test_while_it_is_being_written(self, asha: Client, path: str, house: House):
        house.model.will(PIECES)
        house.meanwhile.plan(house.work)
        stream = watch(asha, path)
        assert [event.data["text"] for event in stream.events[:-1]] == PIECES
        assert stream.retry == 1000
        end = stream.events[-1]
        assert end.name == "done"
        assert end.data == body_of(asha.get(path))
        assert end.data["content"] == stream.text == TEXT

    def test_when_it_is_done(self, asha: Client, done: str):
        stream = watch(asha, done)
        assert stream.names == ["delta", "done"]
        assert stream.text == stream.events[-1].data["content"] == TEXT
        assert stream.comments == 0

    def test_by_the_id_of_the_message(self, asha: Client, done: str):
        message = body_of(asha.get(done))["replyTo"]
        assert watch(asha, f"/message/{message}").text == TEXT

    def test_on_another_device(self, asha: Client, done: str, house: House):
        assert watch(Api(house).log_in(ASHA), done).text == TEXT

    def test_signs_of_life_while_nothing_is_said(self, asha: Client, path: str, house: House):
        house.meanwhile.plan(*[lambda: None] * 3, house.work)
        stream = watch(asha, path)
        assert stream.comments == 4
        assert stream.names == ["delta", "done"]

    def test_a_failure(self, asha: Client, path: str, house: House):
        house.model.will(["Once ", AnswerFailed(FailureReason.REFUSED)])
        house.meanwhile.plan(house.work)
        stream = watch(asha, path)
        assert stream.names == ["delta", "reset", "failed"]
        assert stream.events[-1].data == body_of(asha.get(path))
        assert stream.events[-1].data["error"]["code"] == "refused"

    def test_a_cancellation(self, asha: Client, path: str, house: House):
        house.meanwhile.plan(lambda: asha.post(f"{path}/cancel"))
        stream = watch(asha, path)
        assert stream.names == ["cancelled"]
        assert stream.events[-1].data == body_of(asha.get(path))

    def test_another_attempt_begins_anew(self, asha: Client, path: str, house: House):
        house.model.will(["It was ", AnswerFailed(FailureReason.MODEL_BUSY)], PIECES)

        def the_next_attempt() -> None:
            house.clock.advance(house.policy.first_backoff)
            house.work()

        house.meanwhile.plan(house.work, the_next_attempt)
        stream = watch(asha, path)
        assert stream.names == ["delta", "reset", "delta", "delta", "delta", "done"]
        assert [event.id for event in stream.events][:3] == ["1-7", "2-0", "2-5"]
        assert stream.text == TEXT


class TestResuming:
    """Last-Event-ID."""

    @pytest.mark.parametrize("characters", range(len(TEXT) + 1))
    def test_at_any_position_when_it_is_done(self, asha: Client, done: str, characters: int):
        stream = watch(asha, done, f"1-{characters}")
        assert TEXT[:characters] + stream.text == TEXT
        assert stream.names[-1] == "done"
        assert "reset" not in stream.names

    def test_where_it_broke_off(self, asha: Client, path: str, house: House):
        house.model.will(PIECES)
        house.meanwhile.plan(house.work)
        stream = watch(asha, path)
        for nth, event in enumerate(stream.events[:-1]):
            assert watch(asha, path, event.id).text == "".join(PIECES[nth + 1 :])

    def test_who_has_the_text_and_not_the_end_gets_the_end(self, asha: Client, done: str):
        *_, text, end = watch(asha, done).events
        assert text.id != end.id
        assert watch(asha, done, text.id).events == [end]

    @pytest.mark.parametrize("outcome", [PIECES, [AnswerFailed(FailureReason.REFUSED)], None])
    def test_who_has_the_end_is_told_to_stop(self, asha: Client, path: str, house: House, outcome: Any):
        if outcome is None:
            asha.post(f"{path}/cancel")
        else:
            house.model.will(outcome)
            house.work()
        last = watch(asha, path).last_id
        answer = asha.get(f"{path}/stream", headers={"Last-Event-ID": last})
        assert (answer.status_code, answer.data) == (204, b"")
        # It is the end of that text only.
        for other in ("7-3-end", "1-999-end", "-end", "end"):
            assert watch(asha, path, other).events[-1].id == last

    def test_the_end_of_a_reply_is_not_that_of_the_next_one(self, asha: Client, path: str, house: House):
        house.model.will([AnswerFailed(FailureReason.REFUSED)], PIECES)
        house.work()
        message = f"/message/{body_of(asha.get(path))['replyTo']}"
        last = watch(asha, message).last_id
        asha.post(f"{message}/retry")
        house.meanwhile.plan(house.work)
        stream = watch(asha, message, last)
        assert (stream.names[-1], stream.text) == ("done", TEXT)

    def test_a_chatroom_that_is_removed_ends_it(self, asha: Client, house: House):
        room = asha.open_room()
        path = asha.promised(room)
        house.meanwhile.plan(lambda: asha.send("DELETE", room))
        stream = watch(asha, path)
        assert [(event.name, event.data) for event in stream.events] == [("removed", {})]
        problem_of(asha.get(f"{path}/stream"), 404, "message_not_found")

    @pytest.mark.parametrize(
        "junk", ["", "x", "1", "1-", "-1", "1-2-3", "a-b", "-1--1", "1 - 2", "9" * 30 + "-1", "²-1"]
    )
    def test_what_is_no_id_of_ours_begins_at_the_beginning(self, asha: Client, done: str, junk: str):
        stream = watch(asha, done, junk)
        assert (stream.names, stream.text) == (["delta", "done"], TEXT)

    @pytest.mark.parametrize("other", ["2-0", "7-3", "0-4", "1-999"])
    def test_an_id_of_another_text_begins_anew(self, asha: Client, done: str, other: str):
        stream = watch(asha, done, other)
        assert (stream.names, stream.text) == (["reset", "delta", "done"], TEXT)

    def test_an_id_of_another_reply_to_the_same_message_too(self, asha: Client, done: str, house: House):
        message = body_of(asha.get(done))["replyTo"]
        first = watch(asha, f"/message/{message}")
        asha.post(f"/message/{message}/regenerate")
        house.model.will(["It was a dark and stormy night, and there was nobody to tell of it"])
        house.work()
        stream = watch(asha, f"/message/{message}", first.last_id)
        assert stream.names == ["reset", "delta", "done"]


class TestSlots:
    """A stream holds no request slot."""

    def test_who_watches_keeps_no_other_request_from_working(self, asha: Client, path: str, house: House):
        app = create_app(house.use_cases)
        client = FlaskClient(app)
        authorization = {"Authorization": f"Bearer {asha.token}"}
        streams = [client.get(f"{path}/stream", headers=authorization) for _ in range(3)]
        bodies = [stream.iter_encoded() for stream in streams]
        for body in bodies:
            assert next(body) == b"retry: 1000\n\n"
            assert next(body) == b": still here\n\n"
        assert client.get("/user/me", headers=authorization).status_code == 200
        house.work()
        for body, stream in zip(bodies, streams, strict=True):
            assert EventSource(b"".join(body)).names == ["delta", "done"]
            stream.close()
        assert client.get("/user/me", headers=authorization).status_code == 200

    def test_who_goes_is_not_listened_for(self, asha: Client, path: str, house: House):
        client = FlaskClient(create_app(house.use_cases))
        stream = client.get(f"{path}/stream", headers={"Authorization": f"Bearer {asha.token}"})
        body = stream.iter_encoded()
        next(body), next(body)
        [listeners] = house.stream._subscribers.values()
        assert len(listeners) == 1
        stream.close()
        assert not listeners
