"""Five hundred open streams do not stop other requests."""

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from functools import partial
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.e2e.service import PATIENCE, Person, Service, running, until
from tests.e2e.streams import stream
from tests.fakes.gemini_server import FakeGemini, Outcome, pieces_of

pytestmark = pytest.mark.real

STREAMS = 500
TEXT = "Once upon a time there was a message and many were waiting for the reply"
HALF = "".join(pieces_of(TEXT)[:-1])


@pytest.fixture(scope="module")
def service(patient_service: Service) -> Service:
    return patient_service


def test_five_hundred_open_streams_do_not_stop_other_requests(service: Service, gemini: FakeGemini) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft < 4 * STREAMS else soft, hard))
    gemini.reset()
    people = [Person(service).log_in() for _ in range(5)]
    gemini.will(*[Outcome("stall", text=TEXT)] * len(people))
    watched = [(person, person.sent("Tell me a tale")) for person in people]
    until("all are being written", lambda: len(gemini.calls) == len(people))
    # One web process serves them all.
    assert service.process("web").children() == []
    asyncio.run(asyncio.wait_for(watch(watched), 3 * PATIENCE))
    # Those who watched are gone, and so are their places.
    other = Person(service).log_in()
    assert other.reply(other.sent("And now?"))["content"] == "echo: And now?"


async def watch(watched: list[tuple[Person, str]]) -> None:
    service = watched[0][0].service
    seen = Counter[int]()
    texts: dict[int, str] = {}

    async with aiohttp.ClientSession(
        base_url=service.base,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=3 * PATIENCE),
    ) as http:

        async def one(number: int) -> str:
            person, reply = watched[number % len(watched)]
            headers = {"Authorization": f"Bearer {person.token}"}
            text = ""
            async with http.get(f"/message/{reply}/stream", headers=headers) as answer:
                assert answer.status == 200
                async for line in answer.content:
                    text += line.decode()
                    seen[number] += 1
                    texts[number] = text
            return text

        streams = [asyncio.create_task(one(number)) for number in range(STREAMS)]
        await became_true(lambda: sum("delta" in text for text in texts.values()) == STREAMS, streams)
        # Each of them is open, and others are served meanwhile, writing and waiting ones among them.
        await asyncio.to_thread(use_it_as_always, service)
        assert not any(stream.done() for stream in streams)

        for person, reply in watched:
            await asyncio.to_thread(person.post, f"/message/{reply}/cancel", 202)
        ended = await asyncio.gather(*streams)
    assert Counter(text.count("event: cancelled") for text in ended) == {1: STREAMS}
    assert all(HALF in text for text in ended)


async def became_true(condition, streams):
    for _ in range(int(PATIENCE / 0.05)):
        if condition():
            return
        assert not any(stream.done() and stream.exception() for stream in streams)
        await asyncio.sleep(0.05)
    pytest.fail("the streams did not begin")


def use_it_as_always(service):
    other = Person(service).log_in()
    for number in range(3):
        reply = other.sent(f"Question {number}")
        assert other.reply(reply)["content"] == f"echo: Question {number}"
        assert other.get("/user/me")["mobileNumber"] == other.number
        assert service.readiness() == (200, [])
    headers = {"Prefer": "wait=25"}
    answer = other.http.post(f"/chatroom/{other.room}/message", json={"message": "Wait"}, headers=headers)
    assert answer.status_code == 201
    assert answer.json()["reply"]["content"] == "echo: Wait"


def test_streams_that_were_left_end(service: Service, gemini: FakeGemini, person: Person) -> None:
    """A client that hangs up leaves no thread, no subscription and no connection behind."""
    gemini.will(Outcome("stall", text=TEXT))
    reply = person.sent("Tell me a tale")
    until("it is being written", lambda: gemini.calls)
    with service.redis() as redis:
        for _ in range(3):
            with stream(person, reply) as events:
                until("something has come", partial(next, events))
                assert redis.pubsub_channels("reply:*")
            until("no listener is left", lambda: not redis.pubsub_channels("reply:*"))
    person.post(f"/message/{reply}/cancel", 202)


def test_more_streams_than_there_are_places_do_not_stop_other_requests(tmp_path: Path) -> None:
    with (
        FakeGemini() as gemini,
        running(
            tmp_path,
            **gemini.settings,
            REPLY_LEASE_SECONDS="600",
            WEB_THREADS="2",
            WAITING_REQUESTS="4",
        ) as service,
        contextlib.ExitStack() as stack,
    ):
        person = Person(service).log_in()
        gemini.will(Outcome("stall", text=TEXT))
        reply = person.sent("Tell me a tale")
        until("it is being written", lambda: gemini.calls)
        for _ in range(10):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            request = f"GET /message/{reply}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.token}\r\n\r\n"
            connection.sendall(request.encode())
        assert person.http.get("/user/me", timeout=10).status_code == 200
        # Neither another stream nor a long poll finds a place, but a message does, and a short answer.
        for path in (f"/message/{reply}/stream", f"/chatroom/{person.room}/messages?after={reply}&wait=5"):
            refused = until("all places are taken", partial(full, person, path))
            assert refused.json()["code"] == "too_many_waiting"
            assert int(refused.headers["Retry-After"]) > 0
        sent = person.http.post(
            f"/chatroom/{person.room}/message", json={"message": "And now?"}, headers={"Prefer": "wait=20"}
        )
        assert sent.status_code == 202
        person.post(f"/message/{reply}/cancel", 202)
        # Those who watched are given the end, and their places are free again.
        person.reply(sent.json()["reply"]["id"])
        until("there is a place again", lambda: not full(person, f"/message/{reply}/stream"))


def full(person: Person, path: str) -> httpx.Response | None:
    """The answer, if it is that too many are waiting."""
    with person.http.stream("GET", path) as answer:
        if answer.status_code == 200:
            return None
        answer.read()
    assert answer.status_code == 503
    return answer
