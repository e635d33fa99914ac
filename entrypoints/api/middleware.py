"""WSGI middleware around every request: request id, client, slot, response headers, log line.

It works on plain dictionaries and lists: with Flask's hooks, context proxies and header objects the same work would
double the cost of Flask per request.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from flask import Flask

from application.ports.rate_limiter import WindowStatus
from entrypoints.api.authentication import WINDOW_STATUS
from entrypoints.api.client import note_origin
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.request_id import HEADER, note_request_id
from entrypoints.api.waiting import RequestSlots

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Content-Security-Policy of JSON responses: load nothing, no frames. HTML pages load from their own origin only.
JSON_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Every response has these, unless its view sets them itself.
DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    # Otherwise the web server puts its own name here.
    "Server": "",
}
HSTS = "max-age=31536000"

log = structlog.get_logger("http")


def install_middleware(app: Flask, slots: RequestSlots, options: HttpOptions) -> None:
    app.wsgi_app = RequestMiddleware(app.wsgi_app, slots, options)  # type: ignore[method-assign]


class RequestMiddleware:
    def __init__(self, app: App, slots: RequestSlots, options: HttpOptions) -> None:
        self._app = app
        self._slots = slots
        self._options = options
        always = DEFAULT_HEADERS | ({"Strict-Transport-Security": HSTS} if options.https_only else {})
        self._json_headers = _by_name(always | {"Content-Security-Policy": JSON_POLICY})
        self._page_headers = _by_name(always | {"Content-Security-Policy": PAGE_POLICY})

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.perf_counter()
        request_id = note_request_id(environ)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        note_origin(environ, self._options.trusted_proxies)
        status, rule = 500, None

        def start(line: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal status, rule
            status, rule = int(line[:3]), environ["werkzeug.request"].url_rule
            headers.append((HEADER, request_id))
            return start_response(line, self._complete(headers, environ.get(WINDOW_STATUS)), exc_info)

        self._slots.acquire(environ)
        try:
            return self._app(environ, start)
        finally:
            self._slots.release(environ)
            # The rule, not the path: so ids do not split statistics, and clients cannot write into the log.
            log.info(
                "request",
                method=environ["REQUEST_METHOD"],
                route=rule.rule if rule else None,
                status=status,
                milliseconds=round((time.perf_counter() - began) * 1000, 1),
            )

    def _complete(self, headers: Headers, window: WindowStatus | None) -> Headers:
        names = {name.lower(): value for name, value in headers}
        is_page = names.get("content-type", "").startswith("text/html")
        headers += [pair for name, pair in (self._page_headers if is_page else self._json_headers) if name not in names]
        # The view has set these already for a daily quota or a refusal, which matter more.
        if window is not None and "ratelimit" not in names:
            limit = window.limit
            seconds = int(limit.per.total_seconds())
            headers.append(("RateLimit-Policy", f'"{limit.name}";q={limit.amount};w={seconds}'))
            headers.append(("RateLimit", f'"{limit.name}";r={window.remaining};t={window.resets_in}'))
        return headers


def _by_name(headers: dict[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(name.lower(), (name, value)) for name, value in headers.items()]
