"""/ and /health: links to what there is, and the probes of load balancers and monitoring."""

from html import escape

import marshmallow as ma
from flask import Response, request

from application.operations.readiness import CheckReadiness
from application.ports.health import Fault, Part
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.languages import texts
from entrypoints.api.pages import html_page, varied, wants_html
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import ACCEPT_LANGUAGE, Schema, described, header
from entrypoints.api.texts.catalogue import PageText
from entrypoints.server.server import STOPPING

LINKS = {
    "docs": "/docs/",
    "openapi": "/openapi.json",
    "problems": "/problems",
    "live": "/health/live",
    "ready": "/health/ready",
}
LINK_TEXTS = {
    "docs": PageText.LINK_DOCS,
    "openapi": PageText.LINK_OPENAPI,
    "problems": PageText.LINK_PROBLEMS,
    "live": PageText.LINK_LIVE,
    "ready": PageText.LINK_READY,
}
CHAT_PAGE = "/app/"
VARY = {"Vary": header("`Accept`: browsers get a page")}
PAGE_HEADERS = {
    "Vary": header("`Accept`: browsers get a page; and for the page `Accept-Language`"),
    "Content-Language": header("The language of the page"),
}


class HomeSchema(Schema):
    message = ma.fields.String(required=True)
    links = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class LiveSchema(Schema):
    status = ma.fields.String(required=True, validate=ma.validate.Equal("ok"))


class ReadySchema(Schema):
    status = ma.fields.String(required=True, validate=ma.validate.OneOf(["ok", "degraded", "unavailable"]))
    degraded = ma.fields.List(
        ma.fields.String(validate=ma.validate.OneOf([part.value for part in Part])),
        required=True,
        metadata=described("The parts that are not well"),
    )
    reasons = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(validate=ma.validate.OneOf([fault.value for fault in Fault])),
        required=True,
        metadata=described("Why: a code for each of these parts"),
    )


def health_blueprint(check_readiness: CheckReadiness, *, chat_page: bool) -> JsonBlueprint:
    chat = {CHAT_PAGE: PageText.CHAT_HERE} if chat_page else {}
    links = chat | {LINKS[name]: text for name, text in LINK_TEXTS.items()}
    blp = JsonBlueprint("Health", __name__, description="Links, and probes of the service")

    @blp.route("/", methods=["GET"])
    @blp.doc(parameters=[ACCEPT_LANGUAGE])
    @blp.response(200, HomeSchema, headers=VARY)
    @blp.alt_response(
        200,
        schema={"type": "string"},
        content_type="text/html",
        example="<!doctype html>…",
        headers=PAGE_HEADERS,
        success=True,
    )
    def get_home() -> Response:
        """Links to the documentation and the probes.

        A browser gets a page with the same links.
        """
        if wants_html():
            words = texts().pages
            html = "".join(f'<p><a href="{path}">{escape(words[text])}</a></p>' for path, text in links.items())
            return varied(html_page(words[PageText.HOME_TITLE], (words[PageText.HOME],), html=html))
        return varied(json_response({"message": "Home Route", "links": LINKS}))

    @blp.route("/health/live", methods=["GET"])
    @blp.response(200, LiveSchema)
    def get_liveness() -> Response:
        """Liveness: the process responds.

        Nothing else is checked, so that an outage of the database does not restart processes.
        """
        return json_response({"status": "ok"})

    @blp.route("/health/ready", methods=["GET"])
    @blp.response(200, ReadySchema)
    @blp.alt_response(503, schema=ReadySchema, description="Send requests elsewhere, and ask again after `Retry-After`")
    def get_readiness() -> Response:
        """Readiness: whether to send requests here. Answered within a second.

        503 when the server is `stopping`, or the database is `unreachable`, `read_only` or of another `schema`. 200
        with the status `degraded` when some requests cannot be served as they should: Redis is `unreachable` or takes
        `no_writes`, workers are `absent`, the circuit breaker before the model is open (`breaker_open`), the model's
        provider does not let the service use it (`misconfigured`), or the backlog of replies is `half_full`.
        """
        readiness = check_readiness(stopping=request.environ.get(STOPPING, False))
        status = "degraded" if readiness.faults else "ok"
        response = json_response(
            {
                "status": status if readiness.ready else "unavailable",
                "degraded": [part.value for part in readiness.faults],
                "reasons": {part.value: fault.value for part, fault in readiness.faults.items()},
            },
            200 if readiness.ready else 503,
        )
        if not readiness.ready:
            response.headers["Retry-After"] = "1"
        return response

    return blp
