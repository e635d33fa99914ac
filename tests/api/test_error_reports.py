"""What Sentry is told of an unexpected error."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import structlog
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from adapters.sentry import SentryErrors
from entrypoints.api.app import create_app
from entrypoints.logs import report_errors_to
from tests.builders import ASHA, House

PROMPT = "What only the model may read"
ROUTE = "/chatroom/<uuid:chatroom_id>/message"


class RecordingTransport(Transport):
    sent: ClassVar[list[bytes]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope.serialize())


@pytest.fixture
def sent() -> Iterator[list[bytes]]:
    """What is sent to Sentry."""
    RecordingTransport.sent = []
    processors = structlog.get_config()["processors"]
    before = processors.copy()
    reporter = SentryErrors(
        "https://key@sentry.example/1", environment="production", release="1.2.3", transport=RecordingTransport
    )
    report_errors_to(reporter)
    yield RecordingTransport.sent
    processors[:] = before
    reporter.close()


def event_of(payload: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(payload.splitlines()[-1])
    return event


def fail(prompt: str, phone: str) -> None:
    raise RuntimeError(f"{phone} said {prompt}") from ValueError(prompt)


def test_an_error_is_told_by_type_place_route_and_request_id_and_nothing_that_somebody_wrote(sent: list[bytes]):
    house = House()
    token = house.token(ASHA)
    asha = house.use_cases.auth.authenticate(token)
    room = house.room(asha, "A room of secrets")
    house.unit_of_work.before_each = lambda: fail(PROMPT, ASHA)
    answer = (
        create_app(house.use_cases)
        .test_client()
        .post(
            f"/chatroom/{room}/message?secret=of-the-query",
            json={"message": PROMPT},
            headers={"Authorization": f"Bearer {token}", "X-Request-Id": "request-of-the-test"},
        )
    )

    assert answer.status_code == 500
    [payload] = sent
    event = event_of(payload)
    assert event["transaction"] == ROUTE
    assert event["tags"] == {"request_id": "request-of-the-test"}
    assert (event["logger"], event["environment"], event["release"]) == ("unforeseen_error", "production", "1.2.3")
    cause, error = event["exception"]["values"]
    assert (cause["type"], error["type"]) == ("ValueError", "RuntimeError")
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert not event.keys() & {"request", "user", "breadcrumbs", "extra", "contexts", "modules", "server_name"}
    for secret in (PROMPT, ASHA[1:], token, "A room of secrets", "of-the-query", str(room), "Bearer"):
        assert secret.encode() not in payload


def test_what_is_foreseen_is_not_told(sent: list[bytes]):
    house = House()
    token = house.token(ASHA)
    client = create_app(house.use_cases).test_client()
    headers = {"Authorization": f"Bearer {token}"}
    house.database_probe.on = False
    assert client.get("/chatroom", headers=headers).status_code == 503
    assert client.get("/nowhere", headers=headers).status_code == 404
    assert sent == []


def test_an_error_of_a_worker_names_the_reply(sent: list[bytes]):
    structlog.contextvars.clear_contextvars()
    with structlog.contextvars.bound_contextvars(reply_id="a-reply", attempt=2):
        structlog.get_logger().error("reply_not_written", phone=ASHA, exc_info=ValueError(PROMPT))
    [payload] = sent
    assert event_of(payload)["tags"] == {"reply_id": "a-reply", "attempt": "2"}
    assert not [secret for secret in (PROMPT, ASHA[1:]) if secret.encode() in payload]
