"""Where an Idempotency-Key holds. Elsewhere it is refused: a header that is silently ignored is believed."""

import marshmallow as ma
from flask import Flask, request
from werkzeug.exceptions import BadRequest

from entrypoints.api.schemas import Schema, described, header

HOLDS = frozenset(
    {
        "Messages.send_message",
        "Messages.retry_reply",
        "Messages.regenerate_reply",
        "Chatrooms.create_chatroom",
        "Subscription.subscribe_to_pro",
        "Subscription.subscribe_to_pro_alias",
    }
)
REPLAYED = "Idempotent-Replayed"
REPLAYED_HEADER = {REPLAYED: header("`true`: this is the response to an earlier request with the same key")}
# The sender of these decides on its headers, and its events have ids.
NOT_OURS_TO_REFUSE = "Webhooks."


class IdempotencyHeadersSchema(Schema):
    idempotency_key = ma.fields.String(
        data_key="Idempotency-Key",
        validate=[ma.validate.Length(1, 255), ma.validate.Regexp("^[!-~]+$")],
        metadata=described("Chosen by the client, such as a UUID"),
    )


def replayed(repeated: bool) -> dict[str, str]:  # noqa: FBT001 - what the header says
    """The header of the answer to a request that is the ``repeated`` one."""
    return {REPLAYED: "true"} if repeated else {}


class IdempotencyKeyNotSupported(BadRequest):
    """The request has an Idempotency-Key, which does not hold for it. Nothing was done."""

    code_of_problem = "idempotency_key_not_supported"


def refuse_other_idempotency_keys(app: Flask) -> None:
    @app.before_request
    def refuse() -> None:
        if request.method != "POST" or "Idempotency-Key" not in request.headers:
            return
        endpoint = request.endpoint
        if endpoint is not None and endpoint not in HOLDS and not endpoint.startswith(NOT_OURS_TO_REFUSE):
            raise IdempotencyKeyNotSupported
