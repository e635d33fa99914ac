"""/webhook/stripe: events of the payment provider."""

import marshmallow as ma
import structlog
from flask import Response, request
from webargs.flaskparser import abort

from application.ports.payment_events import EventRejected
from application.use_cases import Billing
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, described

# Larger than MAX_BODY_BYTES: an event contains a whole object of the provider, such as an invoice with many lines.
MAX_EVENT_BYTES = 1024 * 1024

SIGNATURE = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "example": "t=1772443800,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
    **described("Proves that the event is Stripe's"),
}
EVENT = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", **described("An event as Stripe sends it, byte for byte")},
            "example": {"id": "evt_1", "object": "event", "type": "customer.subscription.updated"},
        }
    },
}

log = structlog.get_logger(__name__)


class ReceivedSchema(Schema):
    received = ma.fields.Boolean(required=True)
    duplicate = ma.fields.Boolean(required=True, metadata=described("Whether it was stored before"))


def webhooks_blueprint(billing: Billing) -> JsonBlueprint:
    blp = JsonBlueprint("Webhooks", __name__, description="Events of the payment provider")

    @blp.post_with_alias("/webhook/stripe", alias="/subscription/webhook/stripe")
    @blp.may_give("webhook_not_configured")
    @blp.doc(parameters=[SIGNATURE], requestBody=EVENT)
    @blp.response(200, ReceivedSchema)
    def receive_stripe_event() -> Response:
        """Receive an event of Stripe, signed with any of the configured secrets.

        200 once it is stored, even if it has not taken effect yet. 400 when the signature is not Stripe's or the body
        is no event; 404 when no secret is configured.
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

    return blp
