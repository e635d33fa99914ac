"""A reply is watched while it is written; whatever dies meanwhile, each watcher ends with what is stored."""

import httpx
import pytest

from tests.e2e.service import Person, Service, asleep, until
from tests.e2e.streams import HALF, TEXT, ServerSent, Watcher, events_of, stream
from tests.fakes.gemini_server import Outcome

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(patient_service: Service) -> Service:
    return patient_service


def slowly(text: str = TEXT) -> Outcome:
    """An answer in chunks, each some tenths of a second after the other."""
    return Outcome("drip", text=text, interval=0.001)


def number_of(event: ServerSent) -> tuple[int, int]:
    run, _, characters = event.id.partition("-")
    return int(run), int(characters)


def test_pieces_come_while_the_reply_is_written(service, gemini, person):
    gemini.will(Outcome("pause", text=TEXT))
    reply = person.sent("Tell me a tale")
    watcher = Watcher(person, reply)

    watcher.saw(HALF)

    assert person.get(f"/message/{reply}")["status"] == "running"
    assert person.get(f"/message/{reply}")["content"] is None
    gemini.go_on.set()
    done = watcher.end()
    assert watcher.names == ["done"]
    assert watcher.text == TEXT
    assert done.data == person.get(f"/message/{reply}")
    assert done.data["content"] == TEXT


def test_ids_say_how_far_one_is(service, gemini, person):
    gemini.will(slowly())
    watcher = Watcher(person, person.sent("Tell me a tale"))
    assert watcher.end().name == "done"
    assert watcher.text == TEXT
    assert watcher.connections == 1
    deltas = [event for event in watcher.events if event.name == "delta"]
    assert len(deltas) > 1
    characters = 0
    for event in deltas:
        characters += len(event.data["text"])
        assert number_of(event) == (1, characters)


def test_one_comes_back_in_the_middle_on_another_device(service, gemini, person):
    gemini.will(Outcome("pause", text=TEXT))
    reply = person.sent("Tell me a tale")
    text = ""
    with stream(person, reply) as events:
        for event in events:
            text += event.data["text"] if event is not None else ""
            if text == HALF:
                break
    assert event is not None

    for characters in (0, 1, 7, len(HALF) - 1):
        watcher = Watcher(person, reply, text=HALF[:characters], after=f"1-{characters}")
        watcher.saw(HALF)
    again = Watcher(person, reply, after=event.id)
    gemini.go_on.set()

    assert again.end().name == "done"
    assert again.names == ["done"]
    assert HALF + again.text == TEXT


def test_many_watch_one_reply_and_each_sees_all_of_it(service, gemini, person):
    gemini.will(slowly())
    reply = person.sent("Tell us a tale")
    message = person.get(f"/message/{reply}")["replyTo"]
    watchers = [Watcher(person, entry_id) for entry_id in (reply, message) * 5]
    assert {watcher.end().name for watcher in watchers} == {"done"}
    assert {watcher.text for watcher in watchers} == {TEXT}


def test_web_is_killed_in_the_middle(service, gemini, person):
    gemini.will(Outcome("pause", text=TEXT))
    reply = person.sent("Tell me a tale")
    watcher = Watcher(person, reply)
    watcher.saw(HALF)

    service.process("web").kill()
    until("the watcher is back", lambda: watcher.connections == 2)
    gemini.go_on.set()

    assert watcher.end().name == "done"
    assert watcher.connections == 2
    assert watcher.names == ["done"], "it goes on where it was"
    assert watcher.text == TEXT == person.reply(reply)["content"]


def test_after_the_end(service, gemini, person):
    gemini.will(Outcome(text=TEXT))
    reply = person.sent("Tell me a tale")
    done = person.reply(reply)
    whole = events_of(person, reply)
    assert [event.name for event in whole] == ["delta", "done"]
    assert whole[0].data == {"text": TEXT}
    assert whole[1].data == done
    for characters in (0, 1, 7, len(TEXT) - 1):
        rest = events_of(person, reply, after=f"1-{characters}")
        assert [event.data.get("text") for event in rest] == [TEXT[characters:], None]
    assert [event.name for event in events_of(person, reply, after=whole[0].id)] == ["done"]
    stopped = person.http.get(f"/message/{reply}/stream", headers={"Last-Event-ID": whole[-1].id})
    assert (stopped.status_code, stopped.content) == (204, b"")
    for nonsense in ("", "1", "-", "x-y", "1-" + "9" * 30, "-1-5", "١-١"):
        headers = {"Last-Event-ID": nonsense.encode()}
        answer = person.http.get(f"/message/{reply}/stream", headers=headers)
        assert answer.status_code == 200
        assert answer.text.count("event: done") == 1
    # Also when Redis has forgotten all about it.
    with service.redis() as redis:
        redis.flushall()
    assert events_of(person, reply) == whole


def test_a_failure_is_told(service, gemini, person):
    gemini.will(Outcome("withheld", text=TEXT))
    reply = person.sent("Tell me something dangerous")
    watcher = Watcher(person, reply)
    failed = watcher.end()
    assert failed.name == "failed"
    assert failed.data["error"]["code"] == "refused"
    assert failed.data["content"] is None
    assert watcher.text == "", "what is not kept is taken back"
    assert [event.name for event in events_of(person, reply)] == ["failed"]


def test_a_strangers_reply_cannot_be_watched(service, gemini, person):
    reply = person.sent("Tell me a secret")
    stranger = Person(service).log_in()
    answer = stranger.http.get(f"/message/{reply}/stream")
    assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    assert httpx.get(f"{service.base}/message/{reply}/stream", trust_env=False).status_code == 401


def test_without_redis_the_text_comes_all_the_same(service, gemini, person):
    with asleep(service.supervisor):
        killed = service.kill("valkey-server")
        until("it is noticed", lambda: service.readiness() == (200, ["redis"]))
        gemini.will(slowly())
        watcher = Watcher(person, person.sent("Tell me a tale"))
        assert watcher.end().name == "done"
        assert watcher.text == TEXT
        assert watcher.names == ["done"]
    service.replaced(killed, "valkey-server")


def test_redis_is_killed_in_the_middle(service, gemini, person):
    gemini.will(Outcome("pause", text=TEXT))
    watcher = Watcher(person, person.sent("Tell me a tale"))
    watcher.saw(HALF)

    service.replaced(service.kill("valkey-server"), "valkey-server")
    gemini.go_on.set()

    assert watcher.end().name == "done"
    assert watcher.text == TEXT
    assert watcher.connections == 1
    # And afterwards chunks come again.
    until("Redis is back", lambda: service.readiness() == (200, []))
    gemini.go_on.clear()
    gemini.will(Outcome("pause", text=TEXT))
    watcher = Watcher(person, person.sent("Tell me another one"))
    watcher.saw(HALF)
    gemini.go_on.set()
    assert watcher.end().name == "done"


def test_redis_hangs_in_the_middle(service, gemini, person):
    gemini.will(Outcome("pause", text=TEXT))
    watcher = Watcher(person, person.sent("Tell me a tale"))
    watcher.saw(HALF)
    with asleep(service.process("valkey-server")):
        gemini.go_on.set()
        assert watcher.end().name == "done"
    assert watcher.text == TEXT


def test_postgres_is_killed_in_the_middle(service, gemini, person):
    gemini.will(Outcome("pause", text=TEXT))
    watcher = Watcher(person, person.sent("Tell me a tale"))
    watcher.saw(HALF)

    service.replaced(service.kill("postgres"), "postgres")
    gemini.go_on.set()

    assert watcher.end().name == "done"
    assert watcher.text == TEXT
    assert watcher.names == ["done"]
