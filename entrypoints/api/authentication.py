"""Bearer tokens (RFC 6750): which views need one, and who sent it."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from flask import Response, request

from application.auth.rate_limits import LimitRequests
from application.auth.sessions import Authenticate
from domain.accounts import Principal, UserId
from domain.errors import AccountLocked, RateLimited, TokenInvalid, Unauthenticated
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.client import ORIGIN
from entrypoints.api.refused_tokens import RefusedTokens
from entrypoints.server.waiting import RESUMED

View = Callable[..., Response]
SCHEME = "bearer"
# Key of the WSGI environ: the WindowStatus of the limit that is nearest, for the headers of the response.
WINDOW_STATUS = "gemini_chat.window_status"


class Authenticated:
    """Decorates a view that needs a bearer token: the view gets the principal as its first argument.

    A request without a valid token is refused for that, whatever else is wrong with it: so this stands above
    ``arguments``, or ``arguments`` calls ``check_login`` of the view before it refuses.
    """

    def __init__(self, authenticate: Authenticate, limit_requests: LimitRequests) -> None:
        self._authenticate = authenticate
        self._limit_requests = limit_requests
        self._refused = RefusedTokens(authenticate.clock)

    def __call__(self, view: View) -> View:
        return self._decorate(view, self._principal)

    def with_(self, load: Callable[..., tuple[Principal, Any]]) -> Callable[[View], View]:
        """Decorates a view that also gets, as its second argument, what ``load`` reads together with the principal.

        One query costs half of two. ``load`` gets the token, and the view's arguments that were loaded above.
        """
        return lambda view: self._decorate(view, load)

    def optionally(self, view: View) -> View:
        """Decorates a view that gets None where there is no valid token, and decides itself what that allows."""

        @wraps(view)
        def perhaps_authenticated(*args: Any, **kwargs: Any) -> Response:
            try:
                principal = self._load_and_count(self._principal)[0]
            except (Unauthenticated, AccountLocked):
                principal = None
            return view(principal, *args, **kwargs)

        perhaps_authenticated.needs_login = True  # type: ignore[attr-defined]
        return JsonBlueprint.doc(security=[{SCHEME: []}, {}])(perhaps_authenticated)

    def _decorate(self, view: View, load: Callable[..., tuple[Any, ...]]) -> View:
        @wraps(view)
        def authenticated(*args: Any, **kwargs: Any) -> Response:
            return view(*self._load_and_count(load, *args, **kwargs), *args, **kwargs)

        authenticated.needs_login = True  # type: ignore[attr-defined]
        authenticated.check_login = partial(self._load_and_count, self._principal)  # type: ignore[attr-defined]
        return JsonBlueprint.doc(security=[{SCHEME: []}])(authenticated)

    def _principal(self, token: str, *_args: Any, **_kwargs: Any) -> tuple[Principal]:
        return (self._authenticate(token),)

    def _load_and_count(self, load: Callable[..., tuple[Any, ...]], *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        token = bearer_token()
        address = request.environ[ORIGIN].address
        try:
            if token is None:
                raise TokenInvalid
            if RESUMED not in request.environ:
                self._refused.check(token, address)
            loaded = load(token, *args, **kwargs)
        except (Unauthenticated, AccountLocked):
            # Requests with invalid tokens count for their address, so that tokens cannot be tried without limit.
            self._count(None, address)
            raise
        try:
            self._count(loaded[0].user_id, address)
        except RateLimited as refusal:
            self._refused.remember(token, address, refusal)
            raise
        return loaded

    def _count(self, user_id: UserId | None, address: str | None) -> None:
        if RESUMED in request.environ:  # counted when it came
            return
        # User and address together: one round trip to Redis.
        request.environ[WINDOW_STATUS] = self._limit_requests(user_id=user_id, address=address)


def needs_login(view: Callable[..., Any] | None) -> bool:
    """Whether a view is decorated by Authenticated."""
    return getattr(view, "needs_login", False)


def bearer_token() -> str | None:
    """The token of the present request; None without one."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(token.strip()) or None if scheme.lower() == "bearer" else None
