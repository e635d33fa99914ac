"""The Flask application: blueprints, problems, documentation."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Flask, Response
from flask_swagger_ui import get_swaggerui_blueprint

from application.ports.payment_sandbox import PaymentSandbox
from application.use_cases import UseCases
from entrypoints.api.auth import auth_blueprint
from entrypoints.api.billing import billing_blueprint, serve_landing_pages
from entrypoints.api.body import MAX_BODY_BYTES
from entrypoints.api.chat import chat_blueprint
from entrypoints.api.hardening import harden
from entrypoints.api.home import home_blueprint
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.messages import messages_blueprint
from entrypoints.api.middleware import install_middleware
from entrypoints.api.own_account import own_account_blueprint
from entrypoints.api.payment_sandbox import serve_sandbox
from entrypoints.api.problems import ProblemApi, register_problems
from entrypoints.api.responses import to_json
from entrypoints.api.room_changes import room_changes_blueprint
from entrypoints.api.security import SCHEME, Guard
from entrypoints.api.sessions import sessions_blueprint
from entrypoints.api.subscriptions import subscriptions_blueprint
from entrypoints.api.users import users_blueprint
from entrypoints.api.waiting import RequestSlots

DESCRIPTION = """A chat backend that Google Gemini answers for: one-time passwords, chatrooms, a daily free quota.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. Times are RFC 3339 in UTC. A foreign id and a
missing id give the same 404. Members of a body that are not documented are ignored.
"""


class Application(Flask):
    """Flask, spared a question that it asks of every function it calls."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view of ours is a coroutine."""
        return func


def create_app(
    use_cases: UseCases,
    policy: HttpOptions = HttpOptions(),  # noqa: B008 - a frozen value
    *,
    sandbox: PaymentSandbox | None = None,
    working_requests: int = 8,
    waiting_requests: int = 600,
) -> Flask:
    """The application over ``use_cases``, which works on so many requests at once and lets so many others wait.

    With the pages of a ``sandbox``, where there is one. Several can live in one process.
    """
    app = Application("gemini-chat-backend", static_folder=None)
    app.config.update(
        API_TITLE="Gemini-style chat backend",
        API_VERSION=_version(),
        OPENAPI_VERSION="3.1.0",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
    )
    app.url_map.strict_slashes = False
    # Otherwise //chatroom is redirected to an address made of whatever Host the client sent.
    app.url_map.merge_slashes = False
    api = ProblemApi(app, spec_kwargs={"info": {"description": DESCRIPTION}})
    api.spec.components.security_scheme(SCHEME, {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    register_problems(app)
    guard = Guard(use_cases.auth.authenticate, use_cases.auth.limit_requests)
    places = RequestSlots(working_requests, waiting_requests)
    for blueprint in (
        auth_blueprint(use_cases.auth, guard),
        sessions_blueprint(use_cases.auth, guard),
        users_blueprint(use_cases.auth, use_cases.billing, guard),
        own_account_blueprint(use_cases.auth, guard),
        chat_blueprint(use_cases.chat, guard, places),
        messages_blueprint(use_cases.chat, guard, places),
        room_changes_blueprint(use_cases.chat, guard),
        subscriptions_blueprint(use_cases.billing, guard),
        billing_blueprint(use_cases.billing, guard),
        home_blueprint(use_cases.check_readiness),
    ):
        api.register_blueprint(blueprint)
    serve_landing_pages(app, use_cases.billing)
    if sandbox is not None:
        serve_sandbox(app, sandbox)
    _serve_documentation(app)
    harden(app, use_cases.auth.limit_requests, policy)
    install_middleware(app, places, policy)
    return app


def openapi_document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of an application."""
    document: dict[str, Any] = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return document


def _serve_documentation(app: Flask) -> None:
    document = to_json(openapi_document(app))

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, content_type="application/json", headers={"Cache-Control": "no-cache"})

    app.register_blueprint(
        get_swaggerui_blueprint(
            "/docs",
            "/openapi.json",
            config={
                "app_name": "Gemini-style chat backend",
                # No badge: it would ask a server of Swagger's about the document.
                "validatorUrl": None,
                # No OAuth; by default it is made of whatever Host the client sent, and put into a script.
                "oauth2RedirectUrl": None,
            },
        )
    )


def _version() -> str:
    try:
        return version("gemini-chat-backend")
    except PackageNotFoundError:  # run from a checkout
        return "0.1.0"
