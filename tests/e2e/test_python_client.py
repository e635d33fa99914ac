"""The Python client against the real service, where tokens expire and connections break."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from gemini_chat import Client, ProblemError, Tokens

from tests.e2e.service import Service, running
from tests.e2e.streams import HALF, TEXT
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.proxy import FreezableProxy

pytestmark = pytest.mark.real

NUMBERS = iter(f"+9198761{number:05d}" for number in range(100))


@pytest.fixture(scope="module")
def service(gemini: FakeGemini, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Soon enough for a test, and longer than a request takes on a busy machine.
    settings = {**gemini.settings, "ACCESS_TOKEN_SECONDS": "3"}
    # These clients ask until a token expires, on a fast machine more often than any limit allows.
    settings |= {"RATE_LIMIT_PER_USER": "0", "RATE_LIMIT_PER_ADDRESS": "0"}
    with running(tmp_path_factory.mktemp("python"), **settings) as started:
        yield started


@pytest.fixture
def kept() -> list[Tokens | None]:
    return []


@pytest.fixture
def client(service: Service, gemini: FakeGemini, kept: list[Tokens | None]) -> Iterator[Client]:
    gemini.reset()
    with Client(service.base, on_tokens=kept.append) as one:
        log_in(one)
        yield one


def log_in(client: Client) -> None:
    number = next(NUMBERS)
    client.verify_otp(mobileNumber=number, otp=client.send_otp(mobileNumber=number)["otp"])


def test_problems_are_told_in_the_language_of_the_client(service: Service) -> None:
    with Client(service.base, language="hi-IN") as one, pytest.raises(ProblemError) as refused:
        one.get_profile()
    assert refused.value.details["title"] == "एक्सेस टोकन नहीं है, या मान्य नहीं है"


def expire(client: Client) -> None:
    """Until the service says so: a clock of the test would not be its."""
    assert client.tokens
    expired = client.tokens
    while client.tokens == expired:
        client.get_profile()


def test_from_the_code_to_the_answer(client: Client, gemini: FakeGemini) -> None:
    gemini.will(Outcome(text="Because of the Moon."))
    room = client.create_chatroom(name="Tides")

    sent = client.send_message(room["id"], "Why are there two tides a day?", wait=20)

    assert sent["reply"]["status"] == "done"
    entries = client.list_messages(room["id"])["messages"]
    assert [entry["content"] for entry in entries] == ["Why are there two tides a day?", "Because of the Moon."]
    assert client.get_message(sent["reply"]["id"])["content"] == "Because of the Moon."
    assert [one["id"] for one in client.list_chatrooms()] == [room["id"]]
    assert len(list(client.export_account())) > 3
    client.delete_chatroom(room["id"])
    with pytest.raises(ProblemError, match="chatroom_not_found") as refused:
        client.get_chatroom(room["id"])
    assert refused.value.status == 404


def test_a_message_that_is_sent_twice_with_one_key_counts_once(client: Client) -> None:
    room = client.create_chatroom(name="Once")
    first, second = (client.send_message(room["id"], "Once", idempotency_key="one-key") for _ in range(2))
    assert first["message"]["id"] == second["message"]["id"]
    assert client.get_usage()["used"] == 1


def test_many_threads_refresh_an_expired_token_once(client: Client, kept: list[Tokens | None]) -> None:
    expire(client)
    kept.clear()
    with ThreadPoolExecutor(8) as threads:
        while not kept:
            assert len(set(threads.map(lambda _: client.get_profile()["id"], range(8)))) == 1

    # A refresh token that is used again, later, would have ended the session.
    assert client.tokens == kept[-1]
    assert len(set(kept)) == len(kept)
    assert client.get_profile()


def test_a_session_that_was_ended_elsewhere_is_over(
    client: Client,
    service: Service,
    kept: list[Tokens | None],
) -> None:
    with Client(service.base, tokens=client.tokens) as elsewhere:
        elsewhere.log_out()
    with pytest.raises(ProblemError) as refused:
        client.refresh_tokens()
    assert refused.value.status == 401
    assert kept[-1] is None
    assert client.tokens is None


def test_a_stream_goes_on_after_the_connection_broke(client: Client, service: Service, gemini: FakeGemini) -> None:
    gemini.will(Outcome("pause", text=TEXT))
    room = client.create_chatroom(name="Tales")
    reply = client.send_message(room["id"], "Tell me a tale")["reply"]["id"]
    with (
        contextlib.closing(FreezableProxy(service.base, default_port=80)) as proxy,
        Client(proxy.url, tokens=client.tokens) as far,
    ):
        text, names = "", []
        for event in far.stream_reply(reply):
            names.append(event["event"])
            if event["event"] == "delta":
                text += event["data"]["text"]
            if text == HALF and not gemini.go_on.is_set():
                proxy.hang_up()
                gemini.go_on.set()
    assert names.count("reset") == 0
    assert names[-1] == "done"
    assert text == TEXT


def test_the_quota_is_not_waited_for(client: Client) -> None:
    room = client.create_chatroom(name="Many")
    for number in range(5):
        client.send_message(room["id"], f"Number {number}")
    with pytest.raises(ProblemError, match="daily_quota_exceeded") as refused:
        client.send_message(room["id"], "One more")
    assert refused.value.retry_after is not None
