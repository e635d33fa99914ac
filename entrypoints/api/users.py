"""/user: users look at themselves."""

from typing import Any

import marshmallow as ma
from flask import Response

from application.ports.reader import Profile
from application.use_cases import Auth, Billing
from domain.accounts import Principal
from domain.plans import Plan
from entrypoints.api.auth import AccountSchema
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import QueryInteger, Schema, UsageSchema, described, usage_json
from entrypoints.api.security import Guard


class ProfileSchema(AccountSchema):
    """An account with plan and today's use."""

    tier = ma.fields.Enum(Plan, by_value=True, required=True)
    usage = ma.fields.Nested(UsageSchema, required=True)


class UsageQuerySchema(Schema):
    """How far to look back."""

    days = QueryInteger(validate=ma.validate.Range(1, 31), metadata=described("Also list the last so many UTC days"))


class DayOfUseSchema(Schema):
    """What was charged on a UTC day, and what was charged and given back."""

    day = ma.fields.Date(required=True)
    used = ma.fields.Integer(required=True, metadata=described("Prompts that count"))
    refunded = ma.fields.Integer(required=True, metadata=described("Prompts given back: their replies failed"))


class UsageOfDaysSchema(UsageSchema):
    """Use of a plan's daily prompts, and the last days where they were asked for."""

    days = ma.fields.List(
        ma.fields.Nested(DayOfUseSchema), metadata=described("Newest first; days without use are left out")
    )


def users_blueprint(auth: Auth, billing: Billing, guard: Guard) -> JsonBlueprint:
    """Everything below /user."""
    blp = JsonBlueprint("user", __name__, url_prefix="/user", description="Your own account")

    @blp.route("/me", methods=["GET"])
    @guard.asking(auth.show_own_profile)
    @blp.response(200, ProfileSchema)
    def me(_principal: Principal, profile: Profile) -> Response:
        """Your account, your plan and today's use."""
        return json_response(profile_json(profile))

    @blp.route("/usage", methods=["GET"])
    @guard
    @blp.arguments(UsageQuerySchema(), location="query")
    @blp.response(200, UsageOfDaysSchema)
    def usage(principal: Principal, query: dict[str, Any]) -> Response:
        """Today's use of your plan's prompts, and with `days` that of the last days."""
        plan_status = billing.show_plan_status(user_id=principal.user_id)
        answer = usage_json(plan_status.plan, plan_status.quota)
        if "days" in query:
            days = billing.show_days(user_id=principal.user_id, days=query["days"])
            answer["days"] = [{"day": one.day, "used": one.used, "refunded": one.refunded} for one in days]
        return json_response(answer)

    return blp


def profile_json(profile: Profile) -> dict[str, Any]:
    """A profile as ProfileSchema describes it."""
    return {
        "id": profile.id,
        "mobileNumber": profile.phone,
        "name": profile.name,
        "email": profile.email,
        "createdAt": profile.created_at,
        "tier": profile.plan.value,
        "usage": usage_json(profile.plan, profile.quota),
    }
