"""Every accepted message gets exactly one reply, whatever is killed, stopped or emptied meanwhile.

Each of these tests is about real processes: the scripted Gemini makes a reply take as long as the test needs, and a
supervisor that is asleep for a moment keeps what was killed from being started again too early to be noticed.
"""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import httpx
import pytest

from tests.e2e.service import Person, Service, asleep, lives, until
from tests.fakes.gemini_server import FakeGemini, Outcome

pytestmark = pytest.mark.real

ATTEMPTS = 3  # of hurried_service


@pytest.fixture(scope="module")
def service(hurried_service: Service) -> Service:
    return hurried_service


def is_asked(gemini: FakeGemini, prompt: str) -> None:
    until("the model is asked", lambda: gemini.asked(prompt))


def assert_answered_once(person: Person, *replies: str, room: str | None = None) -> None:
    """Each of these replies is done, in this order, and the room has no other; each cost one prompt, and no more."""
    assert [person.reply(reply, room)["status"] for reply in replies] == ["done"] * len(replies)
    assert [one["id"] for one in person.replies(room)] == list(replies)
    in_database = "SELECT count(*) FROM replies WHERE message_id IN (SELECT message_id FROM replies WHERE id = %s)"
    assert [person.service.query(in_database, reply) for reply in replies] == [[(1,)]] * len(replies)


def test_the_worker_is_killed_while_the_model_thinks(service, gemini, person):
    prompt = "Who will still be there when you are back?"
    gemini.will(Outcome("hang", prompt=prompt), Outcome(text="I am.", prompt=prompt))
    reply = person.sent(prompt)
    is_asked(gemini, prompt)

    killed = service.kill("worker")

    service.replaced(killed, "worker")
    assert_answered_once(person, reply)
    assert person.reply(reply)["content"] == "I am."
    assert gemini.asked(prompt) <= ATTEMPTS
    assert person.used() == 1


def test_the_worker_is_killed_with_many_replies_in_hand(service, gemini):
    people = [Person(service).log_in() for _ in range(8)]
    gemini.latency = 1.0
    replies = [[person.sent(f"Question {number} of {person.id}") for number in range(3)] for person in people]
    is_asked(gemini, f"Question 0 of {people[-1].id}")

    service.kill("worker")

    gemini.latency = 0.0
    for person, theirs in zip(people, replies, strict=True):
        assert_answered_once(person, *theirs)
        assert person.used() == 3
        assert all(gemini.asked(f"Question {number} of {person.id}") <= ATTEMPTS for number in range(3))


def test_redis_is_emptied_while_messages_wait(service, gemini, person):
    rooms = [person.open_room(f"Room {number}") for number in range(5)]
    with asleep(service.process("worker")):
        replies = [person.sent(f"Waiting {number}", room) for number, room in enumerate(rooms)]
        with service.redis() as redis:
            redis.flushall()

    for reply, room in zip(replies, rooms, strict=True):
        assert_answered_once(person, reply, room=room)
    assert person.used() == 5


def test_redis_is_emptied_and_the_worker_killed_while_messages_wait(service, gemini, person):
    with asleep(service.supervisor):
        service.kill("worker")
        replies = [person.sent(f"No worker there {number}") for number in range(3)]
        with service.redis() as redis:
            redis.flushall()
        assert [one["status"] for one in person.replies()] == ["queued"] * 3

    assert_answered_once(person, *replies)
    assert person.used() == 3


def test_redis_is_killed(service, gemini, person):
    with asleep(service.supervisor):
        killed = service.kill("valkey-server")
        until("it is noticed", lambda: service.readiness() == (200, ["redis"]))
        replies = [person.sent(f"Without Redis {number}") for number in range(2)]
        # The worker looks into the database and needs no notification.
        assert_answered_once(person, *replies)
        assert [room["id"] for room in person.get("/chatroom")] == [person.room]
        refused = person.http.post("/auth/send-otp", json={"mobileNumber": person.number})
        assert (refused.status_code, refused.json()["code"]) == (503, "dependency_unavailable")
        replies.append(person.sent("Without Redis, and not yet answered"))
    service.replaced(killed, "valkey-server")
    until("Redis is back", lambda: service.readiness() == (200, []))
    replies.append(person.sent("With Redis again"))

    assert_answered_once(person, *replies)
    assert person.used() == 4


def test_redis_hangs_and_is_killed_then(service, gemini, person):
    valkey = service.process("valkey-server")
    with asleep(valkey):
        replies = [person.sent(f"Into a black hole {number}") for number in range(2)]
        assert_answered_once(person, *replies)
        replies.append(person.sent("Into a black hole, and not yet answered"))
        service.kill("valkey-server")
    service.replaced(valkey, "valkey-server")

    assert_answered_once(person, *replies)
    until("Redis is back", lambda: service.readiness() == (200, []))
    assert person.used() == 3


