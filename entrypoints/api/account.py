"""/user: profile, usage, export and erasure of one's own account."""

from collections.abc import Iterator
from typing import Any

import marshmallow as ma
from flask import Response

from application.ports.export import Record
from application.ports.reader import Profile
from application.unset import UNSET
from application.use_cases import Auth, Billing
from domain.accounts import NAME_MAX_LENGTH, Principal, User
from domain.plans import Plan
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.client import origin
from entrypoints.api.downloads import until_broken_off
from entrypoints.api.responses import json_response, to_json
from entrypoints.api.schemas import QueryInteger, Schema, UsageSchema, camel_case, described, header, usage_json

NDJSON = "application/x-ndjson"
ERASED = "Everything that was yours is erased."
ERASED_BUT_FOR_MESSAGES = (
    "Your account is erased. The last of your messages are out of reach, and are being deleted at the moment."
)


class AccountSchema(Schema):
    id = ma.fields.UUID(required=True)
    mobile_number = ma.fields.String(required=True, metadata=described("E.164"))
    name = ma.fields.String(required=True, allow_none=True)
    email = ma.fields.String(required=True, allow_none=True)
    created_at = ma.fields.AwareDateTime(required=True)


class ProfileSchema(AccountSchema):
    tier = ma.fields.Enum(Plan, by_value=True, required=True)
    usage = ma.fields.Nested(UsageSchema, required=True)


class ChangedProfileSchema(Schema):
    """Members that are not given stay unchanged; null removes the value."""

    name = ma.fields.String(allow_none=True, validate=ma.validate.Length(1, NAME_MAX_LENGTH))
    email = ma.fields.Email(allow_none=True, validate=ma.validate.Length(max=254))


class ErasedSchema(Schema):
    message = ma.fields.String(required=True)
    erased = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata=described("Rows by table; rows of `auditEvents` are anonymised"),
    )
    complete = ma.fields.Boolean(
        required=True,
        metadata=described(
            "False when you had so many messages that the last of them are still being deleted. "
            "Nobody can read them any more"
        ),
    )


class UsageQuerySchema(Schema):
    days = QueryInteger(validate=ma.validate.Range(1, 31), metadata=described("Also list this many UTC days"))


class DayOfUseSchema(Schema):
    day = ma.fields.Date(required=True)
    used = ma.fields.Integer(required=True, metadata=described("Prompts that count"))
    refunded = ma.fields.Integer(required=True, metadata=described("Prompts refunded because their replies failed"))


class UsageOfDaysSchema(UsageSchema):
    days = ma.fields.List(
        ma.fields.Nested(DayOfUseSchema), metadata=described("Newest first; days without use are left out")
    )


def account_blueprint(auth: Auth, billing: Billing, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Account", __name__, url_prefix="/user", description="Your profile, usage and data")

    @blp.route("/me", methods=["GET"])
    @authenticated.with_(auth.authenticate_with_profile)
    @blp.response(200, ProfileSchema)
    def get_profile(_principal: Principal, profile: Profile) -> Response:
        """Show your account, your plan and today's usage.

        What a client shows after a login, in one request.
        """
        return json_response(_profile_json(profile))

    @blp.route("/me", methods=["PATCH"])
    @authenticated
    @blp.arguments(ChangedProfileSchema())
    @blp.response(200, ProfileSchema)
    def update_profile(principal: Principal, body: Body) -> Response:
        """Change your name or email.

        Members that are not given stay unchanged; null removes the value.
        """
        profile = auth.change_profile(
            principal=principal,
            name=body.get("name", UNSET),
            email=body.get("email", UNSET),
            origin=origin(),
        )
        return json_response(_profile_json(profile))

    @blp.route("/me", methods=["DELETE"])
    @authenticated
    @blp.response(200, ErasedSchema)
    def erase_account(principal: Principal) -> Response:
        """Erase your account and everything in it, at once and for ever.

        Replies that are being written stop. Your subscription is cancelled first; when that is not possible at the
        moment, the response is 503 and nothing is erased. Of some ten thousand messages and more, the last are deleted
        within minutes after the response; they are out of reach by then, and `complete` is false.
        """
        erasure = auth.erase_account(principal=principal)
        return json_response(
            {
                "message": ERASED if erasure.complete else ERASED_BUT_FOR_MESSAGES,
                "erased": {camel_case(table): rows for table, rows in erasure.rows.items()},
                "complete": erasure.complete,
            }
        )

    @blp.route("/usage", methods=["GET"])
    @authenticated
    @blp.arguments(UsageQuerySchema(), location="query")
    @blp.response(200, UsageOfDaysSchema)
    def get_usage(principal: Principal, query: Body) -> Response:
        """Show today's usage of your plan's prompts.

        With `days`, also that of the last days. A prompt whose reply failed is given back.
        """
        plan_status = billing.show_plan_status(user_id=principal.user_id)
        body = usage_json(plan_status.plan, plan_status.quota)
        if "days" in query:
            days = billing.show_days(user_id=principal.user_id, days=query["days"])
            body["days"] = [{"day": one.day, "used": one.used, "refunded": one.refunded} for one in days]
        return json_response(body)

    @blp.route("/export", methods=["GET"])
    @authenticated
    @blp.response(
        200,
        {"type": "string"},
        content_type=NDJSON,
        description="One JSON object a line, each with `type`",
        example='{"type":"usage","day":"2026-03-02","used":1}\n{"type":"end","records":1}\n',
        headers={"Content-Disposition": header("The name of the file")},
    )
    def export_account(principal: Principal) -> Response:
        """Export all your data, one JSON object a line. At most ten times an hour.

        The last line is `{"type": "end", "records": n}`. When it is missing, the export is incomplete: try again.
        """
        records = auth.export_account(principal=principal, origin=origin())
        return Response(
            until_broken_off(_export_lines(records)),
            content_type=NDJSON,
            headers={"Content-Disposition": 'attachment; filename="export.ndjson"'},
        )

    return blp


def account_json(user: User) -> dict[str, Any]:
    """A user as AccountSchema describes it."""
    return {
        "id": user.id,
        "mobileNumber": user.phone.e164,
        "name": user.name,
        "email": user.email,
        "createdAt": user.created_at,
    }


def _profile_json(profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "mobileNumber": profile.phone,
        "name": profile.name,
        "email": profile.email,
        "createdAt": profile.created_at,
        "tier": profile.plan.value,
        "usage": usage_json(profile.plan, profile.quota),
    }


def _export_lines(records: Iterator[Record]) -> Iterator[bytes]:
    count = 0
    for record in records:
        yield to_json(record) + b"\n"
        count += 1
    yield to_json({"type": "end", "records": count}) + b"\n"
