"""The Flask application: blueprints, error handlers, documentation, middleware."""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from application.ports.payment_sandbox import PaymentSandbox
from application.use_cases import UseCases
from entrypoints.api.account import account_blueprint
from entrypoints.api.auth import auth_blueprint
from entrypoints.api.authentication import SCHEME, Authenticated
from entrypoints.api.body import MAX_BODY_BYTES
from entrypoints.api.chat_page import serve_chat_page
from entrypoints.api.chatrooms import chatrooms_blueprint
from entrypoints.api.cors import install_cors
from entrypoints.api.docs_page import serve_docs_page
from entrypoints.api.feedback import feedback_blueprint
from entrypoints.api.health import health_blueprint
from entrypoints.api.http_options import HttpOptions
from entrypoints.api.idempotency import refuse_other_idempotency_keys
from entrypoints.api.landing import serve_landing_pages
from entrypoints.api.messages import messages_blueprint
from entrypoints.api.middleware import install_middleware
from entrypoints.api.openapi import completed
from entrypoints.api.pages import serve_styles
from entrypoints.api.payment_sandbox import serve_sandbox
from entrypoints.api.problem_pages import serve_problem_pages
from entrypoints.api.problems import ProblemApi, register_problems
from entrypoints.api.rate_limiting import install_rate_limiting, is_limited
from entrypoints.api.responses import to_json
from entrypoints.api.room_export import room_export_blueprint
from entrypoints.api.search import search_blueprint
from entrypoints.api.sessions import sessions_blueprint
from entrypoints.api.subscription import subscription_blueprint
from entrypoints.api.waiting import WaitingPlaces, install_waiting
from entrypoints.api.webhooks import webhooks_blueprint

# Key of the application's extensions: the OpenAPI document.
DOCUMENT = "gemini_chat.openapi"

DESCRIPTION = """A chat backend that Google Gemini answers for: one-time passwords, chatrooms, a daily free quota.

**The first message in four requests:** `POST /auth/send-otp` sends a code to a mobile number; `POST /auth/verify-otp`
gives a `token` for it, which every further request sends as `Authorization: Bearer …`; `POST /chatroom` opens a
chatroom; `POST /chatroom/{chatroomId}/message` sends a message. The reply comes later: watch it at
`GET /message/{entryId}/stream`, or send the message with `Prefer: wait=20`.

**Errors** are `application/problem+json` (RFC 9457) with a stable `code` for programs, and a `type` that opens a page:
what happened, why, what to do. Ids that belong to another user and unknown ids give the same 404.

**Languages:** `title` and `detail` of errors, the pages for people and the text message with a code are in English or,
with `Accept-Language: hi`, in Hindi; `Content-Language` says which. Codes, the `message` of a success and the texts in
`errors` are the same in every language: show people texts of your own by `code`.

**Repeating** a request is safe with an `Idempotency-Key` where it is documented; to any other POST with one the answer
is 400 `idempotency_key_not_supported`. After a 429 or 503 wait for the seconds in `Retry-After`.

**Growing:** responses may get new members, enumerations new values, and problems new codes. Ignore what you do not
know. Undocumented members of a body are ignored. Times are RFC 3339 in UTC. Every response has an `X-Request-Id`, which
may be sent along with the request.
"""


class NoSession(SessionInterface):
    """There are no cookies: one empty session, which cannot be written to, serves every request."""

    def __init__(self) -> None:
        self._session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        return self._session


class Application(Flask):
    """Flask without what it does on every request for features that are not used here.

    It calls the hooks of the application alone: those of blueprints and of teardowns are never called.
    """

    session_interface = NoSession()

    def preprocess_request(self) -> Any:
        """The first answer of a hook before the view, None if there is none."""
        hooks: Iterable[Callable[[], Any]] = self.before_request_funcs.get(None, ())
        for hook in hooks:
            if (answer := hook()) is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """The response after the hooks that may change it: the last that was registered comes first, as in Flask."""
        hooks: Sequence[Callable[[Response], Any]] = self.after_request_funcs.get(None, ())
        for hook in reversed(hooks):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: object = None) -> None:
        """Nothing: no request leaves anything open."""

    def do_teardown_appcontext(self, exc: object = None) -> None:
        """Nothing, as above."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """No route depends on the host, and none redirects: the Host header is not even read."""
        if request is None:
            return super().create_url_adapter(None)
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)


def create_app(
    use_cases: UseCases,
    options: HttpOptions = HttpOptions(),  # noqa: B008 - a frozen value
    *,
    sandbox: PaymentSandbox | None = None,
) -> Flask:
    """The application over ``use_cases``. Several can exist in one process.

    With a ``sandbox`` it also serves the pages of the local payment provider.
    """
    app = Application("gemini-chat-backend", static_folder=None)
    app.config.update(
        API_TITLE="Gemini-style chat backend",
        API_VERSION=_version(),
        OPENAPI_VERSION="3.1.0",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
    )
    app.url_map.strict_slashes = False
    # Otherwise //chatroom is redirected to an address that contains the Host header of the client.
    app.url_map.merge_slashes = False
    register_problems(app)
    install_waiting(app)
    places = WaitingPlaces(options.waiting_requests, options.waiting_requests_per_user)
    api = _register_blueprints(app, use_cases, places, chat_page=options.chat_page)
    app.extensions[DOCUMENT] = completed(api.spec.to_dict(), public_url=options.public_url, is_limited=is_limited)
    serve_styles(app)
    serve_problem_pages(app)
    serve_landing_pages(app, use_cases.billing)
    if options.chat_page:
        serve_chat_page(app)
    if sandbox is not None:
        serve_sandbox(app, sandbox)
    _serve_documentation(app)
    install_cors(app, options.cors_origins)
    install_rate_limiting(app, use_cases.auth.limit_requests)
    install_middleware(app, options)
    refuse_other_idempotency_keys(app)
    return app


def _register_blueprints(app: Flask, use_cases: UseCases, places: WaitingPlaces, *, chat_page: bool) -> ProblemApi:
    api = ProblemApi(app, spec_kwargs={"info": {"description": DESCRIPTION}})
    api.spec.components.security_scheme(SCHEME, {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    authenticated = Authenticated(use_cases.auth.authenticate, use_cases.auth.limit_requests)
    for blueprint in (
        # In the order of a first integration.
        auth_blueprint(use_cases.auth, authenticated),
        chatrooms_blueprint(use_cases.chat, use_cases.auth, authenticated),
        messages_blueprint(use_cases.chat, authenticated, places),
        feedback_blueprint(use_cases.chat, authenticated),
        room_export_blueprint(use_cases.chat, authenticated),
        search_blueprint(use_cases.chat, authenticated),
        sessions_blueprint(use_cases.auth, authenticated),
        account_blueprint(use_cases.auth, use_cases.billing, authenticated),
        subscription_blueprint(use_cases.billing, authenticated),
        webhooks_blueprint(use_cases.billing),
        health_blueprint(use_cases.check_readiness, chat_page=chat_page),
    ):
        api.register_blueprint(blueprint)
    return api


def openapi_document(app: Flask) -> dict[str, Any]:
    document: dict[str, Any] = app.extensions[DOCUMENT]
    return document


def _serve_documentation(app: Flask) -> None:
    document = to_json(openapi_document(app))

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, content_type="application/json", headers={"Cache-Control": "no-cache"})

    serve_docs_page(app)


def _version() -> str:
    try:
        return version("gemini-chat-backend")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0.1.0"
