"""Chunks of the API's shapes that several resources use. They document; the views write the same by hand."""

import re
from typing import Any
from uuid import UUID

import marshmallow as ma

from application.auth.refresh import Refreshed
from application.auth.sessions import LoggedIn
from domain.plans import DailyQuota, Plan


def described(text: str, **more: Any) -> dict[str, Any]:
    """Metadata of a field."""
    return {"description": text, **more}


class Schema(ma.Schema):
    """Ignores members it does not know, and is documented so: both sides may grow."""

    class Meta:
        """marshmallow's options."""

        unknown = ma.EXCLUDE


# int() and UUID() also take spaces, underscores, braces, and the digits of every script.
PLAIN_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
PLAIN_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class QueryInteger(ma.fields.Integer):
    """A whole number in a query, written as JSON would."""

    def _validated(self, value: Any) -> int:
        if not PLAIN_NUMBER.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class QueryUuid(ma.fields.UUID):
    """A UUID in a query, in its canonical form (RFC 9562)."""

    def _validated(self, value: Any) -> UUID:
        if not PLAIN_UUID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return super()._validated(value)


class MessageOnlySchema(Schema):
    """What was done, in words."""

    message = ma.fields.String(required=True)


class TokensSchema(Schema):
    """What to come back with."""

    token = ma.fields.String(required=True, metadata=described("Send as `Authorization: Bearer …`"))
    tokenType = ma.fields.String(required=True, validate=ma.validate.Equal("Bearer"))  # noqa: N815
    expiresIn = ma.fields.Integer(required=True, metadata=described("Seconds"))  # noqa: N815
    refreshToken = ma.fields.String(  # noqa: N815
        required=True, metadata=described("For `/auth/refresh`; good once")
    )


class QuotaSchema(Schema):
    """Use of a plan's daily prompts."""

    limit = ma.fields.Integer(required=True, allow_none=True, metadata=described("null: no daily limit"))
    used = ma.fields.Integer(required=True)
    remaining = ma.fields.Integer(required=True, allow_none=True)
    resetsAt = ma.fields.AwareDateTime(required=True, metadata=described("The next midnight, UTC"))  # noqa: N815


class UsageSchema(QuotaSchema):
    """Use of a plan's daily prompts, and the plan."""

    tier = ma.fields.Enum(Plan, by_value=True, required=True)


def tokens_json(tokens: LoggedIn | Refreshed) -> dict[str, Any]:
    """Tokens as TokensSchema describes them."""
    return {
        "token": tokens.token,
        "tokenType": "Bearer",
        "expiresIn": int(tokens.expires_in.total_seconds()),
        "refreshToken": tokens.refresh_token,
    }


def quota_json(quota: DailyQuota) -> dict[str, Any]:
    """A quota as QuotaSchema describes it."""
    return {
        "limit": quota.limit,
        "used": quota.used,
        "remaining": quota.remaining,
        "resetsAt": quota.resets_at,
    }


def usage_json(plan: Plan, quota: DailyQuota) -> dict[str, Any]:
    """A quota as UsageSchema describes it."""
    return {"tier": plan.value, **quota_json(quota)}
