"""Rate limits for requests to views that need no login; authentication.py counts the others."""

from flask import Flask, request

from application.auth.rate_limits import LimitRequests
from entrypoints.api.authentication import WINDOW_STATUS, needs_login
from entrypoints.api.client import origin
from entrypoints.api.pages import STYLES_PATH

# Cheap, called by monitoring, or sent by Stripe, which proves itself with a signature.
UNLIMITED = (
    *("/health/", "/docs", "/app", "/openapi.json", "/problems", STYLES_PATH),
    *("/webhook/", "/subscription/webhook/"),
)


def is_limited(path: str) -> bool:
    return path != "/" and not path.startswith(UNLIMITED)


def install_rate_limiting(app: Flask, limit_requests: LimitRequests) -> None:
    """Count these requests by address before their view is called; above the limit they get 429."""

    @app.before_request
    def count() -> None:
        if needs_login(app.view_functions.get(request.endpoint or "")):
            return
        if request.method == "OPTIONS" or not is_limited(request.path):
            return
        # Refreshing is not limited as a login: a refresh token cannot be guessed, and many users share an address.
        is_login = request.path.startswith("/auth/") and not request.path.startswith("/auth/refresh")
        status = limit_requests(user_id=None, address=origin().address, is_login=is_login)
        request.environ[WINDOW_STATUS] = status
