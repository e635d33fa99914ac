"""/auth, once logged in: new tokens, logging out, and where one is logged in."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from application.auth.logout import Scope
from application.ports.reader import SessionSummary
from application.use_cases import Auth
from domain.accounts import LoginMethod, Principal, SessionId
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.client import origin
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import MessageOnlySchema, Schema, SessionTokensSchema, described, tokens_json
from entrypoints.api.security import Guard

Body = dict[str, Any]


class RefreshSchema(Schema):
    """A refresh token."""

    refresh_token = ma.fields.String(required=True, validate=ma.validate.Length(1, 200))


class RefreshedSchema(SessionTokensSchema):
    """New tokens."""

    refresh_token = ma.fields.String(
        required=True, metadata=described("Takes the place of the one that was sent, which is used up")
    )


class LogOutSchema(Schema):
    """Which sessions end."""

    scope = ma.fields.Enum(Scope, by_value=True, load_default=Scope.THIS)


class SessionSchema(Schema):
    """A login on one device."""

    id = ma.fields.UUID(required=True)
    device = ma.fields.String(required=True, allow_none=True, metadata=described("What the client called itself"))
    method = ma.fields.Enum(LoginMethod, by_value=True, required=True)
    started_at = ma.fields.AwareDateTime(required=True)
    last_used_at = ma.fields.AwareDateTime(required=True, metadata=described("When its tokens were last refreshed"))
    expires_at = ma.fields.AwareDateTime(required=True)
    current = ma.fields.Boolean(required=True, metadata=described("Whether it is the one that asks"))


def sessions_blueprint(auth: Auth, guard: Guard) -> JsonBlueprint:
    """/auth/refresh, /auth/logout, /auth/sessions."""
    blp = JsonBlueprint("sessions", __name__, url_prefix="/auth", description="Staying logged in, and logging out")

    @blp.route("/refresh", methods=["POST"])
    @blp.arguments(RefreshSchema())
    @blp.response(200, RefreshedSchema)
    def refresh(body: Body) -> Response:
        """New tokens for a refresh token, which is good once.

        One that is shown again ends the session, since it may be stolen; but if an answer was lost, asking again within
        30 seconds gives the same refresh token again. 401 `refresh_token_invalid`: log in again.
        """
        refreshed = auth.refresh_session(refresh_token=body["refresh_token"], origin=origin())
        return json_response(tokens_json(refreshed))

    @blp.route("/logout", methods=["POST"])
    @guard
    @blp.arguments(LogOutSchema(), required=False)
    @blp.response(200, MessageOnlySchema)
    def log_out(principal: Principal, body: Body) -> Response:
        """End this session, the others, or all of them, at once."""
        auth.log_out(principal=principal, scope=body["scope"], origin=origin())
        return json_response({"message": "Logged out."})

    @blp.route("/sessions", methods=["GET"])
    @guard
    @blp.response(200, SessionSchema(many=True))
    def list_sessions(principal: Principal) -> Response:
        """Where you are logged in, the newest first."""
        sessions = auth.list_sessions(user_id=principal.user_id)
        return json_response([_session(line, current=line.id == principal.session_id) for line in sessions])

    @blp.route("/sessions/<uuid:session_id>", methods=["DELETE"])
    @guard
    @blp.response(204)
    def end_session(principal: Principal, session_id: UUID) -> Response:
        """End one of your sessions, at once."""
        auth.end_session(principal=principal, session_id=SessionId(session_id), origin=origin())
        return Response(status=204)

    return blp


def _session(line: SessionSummary, *, current: bool) -> dict[str, Any]:
    return {
        "id": line.id,
        "device": line.device,
        "method": line.method.value,
        "startedAt": line.started_at,
        "lastUsedAt": line.last_used_at,
        "expiresAt": line.expires_at,
        "current": current,
    }
