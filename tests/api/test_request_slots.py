"""Requests that wait keep a thread, but release their slot."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.test import TestResponse

from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.middleware import install_middleware
from entrypoints.api.waiting import RequestSlots
from tests.api.client import Client, body_of, problem_of
from tests.builders import House

PATIENCE = 20.0  # seconds after which a test fails rather than hangs


class BackgroundRequest:
    """A request in a thread of its own."""

    def __init__(self, app: Flask, client: Client, method: str, path: str, **request: object) -> None:
        headers = {"Authorization": f"Bearer {client.token}", **request.pop("headers", {})}  # type: ignore[dict-item]
        self._answer: list[TestResponse] = []

        def send() -> None:
            answer = FlaskClient(app).open(path, method=method, headers=headers, **request)  # type: ignore[arg-type]
            self._answer.append(answer)

        self._thread = Thread(target=send, daemon=True)
        self._thread.start()

    def answer(self) -> TestResponse:
        self._thread.join(PATIENCE)
        assert self._answer, "no response in time"
        return self._answer[0]


class Gate:
    """Holds a request until it is opened."""

    def __init__(self) -> None:
        self.reached = Event()
        self._go = Event()

    def __call__(self, *_args: object) -> None:
        self.reached.set()
        assert self._go.wait(PATIENCE)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Wait until a request is held; open the gate at the end."""
        assert self.reached.wait(PATIENCE)
        try:
            yield
        finally:
            self._go.set()


@pytest.fixture
def app(house: House) -> Flask:
    """An application that works on one request at once."""
    return create_app(house.use_cases, working_requests=1)


def me(app: Flask, asha: Client) -> TestResponse:
    """A request that takes no time."""
    return BackgroundRequest(app, asha, "GET", "/user/me").answer()


def test_while_a_request_waits_for_its_reply_others_are_worked_on(app: Flask, asha: Client, house: House):
    room = asha.open_room()
    gate = Gate()
    house.meanwhile.plan(gate, house.work)
    sending = BackgroundRequest(
        app, asha, "POST", f"{room}/message", json={"message": "hi"}, headers={"Prefer": "wait=25"}
    )
    with gate.holding():
        for _ in range(3):
            assert me(app, asha).status_code == 200
    assert body_of(sending.answer(), 201)["reply"]["content"] == "echo: hi"
    assert me(app, asha).status_code == 200


def test_and_while_it_polls(app: Flask, asha: Client, house: House):
    room = asha.open_room()
    message = body_of(asha.say(room), 202)["message"]["id"]
    gate = Gate()
    house.meanwhile.plan(gate, house.work)
    reading = BackgroundRequest(app, asha, "GET", f"{room}/messages?after={message}&wait=25")
    with gate.holding():
        # Even a request that waits itself, and has nothing to wait for.
        assert BackgroundRequest(app, asha, "GET", f"{room}/messages?after={message}").answer().status_code == 200
        assert me(app, asha).status_code == 200
    [reply] = body_of(reading.answer())["messages"]
    assert reply["status"] == "done"


def test_no_more_requests_are_worked_on_than_there_are_slots(
    app: Flask, asha: Client, house: House, monkeypatch: pytest.MonkeyPatch
):
    gate = Gate()
    profile = type(house.use_cases.auth.show_own_profile)
    show = profile.__call__

    def show_when_let_go(*args: Any, **options: Any) -> Any:
        gate()
        return show(*args, **options)

    monkeypatch.setattr(profile, "__call__", show_when_let_go)
    working = BackgroundRequest(app, asha, "GET", "/user/me")
    with gate.holding():
        waiting = BackgroundRequest(app, asha, "GET", "/chatroom")
        waiting._thread.join(0.05)
        assert not waiting._answer
    assert working.answer().status_code == waiting.answer().status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/user/me", 405),
        ("POST", "/chatroom", 422),
        (
            "GET",
            "/chatroom/00000000-0000-0000-0000-000000000099/messages?after=00000000-0000-0000-0000-000000000001",
            404,
        ),
        ("OPTIONS", "/user/me", 200),
        ("HEAD", "/user/me", 200),
    ],
)
def test_every_outcome_of_a_request_releases_its_slot(app: Flask, asha: Client, method: str, path: str, status: int):
    for _ in range(3):
        answer = BackgroundRequest(app, asha, method, path, **({"json": {}} if method == "POST" else {})).answer()
        assert answer.status_code == status


def test_an_error_while_waiting_too(app: Flask, asha: Client, house: House):
    room = asha.open_room()
    message = body_of(asha.say(room), 202)["message"]["id"]
    for _ in range(3):
        house.database_probe.on = True
        house.meanwhile.plan(lambda: setattr(house.database_probe, "on", False))
        assert (
            BackgroundRequest(app, asha, "GET", f"{room}/messages?after={message}&wait=5").answer().status_code == 503
        )
    house.database_probe.on = True
    assert me(app, asha).status_code == 200


def test_too_many_waiting_is_said_of_nothing_else(asha: Client, house: House):
    app = create_app(house.use_cases, waiting_requests=0)

    @app.get("/elsewhere")
    def something_else() -> str:
        raise ServiceUnavailable(retry_after=7)

    room = asha.open_room()
    message = body_of(asha.say(room), 202)["message"]["id"]
    refused = BackgroundRequest(app, asha, "GET", f"{room}/messages?after={message}&wait=5").answer()
    assert problem_of(refused, 503, "too_many_waiting")["title"] == "Too many requests are waiting"
    assert refused.headers["Retry-After"] == "5"
    other = BackgroundRequest(app, asha, "GET", "/elsewhere").answer()
    assert problem_of(other, 503, "unavailable")["title"] == "Not available at the moment"
    assert other.headers["Retry-After"] == "7"


def test_a_slot_is_released_once():
    slots = RequestSlots(1)
    app = Flask("test")
    install_middleware(app, slots, HttpOptions())

    @app.get("/")
    def view() -> str:
        with slots.released():
            pass
        return "ok"

    for _ in range(3):
        assert app.test_client().get("/").text == "ok"
