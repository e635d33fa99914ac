"""What surrounds every request: its id, its place, the headers of its answer, its line in the log.

WSGI middleware on plain dictionaries and lists: with Flask's hooks, context proxies and header objects the same work
would double what Flask costs per request.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from flask import Flask

from application.ports.rate_limiter import WindowStatus
from entrypoints.api.client import note_origin
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.request_id import HEADER, note_request_id
from entrypoints.api.security import CHARGED
from entrypoints.api.waiting import RequestSlots

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# An answer that is no page loads nothing and stands in no frame; our own pages load from here alone.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
OWN_PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# What every answer says unless it says something else itself.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    # Left out, the web server would put its own name here.
    "Server": "",
}
HSTS = "max-age=31536000"

log = structlog.get_logger("http")


def install_middleware(app: Flask, places: RequestSlots, policy: HttpOptions) -> None:
    """Let every request of ``app`` come in, and every answer go out, through this."""
    app.wsgi_app = RequestMiddleware(app.wsgi_app, places, policy)  # type: ignore[method-assign]


class RequestMiddleware:
    """The middleware."""

    def __init__(self, app: App, places: RequestSlots, policy: HttpOptions) -> None:
        """Around ``app``."""
        self._app = app
        self._places = places
        self._policy = policy
        always = HEADERS | ({"Strict-Transport-Security": HSTS} if policy.https_only else {})
        self._answers = _by_name(always | {"Content-Security-Policy": NO_PAGE})
        self._pages = _by_name(always | {"Content-Security-Policy": OWN_PAGE})

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        began = time.perf_counter()
        request_id = note_request_id(environ)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        note_origin(environ, self._policy.trusted_proxies)
        status, rule = 500, None

        def start(line: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal status, rule
            status, rule = int(line[:3]), environ["werkzeug.request"].url_rule
            headers.append((HEADER, request_id))
            return start_response(line, self._finished(headers, environ.get(CHARGED)), exc_info)

        self._places.take(environ)
        try:
            return self._app(environ, start)
        finally:
            self._places.give_back(environ)
            # The rule, not the path: ids stay out of the statistics, and whatever strangers type out of the log.
            log.info(
                "request",
                method=environ["REQUEST_METHOD"],
                route=rule.rule if rule else None,
                status=status,
                milliseconds=round((time.perf_counter() - began) * 1000, 1),
            )

    def _finished(self, headers: Headers, charged: WindowStatus | None) -> Headers:
        """The headers of an answer, and those of every answer."""
        said = {name.lower(): value for name, value in headers}
        is_page = said.get("content-type", "").startswith("text/html")
        headers += [pair for name, pair in (self._pages if is_page else self._answers) if name not in said]
        # A daily quota, or a refusal, has said what counts most already.
        if charged is not None and "ratelimit" not in said:
            limit = charged.limit
            window = int(limit.per.total_seconds())
            headers.append(("RateLimit-Policy", f'"{limit.name}";q={limit.amount};w={window}'))
            headers.append(("RateLimit", f'"{limit.name}";r={charged.remaining};t={charged.resets_in}'))
        return headers


def _by_name(headers: dict[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(name.lower(), (name, value)) for name, value in headers.items()]
