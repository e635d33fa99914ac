"""A message is followed from its request through the queue to the model, and nothing that somebody wrote is told."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from application.use_cases import UseCases
from domain.one_time_password import Purpose
from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from entrypoints.container.build import build_web, build_worker
from entrypoints.worker.loop import ReplyLoop
from tests.collector import Collector
from tests.concurrency import eventually
from tests.integration.conftest import settings_of

PHONE = "+919876543210"
PROMPT = "What only the model may read"
CLIENTS_TRACE, CLIENTS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def _body(answer: TestResponse) -> Any:
    return answer.json


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def told(collector: Collector, clean_database: str, clean_redis: str, tmp_path: Path) -> Collector:
    """What web and worker told of a message that a client sent within a trace of its own."""
    settings = settings_of(
        tmp_path,
        database_url=clean_database,
        redis_url=clean_redis,
        LLM_PROVIDER="offline",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
    )
    with ExitStack() as stack:
        web, worker = build_web(settings), build_worker(settings)
        stack.callback(web.close)
        stack.callback(worker.close)
        client = create_app(web.use_cases, HttpOptions(trace=web.trace)).test_client()
        entry = send(web.use_cases, client)
        loop = ReplyLoop(worker.replying, worker.heartbeat, worker.worker_notifier, concurrency=2, trace=worker.trace)
        loop.start()
        eventually(lambda: _body(client.get(f"/message/{entry.id}", headers=entry.headers))["status"] == "done")
        loop.stop(grace_seconds=10)
    return collector


class Entry(NamedTuple):
    id: str
    headers: dict[str, str]


def send(use_cases: UseCases, client: FlaskClient) -> Entry:
    sent = use_cases.auth.request_code(mobile_number=PHONE, purpose=Purpose.LOGIN)
    login = use_cases.auth.verify_code(mobile_number=PHONE, code=sent.shown or "")
    headers = {"Authorization": f"Bearer {login.token}"}
    room = _body(client.post("/chatroom", json={"name": "A room of secrets"}, headers=headers))["id"]
    answer = client.post(
        f"/chatroom/{room}/message",
        json={"message": PROMPT},
        headers={
            **headers,
            "traceparent": f"00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-01",
            "X-Request-Id": "request-of-the-test",
        },
    )
    assert answer.status_code == 202
    return Entry(_body(answer)["reply"]["id"], headers)


def test_a_message_is_followed_from_its_request_to_the_model(told: Collector):
    request = told.span("POST /chatroom/<uuid:chatroom_id>/message")
    accepted, queued = told.span("accept message"), told.span("queue reply")
    attempt, call, stored = told.span("write reply"), told.span("call model"), told.span("store outcome")

    assert (request.trace, request.parent) == (CLIENTS_TRACE, CLIENTS_SPAN)
    assert (accepted.trace, accepted.parent) == (CLIENTS_TRACE, request.id)
    # The reply has a trace of its own, which web and worker find without telling each other; links join the two.
    assert accepted.links == [queued.id]
    assert queued.links == [accepted.id]
    assert (attempt.trace, attempt.parent) == (queued.trace, queued.id)
    assert {(one.trace, one.parent) for one in (call, stored)} == {(queued.trace, attempt.id)}


def test_spans_tell_what_happened(told: Collector):
    request = told.span("POST /chatroom/<uuid:chatroom_id>/message")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/chatroom/<uuid:chatroom_id>/message",
        "http.response.status_code": 202,
        "gemini_chat.request_id": "request-of-the-test",
    }
    call = told.span("call model").attributes
    assert call["gemini_chat.outcome"] == "answered"
    assert call["gen_ai.response.model"] == "offline"
    assert told.span("store outcome").attributes == {"gemini_chat.reply_state": "done"}
    assert told.span("write reply").attributes["gemini_chat.attempt"] == 1
    assert {one.process for one in told.spans()} == {"gemini-chat"}
    assert {one.status for one in told.spans()} == {0}


def test_nothing_that_somebody_wrote_is_told(told: Collector):
    everything = b"".join(told.traces)
    assert b"request-of-the-test" in everything
    for secret in (PROMPT, "nobody but the model", PHONE[1:], "A room of secrets", "Bearer", "eyJ"):
        assert secret.encode() not in everything
