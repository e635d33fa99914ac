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
from entrypoints.api.schemas import UsageSchema, usage_json
from entrypoints.api.security import Guard


class ProfileSchema(AccountSchema):
    """An account with plan and today's use."""

    tier = ma.fields.Enum(Plan, by_value=True, required=True)
    usage = ma.fields.Nested(UsageSchema, required=True)


def users_blueprint(auth: Auth, billing: Billing, guard: Guard) -> JsonBlueprint:
    """Everything below /user."""
    blp = JsonBlueprint("user", __name__, url_prefix="/user", description="Your own account")

    @blp.route("/me", methods=["GET"])
    @guard
    @blp.response(200, ProfileSchema)
    def me(principal: Principal) -> Response:
        """Your account, your plan and today's use."""
        return json_response(profile_json(auth.show_profile(user_id=principal.user_id)))

    @blp.route("/usage", methods=["GET"])
    @guard
    @blp.response(200, UsageSchema)
    def usage(principal: Principal) -> Response:
        """Today's use of your plan's prompts."""
        standing = billing.show_standing(user_id=principal.user_id)
        return json_response(usage_json(standing.plan, standing.quota))

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
