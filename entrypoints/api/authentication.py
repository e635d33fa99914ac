"""Bearer tokens (RFC 6750): which views need one, and who sent it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request

from application.auth.rate_limits import LimitRequests
from application.auth.sessions import Authenticate
from domain.accounts import Principal, UserId
from domain.errors import AccountLocked, TokenInvalid, Unauthenticated
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.client import ORIGIN
from entrypoints.server.waiting import RESUMED

View = Callable[..., Response]
SCHEME = "bearer"
# Key of the WSGI environ: the WindowStatus of the limit that is nearest, for the headers of the response.
WINDOW_STATUS = "gemini_chat.window_status"


class Authenticated:
    """Decorates a view that needs a bearer token: the view gets the principal as its first argument.

    It stands above ``arguments``, so that a request without a valid token is refused before its body is validated.
    """

    def __init__(self, authenticate: Authenticate, limit_requests: LimitRequests) -> None:
        self._authenticate = authenticate
        self._limit_requests = limit_requests

    def __call__(self, view: View) -> View:
        return self._decorate(view, lambda token: (self._authenticate(token),))

    def with_(self, load: Callable[[str], tuple[Principal, Any]]) -> Callable[[View], View]:
        """Decorates a view that also gets, as its second argument, what ``load`` reads together with the principal.

        One query costs half of two.
        """
        return lambda view: self._decorate(view, load)

    def optionally(self, view: View) -> View:
        """Decorates a view that gets None where there is no valid token, and decides itself what that allows."""

        @wraps(view)
        def perhaps_authenticated(*args: Any, **kwargs: Any) -> Response:
            try:
                principal = self._load_and_count(lambda token: (self._authenticate(token),))[0]
            except (Unauthenticated, AccountLocked):
                principal = None
            return view(principal, *args, **kwargs)

        perhaps_authenticated.needs_login = True  # type: ignore[attr-defined]
        return JsonBlueprint.doc(security=[{SCHEME: []}, {}])(perhaps_authenticated)

    def _decorate(self, view: View, load: Callable[[str], tuple[Any, ...]]) -> View:
        @wraps(view)
        def authenticated(*args: Any, **kwargs: Any) -> Response:
            return view(*self._load_and_count(load), *args, **kwargs)

        authenticated.needs_login = True  # type: ignore[attr-defined]
        return JsonBlueprint.doc(security=[{SCHEME: []}])(authenticated)

    def _load_and_count(self, load: Callable[[str], tuple[Any, ...]]) -> tuple[Any, ...]:
        try:
            token = bearer_token()
            if token is None:
                raise TokenInvalid
            loaded = load(token)
        except (Unauthenticated, AccountLocked):
            # Requests with invalid tokens count for their address, so that tokens cannot be tried without limit.
            self._count(None)
            raise
        self._count(loaded[0].user_id)
        return loaded

    def _count(self, user_id: UserId | None) -> None:
        environ = request.environ
        if RESUMED in environ:  # counted when it came
            return
        # User and address together: one round trip to Redis.
        environ[WINDOW_STATUS] = self._limit_requests(user_id=user_id, address=environ[ORIGIN].address)


def needs_login(view: Callable[..., Any] | None) -> bool:
    """Whether a view is decorated by Authenticated."""
    return getattr(view, "needs_login", False)


def bearer_token() -> str | None:
    """The token of the present request; None without one."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(token.strip()) or None if scheme.lower() == "bearer" else None
