"""Replies are stopped from another process, asked for again, waited for; sending is safe to repeat."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import cast
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from tests.e2e.service import Person, Service, asleep, until
from tests.e2e.streams import HALF, TEXT, Watcher, events_of
from tests.fakes.gemini_server import FakeGemini, Outcome

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def service(patient_service: Service) -> Service:
    return patient_service


def send(person: Person, text: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return person.http.post(f"/chatroom/{person.room}/message", json={"message": text}, headers=given)


def is_asked(gemini: FakeGemini, times: int = 1) -> None:
    until("the model is asked", lambda: len(gemini.calls) == times)


def last_piece(redis: Redis, reply: str) -> list[object] | None:
    """What was published last of a reply, as far as it is kept."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrevrange(f"reply:stream:{reply}", count=1))
    return json.loads(entries[0][1][b"chunk"]) if entries else None


def fenced(service: Service) -> list[str]:
    """What the workers said of replies that were no longer theirs."""
    return [line for line in service.said().splitlines() if "reply_written" in line and "fenced" in line]


# Stopping


def test_that_a_reply_is_cancelled_in_the_queue_is_published_by_the_web_process(service, person):
    with asleep(service.process("worker")), service.redis() as redis:
        reply = person.sent("Tell me a tale")
        watcher = Watcher(person, reply)

        assert person.post(f"/message/{reply}/cancel", 202)["reply"]["status"] == "cancelled"

        assert watcher.end().name == "cancelled"
        until("it is kept for who comes late", lambda: last_piece(redis, reply) == [0, 0, "", True])


@pytest.mark.parametrize("goes", ["the account", "the chatroom"])
def test_a_reply_that_is_being_written_stops_when(service, gemini, person, goes):
    gemini.will(Outcome("stall", text=TEXT))
    reply = person.sent("Tell me a tale")
    stream = f"reply:stream:{reply}"
    with service.redis() as redis:
        until("some of it is there to be heard", lambda: "Once" in str(redis.xrange(stream)))

        person.http.delete("/user/me" if goes == "the account" else f"/chatroom/{person.room}").raise_for_status()

        assert redis.get(stream) == b"", "its text is gone at once"
        until("the model's connection is let go", lambda: gemini.hang_ups > 0)
        until("the worker is done with it", lambda: any(reply in line for line in fenced(service)))
        assert redis.get(stream) == b"", "and does not come back"


def test_a_running_reply_is_stopped_and_keeps_what_there_is(service, gemini, person):
    gemini.will(Outcome("stall", text=TEXT))
    reply = person.sent("Tell me a tale")
    next_one = person.sent("And another one")
    watcher = Watcher(person, reply)
    watcher.saw(HALF)

    stopping = person.post(f"/message/{reply}/cancel", 202)

    assert stopping["reply"] == {"id": reply, "status": "running"}
    stopped = person.reply(reply)
    assert (stopped["status"], stopped["content"]) == ("cancelled", HALF)
    assert watcher.end().name == "cancelled"
    assert watcher.end().data == stopped
    assert watcher.text == HALF
    until("the model's connection is let go", lambda: gemini.hang_ups > 0)
    assert person.post(f"/message/{reply}/cancel", 409)["code"] == "reply_finished"
    assert person.reply(next_one)["status"] == "done"
    assert person.used() == 2, "what there is of it was paid for"
    assert [event.name for event in events_of(person, reply)] == ["delta", "cancelled"]


def test_stopped_before_the_first_word_it_costs_a_prompt_for_the_model_was_asked(service, gemini, person):
    gemini.will(Outcome("hang"))
    reply = person.sent("Tell me a tale")
    is_asked(gemini)
    assert person.post(f"/message/{reply}/cancel", 202)["reply"]["status"] == "running"
    stopped = person.reply(reply)
    assert (stopped["status"], stopped["content"]) == ("cancelled", None)
    assert person.used() == 1


def test_one_that_has_not_begun_is_stopped_at_once(service, gemini, person):
    gemini.will(Outcome("hang"))
    first, second = person.sent("Tell me a tale"), person.sent("And another one")
    is_asked(gemini)
    assert person.used() == 2
    assert person.post(f"/message/{second}/cancel", 202)["reply"]["status"] == "cancelled"
    assert person.reply(second)["status"] == "cancelled"
    assert person.used() == 1
    person.post(f"/message/{first}/cancel", 202)
    assert person.reply(first)["status"] == "cancelled"
    assert len(gemini.calls) == 1
    assert person.used() == 1


def test_one_is_stopped_while_redis_is_gone(service, gemini, person):
    gemini.will(Outcome("stall", text=TEXT))
    reply = person.sent("Tell me a tale")
    Watcher(person, reply).saw(HALF)
    with asleep(service.supervisor):
        killed = service.kill("valkey-server")
        person.post(f"/message/{reply}/cancel", 202)
        assert person.reply(reply)["content"] == HALF
    service.replaced(killed, "valkey-server")


# Once more


