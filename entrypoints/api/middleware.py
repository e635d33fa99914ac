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
from entrypoints.api.problems import refusal_problem
from entrypoints.api.request_id import HEADER, REQUEST_ID, note_request_id
from entrypoints.api.tracing import App, Environ, TracedApplication
from entrypoints.server.server import ARRIVED, REFUSED
from entrypoints.server.waiting import RESUMED, WAITING

Headers = list[tuple[str, str]]

# Every response has these, unless its view sets them itself.
DEFAULT_HEADERS = {
    # Load nothing, no frames. Pages say themselves what they load.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
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


def install_middleware(app: Flask, options: HttpOptions) -> None:
    below: App = app.wsgi_app if options.trace is None else TracedApplication(app.wsgi_app, options.trace)
    app.wsgi_app = RequestMiddleware(app, below, options)  # type: ignore[method-assign]


class RequestMiddleware:
    def __init__(self, flask: Flask, app: App, options: HttpOptions) -> None:
        self._flask = flask
        self._app = app
        self._options = options
        always = DEFAULT_HEADERS | ({"Strict-Transport-Security": HSTS} if options.https_only else {})
        self._default_headers = _by_name(always)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = environ.get(ARRIVED) or time.perf_counter()
        request_id = environ[REQUEST_ID] if RESUMED in environ else note_request_id(environ)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        note_origin(environ, self._options.proxies)
        status, rule = 500, None

        def start(line: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal status, rule
            status, rule = int(line[:3]), environ["werkzeug.request"].url_rule
            headers.append((HEADER, request_id))
            return start_response(line, self._complete(headers, environ.get(WINDOW_STATUS)), exc_info)

        try:
            return self._refuse(environ, start) if REFUSED in environ else self._app(environ, start)
        finally:
            waiting = environ.get(WAITING)
            # A long poll is logged when it is answered.
            if waiting is None or waiting.streams:
                # The rule, not the path: so ids do not split statistics, and clients cannot write into the log.
                route = rule.rule if rule else None
                method, seconds = environ["REQUEST_METHOD"], time.perf_counter() - began
                log.info("request", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 1))
                if self._options.on_request is not None:
                    waited = RESUMED in environ
                    self._options.on_request(
                        method=method, route=route, status=status, seconds=None if waited else seconds
                    )

    def _refuse(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        """The response to a request that the server has refused before it was answered."""
        with self._flask.request_context(environ):
            return refusal_problem(environ[REFUSED].status)(environ, start)

    def _complete(self, headers: Headers, window: WindowStatus | None) -> Headers:
        names = {name.lower(): value for name, value in headers}
        headers += [pair for name, pair in self._default_headers if name not in names]
        # The view has set these already for a daily quota or a refusal, which matter more.
        if window is not None and "ratelimit" not in names:
            limit = window.limit
            seconds = int(limit.per.total_seconds())
            headers.append(("RateLimit-Policy", f'"{limit.name}";q={limit.amount};w={seconds}'))
            headers.append(("RateLimit", f'"{limit.name}";r={window.remaining};t={window.resets_in}'))
        return headers


def _by_name(headers: dict[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(name.lower(), (name, value)) for name, value in headers.items()]