def test_a_worker_that_slept_past_its_lease_changes_nothing(service, gemini, person):
    prompt = "Who answers first?"
    gemini.will(Outcome(text="The sleeper.", latency=0.5, prompt=prompt), Outcome(text="The other.", prompt=prompt))
    sleeper = service.process("worker")
    reply = person.sent(prompt)
    is_asked(gemini, prompt)
    with asleep(sleeper):
        other = service.another_worker()
        answered = person.reply(reply)
        assert answered["content"] == "The other."

    until("the sleeper is awake and refused", partial(fenced, service, reply))

    assert person.replies() == [answered]
    assert_answered_once(person, reply)
    assert gemini.asked(prompt) == 2
    assert person.used() == 1
    assert lives(sleeper), "and it goes on"
    other.terminate()
    assert other.wait(timeout=60) == 0
    assert_answered_once(person, reply, person.sent("And now?"))


def fenced(service: Service, reply: str) -> bool:
    return any(reply in line and '"state":"fenced"' in line for line in service.said().splitlines())


def test_web_is_killed(service, gemini, person):
    prompt = "Does it matter?"
    gemini.will(Outcome(latency=1.0, prompt=prompt))
    reply = person.sent(prompt)
    web = service.process("web")
    service.kill("web")
    service.replaced(web, "web")

    until("it answers again", lambda: service.readiness() == (200, []))
    assert person.get("/user/me")["mobileNumber"] == person.number, "the token is still good"
    assert_answered_once(person, reply, person.sent("And after?"))
    assert person.used() == 2


def test_web_is_killed_while_messages_come_in(service, gemini, person):
    enough = Event()
    accepted: list[str] = []

    def keep_sending() -> None:
        while not enough.is_set():
            with contextlib.suppress(httpx.TransportError):
                accepted.append(person.sent("One of many"))

    with ThreadPoolExecutor(4) as threads:
        sending = [threads.submit(keep_sending) for _ in range(4)]
        try:
            until("messages come in", lambda: len(accepted) >= 20)
            killed = service.kill("web")
            before = len(accepted)
            service.replaced(killed, "web")
            until("messages come in again", lambda: len(accepted) >= before + 20)
        finally:
            enough.set()
        for one in sending:
            one.result()

    # A message whose answer was cut off may have been accepted: then it has its reply as well.
    of_each_message = "SELECT r.id::text, r.state FROM messages m LEFT JOIN replies r ON r.message_id = m.id"

    def all_done() -> list[tuple[str, str]]:
        rows = service.query(f"{of_each_message} WHERE m.chatroom_id = %s", person.room)
        return [(reply, state) for reply, state in rows if all(state == "done" for _, state in rows)]

    rows = until("all are answered", all_done)
    assert {reply for reply, _ in rows} >= set(accepted)
    assert len({reply for reply, _ in rows}) == len(rows) == person.used()
    assert len(rows) <= len(accepted) + 4


def test_postgres_is_killed(service, gemini, person):
    prompt = "Will you remember me?"
    gemini.will(Outcome(latency=1.0, prompt=prompt))
    replies = [person.sent(prompt), *(person.sent(f"Waiting for its turn {number}") for number in range(2))]
    is_asked(gemini, prompt)

    with asleep(service.supervisor):
        killed = service.kill("postgres")
        until("it is noticed", lambda: service.readiness() == (503, ["database"]))
        live = service.get("/health/live")
        assert live is not None
        assert live.status_code == 200
        refused = person.send("Is anybody there?")
        assert refused.status_code == 503
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["code"] == "dependency_unavailable"
        assert int(refused.headers["Retry-After"]) > 0
    service.replaced(killed, "postgres")

    until("Postgres is back", lambda: service.readiness() == (200, []))
    assert_answered_once(person, *replies)
    assert gemini.asked(prompt) <= ATTEMPTS
    assert gemini.asked("Is anybody there?") == 0
    assert person.used() == 3


def test_a_model_that_thinks_and_writes_for_longer_than_any_lease_is_asked_once(service, gemini, person):
    """The lease is three seconds here, and a model may be silent for two."""
    prompt = "Think about it, and take your time"
    parts = [{"text": "Hm. ", "thought": True}] * 6 + [{"text": "word "}] * 6
    events = [{"candidates": [{"content": {"parts": [part]}, "index": 0}]} for part in parts]
    events.append({"candidates": [{"finishReason": "STOP", "index": 0}]})
    stream = "".join(f"data: {json.dumps(event)}\n: still here\n\n" for event in events)
    gemini.will(Outcome("slow", text=stream, interval=0.15, prompt=prompt))
    reply = person.sent(prompt)
    assert_answered_once(person, reply)
    assert person.reply(reply)["content"] == "word " * 6
    assert gemini.asked(prompt) == 1
