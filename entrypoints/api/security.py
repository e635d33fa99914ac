"""Who is asking: the bearer token of a request (RFC 6750)."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from application.auth.rate_limits import LimitRequests
from application.auth.sessions import Authenticate
from domain.accounts import Principal, UserId
from domain.errors import TokenInvalid, Unauthenticated
from entrypoints.api.client import origin

View = Callable[..., Response]
SCHEME = "bearer"
# Where a request carries the limit that is nearest, for the headers of its answer.
CHARGED = "gemini_chat.charged"


class Guard:
    """Decorates a view that needs a login: it gets the principal as its first argument, or is not called at all.

    Stands above ``arguments``, so that nobody learns what a body should look like without a token.
    """

    def __init__(self, authenticate: Authenticate, limit_requests: LimitRequests) -> None:
        """Ask ``authenticate`` with each request, and count it."""
        self._authenticate = authenticate
        self._limit_requests = limit_requests

    def __call__(self, view: View) -> View:
        """The view, guarded and documented so."""
        return self._guarded(view, lambda token: (self._authenticate(token),))

    def asking(self, ask: Callable[[str], tuple[Principal, Any]]) -> Callable[[View], View]:
        """Decorates a view that gets as its second argument what is asked together with who is asking.

        One question costs half of two.
        """
        return lambda view: self._guarded(view, ask)

    def _guarded(self, view: View, ask: Callable[[str], tuple[Any, ...]]) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Response:
            return view(*self._known(ask), *args, **kwargs)

        guarded.needs_login = True  # type: ignore[attr-defined]
        documented: View = Blueprint.doc(security=[{SCHEME: []}])(guarded)
        return documented

    def _known(self, ask: Callable[[str], tuple[Any, ...]]) -> tuple[Any, ...]:
        """The principal first, counted."""
        try:
            known = ask(self._token())
        except Unauthenticated:
            # Who tries tokens is nobody yet but an address.
            self._count(None)
            raise
        self._count(known[0].user_id)
        return known

    @staticmethod
    def _token() -> str:
        scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenInvalid
        return str(token.strip())

    def _count(self, user_id: UserId | None) -> None:
        # User and address in one go, so that it is one question to Redis.
        request.environ[CHARGED] = self._limit_requests(user_id=user_id, address=origin().address)


def needs_login(view: Callable[..., Any] | None) -> bool:
    """Whether a view is guarded."""
    return getattr(view, "needs_login", False)
