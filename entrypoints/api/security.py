"""Who is asking: the bearer token of a request (RFC 6750)."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, g, request
from flask_smorest import Blueprint

from application.auth.sessions import Authenticate
from domain.accounts import Principal
from domain.errors import TokenInvalid

View = Callable[..., Response]
SCHEME = "bearer"


class Guard:
    """Decorates a view that needs a login: it gets the principal as its first argument, or is not called at all.

    Stands above ``arguments``, so that nobody learns what a body should look like without a token.
    """

    def __init__(self, authenticate: Authenticate) -> None:
        """Ask ``authenticate`` with each request."""
        self._authenticate = authenticate

    def __call__(self, view: View) -> View:
        """The view, guarded and documented so."""

        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Response:
            return view(self._principal(), *args, **kwargs)

        documented: View = Blueprint.doc(security=[{SCHEME: []}])(guarded)
        return documented

    def _principal(self) -> Principal:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenInvalid
        principal = self._authenticate(token.strip())
        g.user_id = principal.user_id  # for the log line of the request
        return principal
