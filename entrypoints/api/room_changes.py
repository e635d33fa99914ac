"""/chatroom/{id}: renaming chatrooms, and taking them away."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from application.unset import UNCHANGED
from application.use_cases import Chat
from domain.accounts import Principal
from domain.chat import CHATROOM_NAME_MAX_LENGTH, SYSTEM_PROMPT_MAX_LENGTH, ChatroomId
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, described
from entrypoints.api.security import Guard

Body = dict[str, Any]


class ChangedChatroomSchema(Schema):
    """What to change of a chatroom. What is not given stays."""

    name = ma.fields.String(validate=ma.validate.Length(1, CHATROOM_NAME_MAX_LENGTH))
    system_prompt = ma.fields.String(
        allow_none=True,
        validate=ma.validate.Length(1, SYSTEM_PROMPT_MAX_LENGTH),
        metadata=described("null takes it away"),
    )


class RoomAfterChangeSchema(Schema):
    """A chatroom, without its messages."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    system_prompt = ma.fields.String(required=True, allow_none=True)
    created_at = ma.fields.AwareDateTime(required=True)
    updated_at = ma.fields.AwareDateTime(required=True)


def room_changes_blueprint(chat: Chat, guard: Guard) -> JsonBlueprint:
    """PATCH and DELETE of /chatroom/{id}."""
    blp = JsonBlueprint("room_changes", __name__, url_prefix="/chatroom", description="Changing chatrooms")

    @blp.route("/<uuid:chatroom_id>", methods=["PATCH"])
    @guard
    @blp.arguments(ChangedChatroomSchema())
    @blp.response(200, RoomAfterChangeSchema)
    def change_chatroom(principal: Principal, body: Body, chatroom_id: UUID) -> Response:
        """Rename a chatroom, or change its system prompt."""
        room = chat.change_chatroom(
            user_id=principal.user_id,
            chatroom_id=ChatroomId(chatroom_id),
            name=body.get("name", UNCHANGED),
            system_prompt=body.get("system_prompt", UNCHANGED),
        )
        return json_response(
            {
                "id": room.id,
                "name": room.name,
                "systemPrompt": room.system_prompt,
                "createdAt": room.created_at,
                "updatedAt": room.updated_at,
            }
        )

    @blp.route("/<uuid:chatroom_id>", methods=["DELETE"])
    @guard
    @blp.response(204)
    def remove_chatroom(principal: Principal, chatroom_id: UUID) -> Response:
        """Remove a chatroom with its messages and replies; one that is being written stops."""
        chat.remove_chatroom(user_id=principal.user_id, chatroom_id=ChatroomId(chatroom_id))
        return Response(status=204)

    return blp
