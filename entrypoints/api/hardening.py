"""What every answer says to browsers, and how often one may ask."""

from flask import Flask, Response, g, request

from application.auth.traffic import LimitRequests
from application.ports.rate_limiter import Charged
from entrypoints.api.client import origin, read_origin
from entrypoints.api.policy import DoorPolicy
from entrypoints.api.security import needs_login

# An answer that is no page loads nothing and stands in no frame; our own pages load from here alone.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
OWN_PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Left out, the web server would put its own name here.
    "Server": "",
}
HSTS = "max-age=31536000"

CORS_METHODS = "GET, POST, PATCH, DELETE"
CORS_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Request-Id"
)
CORS_ANSWER_HEADERS = (
    "ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Cache, X-Request-Id"
)

# What costs next to nothing, is asked by our own machinery, or by Stripe, who is told apart by its signature.
UNLIMITED = ("/health/", "/docs", "/openapi.json", "/problems", "/metrics", "/webhook/", "/subscription/webhook/")


def harden(app: Flask, limit_requests: LimitRequests, policy: DoorPolicy) -> None:
    """Find out where each request comes from, count it, and finish each answer."""

    @app.before_request
    def admit() -> Response | None:
        g.origin = read_origin(request, policy.trusted_proxies)
        if request.method == "OPTIONS":
            return _preflight(policy) if "Access-Control-Request-Method" in request.headers else None
        view = app.view_functions.get(request.endpoint or "")
        if needs_login(view) or request.path == "/" or request.path.startswith(UNLIMITED):
            return None
        # A refresh token cannot be guessed, and whole towns refresh from one address.
        is_login = request.path.startswith("/auth/") and not request.path.startswith("/auth/refresh")
        # For the answer's headers.
        g.charged = limit_requests(user_id=None, address=origin().address, is_login=is_login)
        return None

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.extend(HEADERS)
        is_page = response.mimetype == "text/html"
        response.headers.setdefault("Content-Security-Policy", OWN_PAGE if is_page else NO_PAGE)
        if policy.https_only:
            response.headers.setdefault("Strict-Transport-Security", HSTS)
        _allow_origin(response, policy)
        _tell_limit(response)
        return response


def _tell_limit(response: Response) -> None:
    charged: Charged | None = g.get("charged")
    # A daily quota, or a refusal, has said what counts most already.
    if charged is None or "RateLimit" in response.headers:
        return
    limit = charged.limit
    response.headers["RateLimit-Policy"] = f'"{limit.name}";q={limit.amount};w={int(limit.per.total_seconds())}'
    response.headers["RateLimit"] = f'"{limit.name}";r={charged.remaining};t={charged.resets_in}'


def _preflight(policy: DoorPolicy) -> Response:
    response = Response(status=204)
    if request.headers.get("Origin", "").lower() in policy.cors_origins:
        response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
        response.headers["Access-Control-Allow-Headers"] = CORS_REQUEST_HEADERS
        response.headers["Access-Control-Max-Age"] = "600"
    return response


def _allow_origin(response: Response, policy: DoorPolicy) -> None:
    """Name the origin where it is one of ours. No cookies are used, so none are allowed."""
    if not policy.cors_origins:
        return
    response.vary.add("Origin")
    asked = request.headers.get("Origin", "")
    if asked.lower() in policy.cors_origins:
        response.headers["Access-Control-Allow-Origin"] = asked
        response.headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS
        # Of these origins the API is meant to be read.
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