def test_a_failed_reply_is_tried_again_and_a_done_one_gets_a_sibling(service, gemini, person):
    gemini.will(Outcome("safety"), Outcome(text="First."), Outcome(text="Second."))
    failed = person.sent("Tell me a tale")
    assert person.reply(failed)["status"] == "failed"
    assert person.used() == 0
    message = person.get(f"/message/{failed}")["replyTo"]
    assert person.post(f"/message/{failed}/regenerate", 409)["code"] == "reply_not_done"

    first = person.post(f"/message/{failed}/retry", 202)["reply"]["id"]
    assert person.reply(first)["content"] == "First."
    assert person.used() == 1
    assert person.post(f"/message/{message}/retry", 409)["code"] == "reply_not_failed"
    second = person.post(f"/message/{message}/regenerate", 202)["reply"]["id"]
    assert person.reply(second)["content"] == "Second."
    assert person.used() == 2

    assert [one["id"] for one in person.replies()] == [second], "the newest shows"
    assert person.get(f"/message/{message}")["replies"] == [failed, first, second]
    assert person.get(f"/message/{first}")["content"] == "First."
    assert events_of(person, first)[0].data == {"text": "First."}


# Repeating


def test_a_key_repeated_across_a_kill_of_the_web_process_is_one_message(service, gemini, person):
    key = str(uuid4())
    first = send(person, "Only once", Idempotency_Key=key)
    assert first.status_code == 202
    web = service.process("web")
    service.kill("web")
    service.replaced(web, "web")
    until("it answers again", lambda: service.readiness() == (200, []))

    again = send(person, "Only once", Idempotency_Key=key)

    assert again.status_code == 202
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for member in ("message", "quota", "links"):
        assert again.json()[member] == first.json()[member]
    assert again.json()["reply"]["id"] == first.json()["reply"]["id"]
    assert again.headers["Location"] == first.headers["Location"] == f"/message/{first.json()['reply']['id']}"
    other = send(person, "Something else", Idempotency_Key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    person.reply(first.json()["reply"]["id"])
    assert len(person.replies()) == person.used() == len(gemini.calls) == 1


def test_keys_that_many_repeat_while_web_is_killed_are_one_message_each(service, gemini, person):
    person.room = person.open_room("Storm")
    keys = [str(uuid4()) for _ in range(4)]
    killed = Event()

    def insist(key: str) -> tuple[str, str]:
        """Repeat until web was killed, and then until there is an answer."""
        with service.http(person.token) as http:

            def accepted() -> tuple[str, str] | None:
                was_killed = killed.is_set()
                try:
                    answer = http.post(
                        f"/chatroom/{person.room}/message",
                        json={"message": f"Letter {key}"},
                        headers={"Idempotency-Key": key},
                    )
                except httpx.TransportError:
                    return None
                assert answer.status_code in {202, 409, 503}, answer.text
                return (key, answer.json()["reply"]["id"]) if was_killed and answer.status_code == 202 else None

            return until("it is accepted", accepted)

    with ThreadPoolExecutor(8) as threads:
        insisting = [threads.submit(insist, key) for key in keys * 2]
        until("some are accepted", lambda: person.used() > 0)
        web = service.kill("web")
        killed.set()
        service.replaced(web, "web")
        accepted = {one.result() for one in insisting}
    assert len(accepted) == len(keys)
    for _, reply in accepted:
        assert person.reply(reply)["status"] == "done"
    assert len(person.replies()) == person.used() == len(keys)


# Waiting


def test_a_request_that_prefers_to_wait_gets_the_reply_with_the_answer(service, gemini, person):
    gemini.will(Outcome(text=TEXT, latency=0.5))
    answer = send(person, "Tell me a tale", Prefer="wait=25")
    assert answer.status_code == 201, answer.text
    reply = answer.json()["reply"]
    assert (reply["status"], reply["content"]) == ("done", TEXT)
    assert answer.headers["Location"] == f"/message/{reply['id']}"
    assert person.get(f"/message/{reply['id']}") == reply


def test_but_not_for_ever(service, gemini, person):
    gemini.will(Outcome("hang"))
    answer = send(person, "Tell me a tale", Prefer="respond-async, wait=1")
    assert answer.status_code == 202
    reply = answer.json()["reply"]["id"]
    assert answer.json()["reply"]["status"] in {"queued", "running"}
    person.post(f"/message/{reply}/cancel", 202)
    person.reply(reply)


def test_a_request_that_repeats_the_key_may_wait_as_well(service, gemini, person):
    key = str(uuid4())
    gemini.will(Outcome(text=TEXT, latency=0.5))
    first = send(person, "Tell me a tale", Idempotency_Key=key)
    again = send(person, "Tell me a tale", Idempotency_Key=key, Prefer="wait=25")
    assert (first.status_code, again.status_code) == (202, 201)
    assert again.json()["reply"]["id"] == first.json()["reply"]["id"]
    assert again.json()["reply"]["content"] == TEXT


def test_a_long_poll_ends_with_the_next_finished_reply(service, gemini, person):
    first = person.sent("Hello")
    person.reply(first)

    def poll(after: str, wait: int = 25) -> list[tuple[str, str | None]]:
        answer = person.get(f"/chatroom/{person.room}/messages?after={after}&wait={wait}")
        return [(entry["role"], entry.get("status")) for entry in answer["messages"]]

    with ThreadPoolExecutor(3) as threads:
        polls = [threads.submit(poll, first) for _ in range(3)]
        gemini.will(Outcome(text=TEXT, latency=0.5))
        second = person.sent("Tell me a tale")
        assert [one.result() for one in polls] == [[("user", None), ("bot", "done")]] * 3
    assert poll(first, wait=0) == [("user", None), ("bot", "done")]
    # Nothing new: the time is up, and that is no error.
    assert poll(second, wait=1) == []
