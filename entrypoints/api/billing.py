"""/subscribe, /subscription, /webhook: buying Pro and managing it; /success and /cancel: where buyers land."""

from html import escape
from typing import Any

import marshmallow as ma
import structlog
from flask import Flask, Response, request
from webargs.flaskparser import abort

from application.ports.payment_events import EventRejected
from application.use_cases import Billing
from domain.accounts import Principal
from domain.errors import DependencyDown
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, described
from entrypoints.api.security import Guard
from entrypoints.api.subscriptions import StandingSchema, standing_json

Body = dict[str, Any]

# An event carries an object of the provider's, which may have many lines.
MAX_EVENT_BYTES = 1024 * 1024
CHECKOUT_ID_MAX_LENGTH = 255

log = structlog.get_logger(__name__)


def _return_url(what: str) -> ma.fields.String:
    return ma.fields.String(
        validate=ma.validate.Length(1, 1000),
        metadata=described(f"{what}; only at an origin that the operator has allowed"),
    )


class SubscribeSchema(Schema):
    """Where to go after the checkout. Nothing else of a body is ever passed on."""

    success_url = _return_url("Where to go after paying")
    cancel_url = _return_url("Where to go without paying")


class CheckoutSchema(Schema):
    """A checkout to be paid."""

    url = ma.fields.String(required=True)
    checkout_url = ma.fields.String(required=True, metadata=described("The same"))
    session_id = ma.fields.String(required=True)


class OpenPortalSchema(Schema):
    """Where to go from the portal."""

    return_url = _return_url("Where to go from there")


class PortalSchema(Schema):
    """A portal of the payment provider."""

    url = ma.fields.String(required=True)


class ReceivedSchema(Schema):
    """An event that is stored."""

    received = ma.fields.Boolean(required=True)
    duplicate = ma.fields.Boolean(required=True, metadata=described("It was stored before"))


def billing_blueprint(billing: Billing, guard: Guard) -> JsonBlueprint:
    """Buying Pro, managing it, and the events of the payment provider."""
    blp = JsonBlueprint("billing", __name__, description="Buying Pro and managing it")

    def subscribe(principal: Principal, body: Body) -> Response:
        """Buy the Pro plan: the address of a checkout.

        An open checkout is handed out again. 409 `already_subscribed` with `portalUrl` while there is a subscription
        that has not ended; 503 while the payment provider is down: ask again, and nothing is bought twice.
        """
        checkout = billing.subscribe(
            user_id=principal.user_id, success_url=body.get("success_url"), cancel_url=body.get("cancel_url")
        )
        return json_response({"url": checkout.url, "checkoutUrl": checkout.url, "sessionId": checkout.id})

    def webhook() -> Response:
        """Take an event of Stripe, signed with any of the configured secrets.

        200 once it is stored, whatever has become of it yet. 400 when it is not Stripe's or no event; 404 where no
        secret is configured.
        """
        request.max_content_length = MAX_EVENT_BYTES
        try:
            received = billing.receive_event(
                body=request.get_data(cache=False), signature=request.headers.get("Stripe-Signature")
            )
        except EventRejected as rejected:
            log.warning("payment_event_rejected", reason=rejected.reason)
            abort(400, detail=f"The event is refused: {rejected.reason}.")
        return json_response({"received": True, "duplicate": received.duplicate})

    _at_both(
        blp,
        ("/subscribe/pro", "/subscription/subscribe/pro"),
        subscribe,
        lambda view: guard(blp.arguments(SubscribeSchema(), required=False)(blp.response(200, CheckoutSchema)(view))),
    )
    _at_both(
        blp,
        ("/webhook/stripe", "/subscription/webhook/stripe"),
        webhook,
        blp.response(200, ReceivedSchema),
    )

    @blp.route("/subscription/portal", methods=["POST"])
    @guard
    @blp.arguments(OpenPortalSchema(), required=False)
    @blp.response(200, PortalSchema)
    def portal(principal: Principal, body: Body) -> Response:
        """The payment provider's page for your cards, invoices and subscription.

        409 `not_subscribed` for somebody who never began to subscribe.
        """
        url = billing.open_portal(user_id=principal.user_id, return_url=body.get("return_url"))
        return json_response({"url": url})

    @blp.route("/subscription/cancel", methods=["POST"])
    @guard
    @blp.response(200, StandingSchema)
    def cancel(principal: Principal) -> Response:
        """Let the subscription end with the period that is paid for; until then it stays Pro.

        409 `not_subscribed` where there is none.
        """
        return _renewal(principal, renew=False)

    @blp.route("/subscription/resume", methods=["POST"])
    @guard
    @blp.response(200, StandingSchema)
    def resume(principal: Principal) -> Response:
        """Do not let the subscription end after all. 409 `not_subscribed` when it has ended."""
        return _renewal(principal, renew=True)

    def _renewal(principal: Principal, *, renew: bool) -> Response:
        billing.set_renewal(user_id=principal.user_id, renew=renew)
        return json_response(standing_json(billing.show_plan_status(user_id=principal.user_id)))

    return blp


def serve_landing_pages(app: Flask, billing: Billing) -> None:
    """Pages for people who come back from a checkout."""

    @app.get("/success")
    def success() -> Response:
        checkout_id = request.args.get("session_id", "")
        paid = False
        if 0 < len(checkout_id) <= CHECKOUT_ID_MAX_LENGTH and checkout_id.isascii() and checkout_id.isprintable():
            try:
                paid = billing.sync_checkout(checkout_id=checkout_id)
            except DependencyDown as down:
                log.warning("checkout_not_confirmed_yet", dependency=down.dependency)
        if paid:
            return page("You are Pro", ("Thank you. Your subscription is active; you can close this page.",))
        return page("Thank you", ("Your payment is confirmed in a moment; see /subscription/status.",))

    @app.get("/cancel")
    def cancelled() -> Response:
        return page("Nothing was bought", ("You can subscribe at any time.",))


def page(title: str, lines: tuple[str, ...], *, form: str = "", status: int = 200) -> Response:
    """A page for people: no script, nothing from elsewhere, in nobody's frame. ``form`` is HTML already."""
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><h1>{escape(title)}</h1>{text}{form}</html>"
    )
    return Response(
        html,
        status,
        {
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
            "Referrer-Policy": "no-referrer",
        },
        content_type="text/html; charset=utf-8",
    )


def _at_both(blp: JsonBlueprint, paths: tuple[str, str], view: Any, decorate: Any) -> None:
    """Serve a view at the path of one source document and, as a deprecated alias, at that of the other."""
    path, alias = paths
    blp.route(path, methods=["POST"], endpoint=view.__name__)(decorate(view))
    deprecated = blp.doc(deprecated=True)(decorate(view))
    blp.route(alias, methods=["POST"], endpoint=f"{view.__name__}_alias")(deprecated)
