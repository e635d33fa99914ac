"""The application behind its HTTP door, and people who knock."""

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


class Late:
    """Stands for something that is looked up when it is called, so that one application serves every test's house.

    To build an application takes ten times as long as to use it.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        """Stand for what ``find`` will find."""
        self._find = find

    def __getattr__(self, name: str) -> "Late":
        """A part of it."""
        return Late(lambda: getattr(self._find(), name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._find()(*args, **kwargs)


_opened: list[House] = []


@cache
def application() -> Flask:
    """The application, in front of the house whose door was knocked at last."""
    app = create_app(cast(UseCases, Late(lambda: _opened[-1].use_cases)))
    app.test_client_class = DocumentedClient
    return app


class Door:
    """A house behind its door; every answer of it is held to the OpenAPI document."""

    def __init__(self, house: House | None = None) -> None:
        """The door of ``house``, or of an empty one."""
        self.house = house or House()

    def guest(self) -> "Caller":
        """Somebody without a token."""
        return Caller(self.house, application().test_client(), None)

    def log_in(self, phone: str) -> "Caller":
        """Somebody with the token of a new login."""
        return self.caller(self.house.token(phone))

    def caller(self, token: str) -> "Caller":
        """Somebody with this token, whatever it is."""
        return Caller(self.house, application().test_client(), token)


class Caller:
    """A client that shows its token with each request. ``json=`` sends a body; keywords are werkzeug's."""

    def __init__(self, house: House, client: FlaskClient, token: str | None) -> None:
        """Knock at the door of ``house`` with ``client``."""
        self._house = house
        self._client = client
        self.token = token

    def send(self, method: str, path: str, **request: Any) -> TestResponse:
        """The answer to a request."""
        headers = dict(request.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        _opened[:] = [self._house]
        return self._client.open(path, method=method, headers=headers, **request)

    def get(self, path: str, **request: Any) -> TestResponse:
        """The answer to GET."""
        return self.send("GET", path, **request)

    def post(self, path: str, json: Any = None, **request: Any) -> TestResponse:
        """The answer to POST of a JSON body."""
        return self.send("POST", path, json=json, **request)

    def open_room(self, name: str = "Room") -> str:
        """The path of a new chatroom."""
        return str(self.post("/chatroom", {"name": name}).headers["Location"])

    def say(self, room: str, text: str = "hi", **headers: str) -> TestResponse:
        """The answer to a message; ``Idempotency_Key`` and so on are headers."""
        return self.post(
            f"{room}/message",
            {"message": text},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def promised(self, room: str, text: str = "hi") -> str:
        """The path of the reply to a message."""
        return str(self.say(room, text).headers["Location"])


def body_of(response: TestResponse, status: int = 200) -> Any:
    """The JSON of an answer that must have this status."""
    assert response.status_code == status, response.text
    return response.json


def problem_of(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer that must be this one."""
    problem = response.json
    assert isinstance(problem, dict), response.text
    assert (response.status_code, problem["code"]) == (status, code), problem
    return problem


def faulty_fields(response: TestResponse) -> set[str]:
    """The fields that a 422 complains of."""
    errors = problem_of(response, 422, "validation_failed")["errors"]
    assert all(lines and all(lines) for lines in errors.values())
    return set(errors)
