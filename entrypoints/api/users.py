"""/user: users look at themselves."""

import marshmallow as ma
from flask import Response

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
        profile = auth.show_profile(user_id=principal.user_id)
        return json_response(
            {
                "id": profile.id,
                "mobileNumber": profile.phone,
                "name": profile.name,
                "email": profile.email,
                "createdAt": profile.created_at,
                "tier": profile.plan.value,
                "usage": usage_json(profile.plan, profile.quota),
            }
        )

    @blp.route("/usage", methods=["GET"])
    @guard
    @blp.response(200, UsageSchema)
    def usage(principal: Principal) -> Response:
        """Today's use of your plan's prompts."""
        standing = billing.show_standing(user_id=principal.user_id)
        return json_response(usage_json(standing.plan, standing.quota))

    return blp
