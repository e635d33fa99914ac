"""/auth/refresh, /auth/logout, /auth/sessions: refreshing tokens, logging out, listing and ending sessions."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from application.auth.logout import Scope
from application.auth.refresh import Refreshed
from application.auth.sessions import LoggedIn
from application.ports.reader import SessionSummary
from application.use_cases import Auth
from domain.accounts import LoginMethod, Principal, SessionId
from entrypoints.api.authentication import Authenticated, bearer_token
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.client import origin
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import MessageOnlySchema, Schema, described


class SessionTokensSchema(Schema):
    token = ma.fields.String(required=True, metadata=described("Send as `Authorization: Bearer …`"))
    token_type = ma.fields.String(required=True, validate=ma.validate.Equal("Bearer"))
    expires_in = ma.fields.Integer(required=True, metadata=described("Seconds"))
    refresh_token = ma.fields.String(required=True, metadata=described("For `/auth/refresh`; can be used once"))


class RefreshSchema(Schema):
    refresh_token = ma.fields.String(required=True, validate=ma.validate.Length(1, 200))


class RefreshedSchema(SessionTokensSchema):
    refresh_token = ma.fields.String(
        required=True, metadata=described("Replaces the one that was sent, which cannot be used again")
    )


class LogOutSchema(Schema):
    scope = ma.fields.Enum(Scope, by_value=True, load_default=Scope.THIS)
    refresh_token = ma.fields.String(
        validate=ma.validate.Length(1, 200), metadata=described("Will do where the access token has expired")
    )


class SessionSchema(Schema):
    id = ma.fields.UUID(required=True)
    device = ma.fields.String(required=True, allow_none=True, metadata=described("The client's `User-Agent`"))
    method = ma.fields.Enum(LoginMethod, by_value=True, required=True)
    started_at = ma.fields.AwareDateTime(required=True)
    last_used_at = ma.fields.AwareDateTime(required=True, metadata=described("When its tokens were last refreshed"))
    expires_at = ma.fields.AwareDateTime(required=True)
    current = ma.fields.Boolean(required=True, metadata=described("Whether this request belongs to it"))


def sessions_blueprint(auth: Auth, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Sessions", __name__, url_prefix="/auth", description="Refreshing tokens, logging out")

    @blp.route("/refresh", methods=["POST"])
    @blp.may_give("refresh_token_invalid")
    @blp.arguments(RefreshSchema())
    @blp.response(200, RefreshedSchema)
    def refresh_tokens(body: Body) -> Response:
        """Exchange a refresh token for new tokens. A refresh token can be used once.

        Using it again ends the session, since it may be stolen. But within 30 seconds, for clients that lost the
        response, it gives the same new refresh token again. 401 `refresh_token_invalid`: log in again.
        """
        refreshed = auth.refresh_session(refresh_token=body["refresh_token"], origin=origin())
        return json_response(tokens_json(refreshed))

    @blp.route("/logout", methods=["POST"])
    @authenticated.optionally
    @blp.arguments(LogOutSchema(), required=False)
    @blp.response(200, MessageOnlySchema)
    def log_out(principal: Principal | None, body: Body) -> Response:
        """End this session, your other sessions, or all of them, at once.

        To end this session an access token that has expired will do, or its refresh token in the body without any
        access token. It is 200 also when the session had ended before.
        """
        if principal is not None:
            auth.log_out(principal=principal, scope=body["scope"], origin=origin())
        if principal is None or "refresh_token" in body:
            auth.log_out.by_tokens(
                access_token=bearer_token() if principal is None else None,
                refresh_token=body.get("refresh_token"),
                scope=body["scope"] if principal is None else Scope.THIS,
                origin=origin(),
            )
        return json_response({"message": "Logged out."})

    @blp.route("/sessions", methods=["GET"])
    @authenticated
    @blp.response(200, SessionSchema(many=True))
    def list_sessions(principal: Principal) -> Response:
        """List your sessions, newest first.

        A session is a login that has neither ended nor expired; `current` is the one that asks.
        """
        sessions = auth.list_sessions(user_id=principal.user_id)
        return json_response([_session_json(one, current=one.id == principal.session_id) for one in sessions])

    @blp.route("/sessions/<uuid:session_id>", methods=["DELETE"])
    @blp.may_give("session_not_found")
    @authenticated
    @blp.response(204)
    def end_session(principal: Principal, session_id: UUID) -> Response:
        """End one of your sessions, at once.

        Its tokens are refused from then on. To end your own session, log out.
        """
        auth.end_session(principal=principal, session_id=SessionId(session_id), origin=origin())
        return Response(status=204)

    return blp


def tokens_json(tokens: LoggedIn | Refreshed) -> dict[str, Any]:
    """Tokens as SessionTokensSchema describes them."""
    return {
        "token": tokens.token,
        "tokenType": "Bearer",
        "expiresIn": int(tokens.expires_in.total_seconds()),
        "refreshToken": tokens.refresh_token,
    }


def _session_json(session: SessionSummary, *, current: bool) -> dict[str, Any]:
    return {
        "id": session.id,
        "device": session.device,
        "method": session.method.value,
        "startedAt": session.started_at,
        "lastUsedAt": session.last_used_at,
        "expiresAt": session.expires_at,
        "current": current,
    }
