"""/user: users say who they are, take what is theirs, and leave."""

from collections.abc import Iterator
from typing import Any

import marshmallow as ma
import structlog
from flask import Response

from application.ports.export import Record
from application.unset import UNCHANGED
from application.use_cases import Auth
from domain.accounts import NAME_MAX_LENGTH, Principal
from domain.errors import DomainError
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.client import origin
from entrypoints.api.responses import json_response, to_json
from entrypoints.api.schemas import Schema, camel_case, described
from entrypoints.api.security import Guard
from entrypoints.api.users import ProfileSchema, profile_json

Body = dict[str, Any]

NDJSON = "application/x-ndjson"

log = structlog.get_logger(__name__)


class ChangedProfileSchema(Schema):
    """What a user says of themselves. What is not given stays; null takes it away."""

    name = ma.fields.String(allow_none=True, validate=ma.validate.Length(1, NAME_MAX_LENGTH))
    email = ma.fields.Email(allow_none=True, validate=ma.validate.Length(max=254))


class ErasedSchema(Schema):
    """What was erased."""

    message = ma.fields.String(required=True)
    erased = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata=described("Rows by table; of `auditEvents` only whose they were"),
    )


def own_account_blueprint(auth: Auth, guard: Guard) -> JsonBlueprint:
    """PATCH and DELETE of /user/me, and /user/export."""
    blp = JsonBlueprint("own_account", __name__, url_prefix="/user", description="Changing your account, and leaving")

    @blp.route("/me", methods=["PATCH"])
    @guard
    @blp.arguments(ChangedProfileSchema())
    @blp.response(200, ProfileSchema)
    def change_profile(principal: Principal, body: Body) -> Response:
        """Change your name or email; what is not given stays."""
        profile = auth.change_profile(
            principal=principal,
            name=body.get("name", UNCHANGED),
            email=body.get("email", UNCHANGED),
            origin=origin(),
        )
        return json_response(profile_json(profile))

    @blp.route("/me", methods=["DELETE"])
    @guard
    @blp.response(200, ErasedSchema)
    def erase_account(principal: Principal) -> Response:
        """Erase your account and everything in it, at once and for ever.

        A reply that is being written stops. Your subscription is cancelled first; 503 when that cannot be done now, and
        then nothing is erased.
        """
        erased = auth.erase_account(principal=principal)
        return json_response(
            {
                "message": "Everything that was yours is erased.",
                "erased": {camel_case(table): rows for table, rows in erased.items()},
            }
        )

    @blp.route("/export", methods=["GET"])
    @guard
    @blp.response(200, {"type": "string"}, content_type=NDJSON, description="One JSON object a line, each with `type`")
    def export_account(principal: Principal) -> Response:
        """All that is yours, one JSON object a line.

        At most ten times an hour.

        The last line is `{"type": "end", "records": n}`; without it the rest is missing, and you should ask again.
        """
        records = auth.export_account(principal=principal, origin=origin())
        return Response(
            _lines(records),
            content_type=NDJSON,
            headers={"Content-Disposition": 'attachment; filename="export.ndjson"'},
        )

    return blp


def _lines(records: Iterator[Record]) -> Iterator[bytes]:
    count = 0
    try:
        for record in records:
            yield to_json(record) + b"\n"
            count += 1
    except DomainError as error:
        # The status is long sent: that the last line is missing has to say it.
        log.warning("export_broken_off", error=error.code)
        return
    yield to_json({"type": "end", "records": count}) + b"\n"
