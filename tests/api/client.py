"""Clients of the API: the application on in-memory adapters, called through Flask's test client."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from application.use_cases import UseCases
from entrypoints.api.app import create_app
from tests.api.documented import DocumentedClient
from tests.builders import House


class LazyProxy:
    """Looks its target up on each call, so that one application serves the House of every test.

    Building an application takes ten times as long as a test.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> "LazyProxy":
        return LazyProxy(lambda: getattr(self._find(), name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)


# The House of the client that called last.
_current: list[House] = []


@cache
def application() -> Flask:
    app = create_app(cast(UseCases, LazyProxy(lambda: _current[-1].use_cases)))
    app.test_client_class = DocumentedClient
    return app


class Api:
    """The API over a House. Every response is validated against the OpenAPI document."""

    def __init__(self, house: House | None = None) -> None:
        self.house = house or House()

    def guest(self) -> "Client":
        return Client(self.house, application().test_client(), None)

    def log_in(self, phone: str) -> "Client":
        """A client with the token of a new login."""
        return self.client(self.house.token(phone))

    def client(self, token: str) -> "Client":
        """A client with this token, valid or not."""
        return Client(self.house, application().test_client(), token)


class Client:
    """Sends its token with each request. ``json=`` sends a body; keywords are werkzeug's."""

    def __init__(self, house: House, client: FlaskClient, token: str | None) -> None:
        self._house = house
        self._client = client
        self.token = token

    def send(self, method: str, path: str, **request: Any) -> TestResponse:
        headers = dict(request.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        _current[:] = [self._house]
        return self._client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: Any) -> TestResponse:
        return self.send("GET", path, **request)

    def post(self, path: str, json: Any = None, **request: Any) -> TestResponse:
        return self.send("POST", path, json=json, **request)

    def open_room(self, name: str = "Room") -> str:
        """Open a chatroom and return its path."""
        return str(self.post("/chatroom", {"name": name}).headers["Location"])

    def say(self, room: str, text: str = "hi", **headers: str) -> TestResponse:
        """Send a message; keywords such as ``Idempotency_Key`` are headers."""
        return self.post(
            f"{room}/message",
            {"message": text},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def promised(self, room: str, text: str = "hi") -> str:
        """Send a message and return the path of its reply."""
        return str(self.say(room, text).headers["Location"])


def body_of(response: TestResponse, status: int = 200) -> Any:
    """The JSON body of a response, which must have this status."""
    assert response.status_code == status, response.text
    return response.json


def problem_of(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem of a response, which must have this status and code."""
    problem = response.json
    assert isinstance(problem, dict), response.text
    assert (response.status_code, problem["code"]) == (status, code), problem
    return problem


def faulty_fields(response: TestResponse) -> set[str]:
    errors = problem_of(response, 422, "validation_failed")["errors"]
    assert all(lines and all(lines) for lines in errors.values())
    return set(errors)
