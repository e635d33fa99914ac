"""/subscribe/pro and /subscription: buying Pro, the state of one's plan, the portal, cancelling and resuming."""

from typing import Any

import marshmallow as ma
from flask import Response

from application.ports.reader import PlanStatus
from application.use_cases import Billing
from domain.accounts import Principal
from domain.billing import SubscriptionStatus
from domain.plans import Plan
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.idempotency import REPLAYED_HEADER, IdempotencyHeadersSchema, replayed
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, UsageSchema, described, usage_json

PLAN_NAMES = {Plan.BASIC: "Basic", Plan.PRO: "Pro"}


def _return_url(description: str) -> ma.fields.String:
    return ma.fields.String(
        validate=ma.validate.Length(1, 1000),
        metadata=described(f"{description}; only at an origin that the operator allows"),
    )


class SubscribeSchema(Schema):
    success_url = _return_url("Where to go after paying")
    cancel_url = _return_url("Where to go without paying")


class CheckoutSchema(Schema):
    url = ma.fields.String(required=True)
    checkout_url = ma.fields.String(required=True, metadata=described("The same as `url`"))
    session_id = ma.fields.String(required=True)


class OpenPortalSchema(Schema):
    return_url = _return_url("Where to go after the portal")


class PortalSchema(Schema):
    url = ma.fields.String(required=True)


class PlanStatusSchema(Schema):
    tier = ma.fields.Enum(Plan, by_value=True, required=True)
    plan = ma.fields.String(required=True, validate=ma.validate.OneOf(list(PLAN_NAMES.values())))
    status = ma.fields.Enum(
        SubscriptionStatus,
        by_value=True,
        required=True,
        allow_none=True,
        metadata=described("Status of the subscription at Stripe; null when there never was one"),
    )
    current_period_end = ma.fields.AwareDateTime(required=True, allow_none=True)
    cancel_at_period_end = ma.fields.Boolean(required=True)
    usage = ma.fields.Nested(UsageSchema, required=True)


def subscription_blueprint(billing: Billing, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Subscription", __name__, description="Buying Pro and managing it")

    @blp.route("/subscription/status", methods=["GET"])
    @authenticated
    @blp.response(200, PlanStatusSchema)
    def get_subscription_status(principal: Principal) -> Response:
        """Show your plan, your subscription and today's usage.

        Never cached: after a checkout, ask until `tier` is `pro`.
        """
        return _status_response(principal)

    @blp.post_with_alias("/subscribe/pro", alias="/subscription/subscribe/pro")
    @blp.may_give("already_subscribed")
    @authenticated
    @blp.arguments(IdempotencyHeadersSchema(), location="headers")
    @blp.arguments(SubscribeSchema(), required=False)
    @blp.response(200, CheckoutSchema, headers=REPLAYED_HEADER)
    def subscribe_to_pro(principal: Principal, headers: Body, body: Body) -> Response:
        """Buy the Pro plan: get the address of a checkout.

        While a checkout is open, repeating the request gives the same one; an `Idempotency-Key` stands for one body,
        too (409 `idempotency_key_in_use`, 422 `idempotency_key_reused`). 409 `already_subscribed` with `portalUrl`
        while there is a subscription that has not ended. 503 while the payment provider is down: try again, nothing is
        bought twice.
        """
        checkout, repeated = billing.subscribe_once(
            user_id=principal.user_id,
            success_url=body.get("success_url"),
            cancel_url=body.get("cancel_url"),
            idempotency_key=headers.get("idempotency_key"),
        )
        return json_response(
            {"url": checkout.url, "checkoutUrl": checkout.url, "sessionId": checkout.id}, headers=replayed(repeated)
        )

    @blp.route("/subscription/portal", methods=["POST"])
    @blp.may_give("not_subscribed")
    @authenticated
    @blp.arguments(OpenPortalSchema(), required=False)
    @blp.response(200, PortalSchema)
    def open_portal(principal: Principal, body: Body) -> Response:
        """Get the address of the payment provider's page for your cards, invoices and subscription.

        409 `not_subscribed` if you have never begun to subscribe.
        """
        url = billing.open_portal(user_id=principal.user_id, return_url=body.get("return_url"))
        return json_response({"url": url})

    @blp.route("/subscription/cancel", methods=["POST"])
    @blp.may_give("not_subscribed")
    @authenticated
    @blp.response(200, PlanStatusSchema)
    def cancel_subscription(principal: Principal) -> Response:
        """Cancel the subscription at the end of the paid period; until then you keep Pro.

        409 `not_subscribed` when there is none.
        """
        billing.set_renewal(user_id=principal.user_id, renew=False)
        return _status_response(principal)

    @blp.route("/subscription/resume", methods=["POST"])
    @blp.may_give("not_subscribed")
    @authenticated
    @blp.response(200, PlanStatusSchema)
    def resume_subscription(principal: Principal) -> Response:
        """Undo the cancellation of the subscription.

        Possible until the paid period ends; 409 `not_subscribed` afterwards.
        """
        billing.set_renewal(user_id=principal.user_id, renew=True)
        return _status_response(principal)

    def _status_response(principal: Principal) -> Response:
        return json_response(_plan_status_json(billing.show_plan_status(user_id=principal.user_id)))

    return blp


def _plan_status_json(plan_status: PlanStatus) -> dict[str, Any]:
    subscription = plan_status.subscription
    return {
        "tier": plan_status.plan.value,
        "plan": PLAN_NAMES[plan_status.plan],
        "status": subscription.status.value if subscription else None,
        "currentPeriodEnd": subscription.current_period_end if subscription else None,
        "cancelAtPeriodEnd": bool(subscription and subscription.cancel_at_period_end),
        "usage": usage_json(plan_status.plan, plan_status.quota),
    }
