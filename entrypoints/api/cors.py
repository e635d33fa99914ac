"""Cross-origin requests (CORS): pages of the configured origins may call the API. No cookies are used or allowed."""

from collections.abc import Collection

from flask import Flask, Response, request

METHODS = "GET, POST, PATCH, DELETE"
# Those that we read; those that libraries of fetch and of tracing add by themselves, which would else fail there.
REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id, "
    "Accept, Accept-Language, Cache-Control, Pragma, X-Requested-With, traceparent, tracestate, baggage, sentry-trace"
)
RESPONSE_HEADERS = (
    "ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Cache, X-Request-Id"
)
MAX_AGE_SECONDS = 600


def install_cors(app: Flask, origins: Collection[str]) -> None:
    """Answer preflight requests, and name the origin in responses where it is one of ``origins`` (lower case)."""

    @app.before_request
    def answer_preflight() -> Response | None:
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight_response(origins)
        return None

    if origins:

        @app.after_request
        def allow_origin(response: Response) -> Response:
            _allow_origin(response, origins)
            return response


def _preflight_response(origins: Collection[str]) -> Response:
    response = Response(status=204)
    if request.headers.get("Origin", "").lower() in origins:
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
    return response


def _allow_origin(response: Response, origins: Collection[str]) -> None:
    response.vary.add("Origin")
    asked = request.headers.get("Origin", "")
    if asked.lower() in origins:
        response.headers["Access-Control-Allow-Origin"] = asked
        response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
        # The middleware's default, same-origin, would keep these pages from reading the response.
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
