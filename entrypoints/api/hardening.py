"""How often strangers may ask, and whose pages may."""

from flask import Flask, Response, request

from application.auth.rate_limits import LimitRequests
from entrypoints.api.client import origin
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.security import CHARGED, needs_login

CORS_METHODS = "GET, POST, PATCH, DELETE"
CORS_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id"
)
CORS_ANSWER_HEADERS = (
    "ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Cache, X-Request-Id"
)

# What costs next to nothing, is asked by our own machinery, or by Stripe, who is told apart by its signature.
UNLIMITED = ("/health/", "/docs", "/openapi.json", "/problems", "/metrics", "/webhook/", "/subscription/webhook/")


def harden(app: Flask, limit_requests: LimitRequests, policy: HttpOptions) -> None:
    """Count requests for which nobody logs in, and let pages of our origins call the API."""

    @app.before_request
    def admit() -> Response | None:
        if request.method == "OPTIONS":
            return _preflight(policy) if "Access-Control-Request-Method" in request.headers else None
        view = app.view_functions.get(request.endpoint or "")
        if needs_login(view) or request.path == "/" or request.path.startswith(UNLIMITED):
            return None
        # A refresh token cannot be guessed, and whole towns refresh from one address.
        is_login = request.path.startswith("/auth/") and not request.path.startswith("/auth/refresh")
        charged = limit_requests(user_id=None, address=origin().address, is_login=is_login)
        request.environ[CHARGED] = charged
        return None

    if policy.cors_origins:

        @app.after_request
        def allow_origin(response: Response) -> Response:
            _allow_origin(response, policy)
            return response


def _preflight(policy: HttpOptions) -> Response:
    response = Response(status=204)
    if request.headers.get("Origin", "").lower() in policy.cors_origins:
        response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
        response.headers["Access-Control-Allow-Headers"] = CORS_REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = "600"
    return response


def _allow_origin(response: Response, policy: HttpOptions) -> None:
    """Name the origin where it is one of ours. No cookies are used, so none are allowed."""
    response.vary.add("Origin")
    asked = request.headers.get("Origin", "")
    if asked.lower() in policy.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = asked
        response.headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS
        # Of these origins the API is meant to be read.
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
