"""The base schema, fields of queries, and schemas that several resources share.

Schemas validate requests and document responses. Responses are written by hand, see responses.py.
"""

import re
from typing import Any
from uuid import UUID

import marshmallow as ma

from domain.plans import DailyQuota, Plan


def described(text: str, **more: Any) -> dict[str, Any]:
    """Metadata of a field: its description in the OpenAPI document."""
    return {"description": text, **more}


def header(text: str) -> dict[str, Any]:
    """A header of a response in the OpenAPI document."""
    return {"description": text, "schema": {"type": "string"}}


# Name of the shared parameter of operations whose effect depends on the language of the request; see openapi.py.
ACCEPT_LANGUAGE = "AcceptLanguage"
ETAG = {"ETag": header("Send it as `If-None-Match` to get 304 while nothing has changed")}


def camel_case(name: str) -> str:
    """The JSON name of a snake_case name."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class Schema(ma.Schema):
    """Base of all schemas: snake_case in Python is camelCase in JSON, and unknown members are ignored."""

    class Meta:
        unknown = ma.EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: ma.fields.Field[Any]) -> None:
        if field_obj.data_key is None:
            field_obj.data_key = camel_case(field_name)


# int() and UUID() also accept spaces, underscores, braces, and the digits of every script.
PLAIN_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
PLAIN_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class QueryInteger(ma.fields.Integer):
    """A whole number in a query, written as in JSON."""

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


class QueryBoolean(ma.fields.Boolean):
    """``true`` or ``false`` in a query, as JSON writes them."""

    truthy = {"true"}  # noqa: RUF012 - as in the base class
    falsy = {"false"}  # noqa: RUF012


class StrictBoolean(ma.fields.Boolean):
    """A boolean in a body: no text and no number stands for one."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class MessageOnlySchema(Schema):
    message = ma.fields.String(required=True)


class QuotaSchema(Schema):
    limit = ma.fields.Integer(required=True, allow_none=True, metadata=described("null: no daily limit"))
    used = ma.fields.Integer(required=True)
    remaining = ma.fields.Integer(required=True, allow_none=True)
    resets_at = ma.fields.AwareDateTime(required=True, metadata=described("The next midnight, UTC"))


class UsageSchema(QuotaSchema):
    tier = ma.fields.Enum(Plan, by_value=True, required=True)


def quota_json(quota: DailyQuota) -> dict[str, Any]:
    """A quota as QuotaSchema describes it."""
    return {
        "limit": quota.limit,
        "used": quota.used,
        "remaining": quota.remaining,
        "resetsAt": quota.resets_at,
    }


def usage_json(plan: Plan, quota: DailyQuota) -> dict[str, Any]:
    """A quota and its plan as UsageSchema describes them."""
    return {"tier": plan.value, **quota_json(quota)}
