"""Long polls and streams: how many may wait, and what gives a place back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import ServiceUnavailable

from entrypoints.api.app import create_app
from entrypoints.api.http_options import HttpOptions
from tests.api.client import Client, body_of, problem_of
from tests.builders import House


def client_with(house: House, *, waiting: int = 100, per_user: int = 100) -> FlaskClient:
    """Its own application, whose places are few."""
    options = HttpOptions(waiting_requests=waiting, waiting_requests_per_user=per_user)
    return FlaskClient(create_app(house.use_cases, options))


def with_token(caller: Client) -> dict[str, str]:
    return {"Authorization": f"Bearer {caller.token}"}


@pytest.fixture
def poll(asha: Client) -> str:
    """A long poll for the reply to a message of hers."""
    room = asha.open_room()
    message = body_of(asha.say(room), 202)["message"]["id"]
    return f"{room}/messages?after={message}&wait=5"


def test_too_many_waiting_is_said_of_nothing_else(asha: Client, poll: str, house: House):
    app: Flask = create_app(house.use_cases, HttpOptions(waiting_requests=0))

    @app.get("/elsewhere")
    def something_else() -> str:
        raise ServiceUnavailable(retry_after=7)

    client = FlaskClient(app)
    refused = client.get(poll, headers=with_token(asha))
    assert problem_of(refused, 503, "too_many_waiting")["title"] == "Too many requests are waiting"
    assert refused.headers["Retry-After"] == "5"
    other = client.get("/elsewhere")
    assert problem_of(other, 503, "unavailable")["title"] == "Not available at the moment"
    assert other.headers["Retry-After"] == "7"


def test_a_poll_without_a_wait_takes_no_place(asha: Client, poll: str, house: House):
    client = client_with(house, waiting=0)
    for path in (poll.replace("wait=5", "wait=0"), poll.replace("&wait=5", "")):
        assert client.get(path, headers=with_token(asha)).status_code == 200


def test_a_message_is_accepted_although_no_request_may_wait_for_its_reply(asha: Client, house: House):
    room = asha.open_room()
    headers = {**with_token(asha), "Prefer": "wait=20"}
    sent = client_with(house, waiting=0).post(f"{room}/message", json={"message": "hi"}, headers=headers)
    assert body_of(sent, 202)["reply"]["status"] == "queued"


def test_one_user_may_not_take_all_places(asha: Client, ravi: Client, house: House):
    client = client_with(house, waiting=3, per_user=2)
    paths = {}
    for caller in (asha, ravi):
        sent = body_of(caller.say(caller.open_room()), 202)
        paths[caller] = f"/message/{sent['reply']['id']}/stream"
    streams = [client.get(paths[asha], headers=with_token(asha)) for _ in range(2)]
    problem_of(client.get(paths[asha], headers=with_token(asha)), 503, "too_many_waiting")
    streams.append(client.get(paths[ravi], headers=with_token(ravi)))
    assert [stream.status_code for stream in streams] == [200] * 3
    problem_of(client.get(paths[ravi], headers=with_token(ravi)), 503, "too_many_waiting")
    for stream in streams:
        stream.close()
    client.get(paths[asha], headers=with_token(asha)).close()


def test_a_poll_gives_its_place_back_whatever_comes_of_it(asha: Client, poll: str, house: House):
    client = client_with(house, waiting=1)
    for _ in range(3):
        house.database_probe.on = True
        house.meanwhile.plan(lambda: setattr(house.database_probe, "on", False))
        with ThreadPoolExecutor(1) as thread:
            refused = thread.submit(client.get, poll, headers=with_token(asha)).result(30)
        assert problem_of(refused, 503, "dependency_unavailable")["dependency"] == "database"
