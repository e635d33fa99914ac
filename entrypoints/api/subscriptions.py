"""/subscription: what users have."""

from typing import Any

import marshmallow as ma
from flask import Response

from application.ports.reader import PlanStatus
from application.use_cases import Billing
from domain.accounts import Principal
from domain.billing import SubscriptionStatus
from domain.plans import Plan
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, UsageSchema, described, usage_json
from entrypoints.api.security import Guard

PLAN_NAMES = {Plan.BASIC: "Basic", Plan.PRO: "Pro"}


class StandingSchema(Schema):
    """A user's plan and subscription."""

    tier = ma.fields.Enum(Plan, by_value=True, required=True)
    plan = ma.fields.String(required=True, validate=ma.validate.OneOf(list(PLAN_NAMES.values())))
    status = ma.fields.Enum(
        SubscriptionStatus,
        by_value=True,
        required=True,
        allow_none=True,
        metadata=described("Of the subscription at Stripe; null: never had one"),
    )
    current_period_end = ma.fields.AwareDateTime(required=True, allow_none=True)
    cancel_at_period_end = ma.fields.Boolean(required=True)
    usage = ma.fields.Nested(UsageSchema, required=True)


def subscriptions_blueprint(billing: Billing, guard: Guard) -> JsonBlueprint:
    """Everything below /subscription."""
    blp = JsonBlueprint("subscription", __name__, url_prefix="/subscription", description="Plans")

    @blp.route("/status", methods=["GET"])
    @guard
    @blp.response(200, StandingSchema)
    def status(principal: Principal) -> Response:
        """Your plan, read at this moment."""
        return json_response(standing_json(billing.show_plan_status(user_id=principal.user_id)))

    return blp


def standing_json(plan_status: PlanStatus) -> dict[str, Any]:
    """A plan_status as StandingSchema describes it."""
    subscription = plan_status.subscription
    return {
        "tier": plan_status.plan.value,
        "plan": PLAN_NAMES[plan_status.plan],
        "status": subscription.status.value if subscription else None,
        "currentPeriodEnd": subscription.current_period_end if subscription else None,
        "cancelAtPeriodEnd": bool(subscription and subscription.cancel_at_period_end),
        "usage": usage_json(plan_status.plan, plan_status.quota),
    }
