"""/chatroom: chatrooms, messages, and the replies to them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from application.chat.rooms import DEFAULT_ROOMS_PER_PAGE, DEFAULT_TURNS_PER_PAGE
from application.chat.send_message import SentMessage
from application.ports.reader import RoomPage, Turn
from application.use_cases import Chat
from domain.accounts import Principal
from domain.chat import (
    CHATROOM_NAME_MAX_LENGTH,
    MESSAGE_MAX_LENGTH,
    SYSTEM_PROMPT_MAX_LENGTH,
    ChatroomId,
)
from domain.plans import DailyQuota
from domain.replies import FailureReason, ReplyState
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import entity_tag, json_response, tagged_response, to_json
from entrypoints.api.schemas import QueryInteger, QueryUuid, QuotaSchema, Schema, described, quota_json
from entrypoints.api.security import Guard

Body = dict[str, Any]

MAX_PER_PAGE = 100
SECONDS_PER_DAY = 86_400

# What a failure means to the person who reads it.
FAILURE_DETAILS = {
    FailureReason.MODEL_BUSY: "The model was too busy to answer. Your prompt was not counted.",
    FailureReason.MODEL_UNREACHABLE: "The model could not be reached. Your prompt was not counted.",
    FailureReason.MODEL_REJECTED_REQUEST: "The model did not accept the request. Your prompt was not counted.",
    FailureReason.MODEL_NOT_FOUND: "The model is not available. Your prompt was not counted.",
    FailureReason.REFUSED: "The model declined to answer this. Your prompt was not counted.",
    FailureReason.EMPTY_ANSWER: "The model had nothing to say to this. Your prompt was not counted.",
    FailureReason.DEADLINE_EXCEEDED: "There was no answer in time. Your prompt was not counted.",
    FailureReason.ATTEMPTS_EXHAUSTED: "The answer failed several times. Your prompt was not counted.",
}


class NewChatroomSchema(Schema):
    """A chatroom to open."""

    name = ma.fields.String(required=True, validate=ma.validate.Length(1, CHATROOM_NAME_MAX_LENGTH))
    systemPrompt = ma.fields.String(  # noqa: N815
        allow_none=True,
        validate=ma.validate.Length(1, SYSTEM_PROMPT_MAX_LENGTH),
        metadata=described("Kept with the chatroom"),
    )


class ChatroomSchema(Schema):
    """A chatroom."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    createdAt = ma.fields.AwareDateTime(required=True)  # noqa: N815
    updatedAt = ma.fields.AwareDateTime(required=True)  # noqa: N815


class FailureSchema(Schema):
    """Why there is no answer."""

    code = ma.fields.Enum(FailureReason, by_value=True, required=True)
    detail = ma.fields.String(required=True)


class TokensSchema(Schema):
    """What the model counted."""

    inputTokens = ma.fields.Integer(required=True, allow_none=True)  # noqa: N815
    outputTokens = ma.fields.Integer(required=True, allow_none=True)  # noqa: N815


class EntrySchema(Schema):
    """A message of the user, or the bot's reply to one."""

    id = ma.fields.UUID(required=True)
    chatroomId = ma.fields.UUID(required=True)  # noqa: N815
    role = ma.fields.String(required=True, validate=ma.validate.OneOf(["user", "bot"]))
    content = ma.fields.String(required=True, allow_none=True, metadata=described("null until the reply is done"))
    createdAt = ma.fields.AwareDateTime(required=True)  # noqa: N815
    replyTo = ma.fields.UUID(metadata=described("Replies only: the message this answers"))  # noqa: N815
    status = ma.fields.Enum(ReplyState, by_value=True, metadata=described("Replies only"))
    model = ma.fields.String(metadata=described("Which model answered"))
    truncated = ma.fields.Boolean(metadata=described("The model ran into its output limit"))
    finishedAt = ma.fields.AwareDateTime()  # noqa: N815
    error = ma.fields.Nested(FailureSchema, metadata=described("Failed replies only"))
    usage = ma.fields.Nested(TokensSchema)


class ConversationSchema(ChatroomSchema):
    """A chatroom with a page of its messages."""

    systemPrompt = ma.fields.String(required=True, allow_none=True)  # noqa: N815
    messages = ma.fields.List(ma.fields.Nested(EntrySchema), required=True, metadata=described("Oldest first"))
    nextCursor = ma.fields.UUID(  # noqa: N815
        required=True,
        allow_none=True,
        metadata=described("Give as `cursor` to read the older ones; null: there are none"),
    )


class NewMessageSchema(Schema):
    """A message to send."""

    message = ma.fields.String(required=True, validate=ma.validate.Length(1, MESSAGE_MAX_LENGTH))


class PromisedReplySchema(Schema):
    """The reply that will come."""

    id = ma.fields.UUID(required=True)
    status = ma.fields.Enum(ReplyState, by_value=True, required=True)


class SentMessageSchema(Schema):
    """An accepted message."""

    message = ma.fields.Nested(EntrySchema, required=True)
    reply = ma.fields.Nested(PromisedReplySchema, required=True)
    quota = ma.fields.Nested(QuotaSchema, required=True)
    links = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class RoomsQuerySchema(Schema):
    """A page of chatrooms."""

    limit = QueryInteger(load_default=DEFAULT_ROOMS_PER_PAGE, validate=ma.validate.Range(1, MAX_PER_PAGE))
    cursor = QueryUuid(metadata=described("From the `Link` of the last page"))


class ConversationQuerySchema(Schema):
    """A page of messages."""

    limit = QueryInteger(
        load_default=DEFAULT_TURNS_PER_PAGE * 2,
        validate=ma.validate.Range(1, MAX_PER_PAGE),
        metadata=described("Messages and replies together; a message always comes with its reply"),
    )
    cursor = QueryUuid(metadata=described("The `nextCursor` of the last page"))


def chat_blueprint(chat: Chat, guard: Guard) -> JsonBlueprint:
    """Everything below /chatroom."""
    blp = JsonBlueprint("chatroom", __name__, url_prefix="/chatroom", description="Talking to the model")

    @blp.route("", methods=["POST"])
    @guard
    @blp.arguments(NewChatroomSchema())
    @blp.response(201, ChatroomSchema)
    def open_chatroom(principal: Principal, body: Body) -> Response:
        """Open a chatroom."""
        room = chat.open_chatroom(user_id=principal.user_id, name=body["name"], system_prompt=body.get("systemPrompt"))
        return json_response(
            _room(room.id, room.name, room.created_at, room.updated_at),
            201,
            {"Location": f"/chatroom/{room.id}"},
        )

    @blp.route("", methods=["GET"])
    @guard
    @blp.arguments(RoomsQuerySchema(), location="query")
    @blp.response(
        200,
        ChatroomSchema(many=True),
        headers={
            "X-Cache": {"description": "`hit` or `miss`", "schema": {"type": "string"}},
            "Link": {"description": '`rel="next"`: the next page', "schema": {"type": "string"}},
            "ETag": {"schema": {"type": "string"}},
        },
    )
    @blp.alt_response(304, description="Not modified: you have this page", success=True)
    def list_chatrooms(principal: Principal, query: Body) -> Response:
        """Your chatrooms, newest first. The first page is cached; you always see your own changes."""
        listed = chat.list_chatrooms(
            user_id=principal.user_id,
            render=_render_rooms,
            limit=query["limit"],
            before=query.get("cursor"),
        )
        return _rooms_response(listed.page, query["limit"], from_cache=listed.from_cache)

    @blp.route("/<uuid:chatroom_id>", methods=["GET"])
    @guard
    @blp.arguments(ConversationQuerySchema(), location="query")
    @blp.response(200, ConversationSchema, headers={"ETag": {"schema": {"type": "string"}}})
    @blp.alt_response(304, description="Not modified: you have this page", success=True)
    def read_chatroom(principal: Principal, query: Body, chatroom_id: UUID) -> Response:
        """A chatroom and its newest messages, oldest first, replies among them."""
        conversation = chat.read_chatroom(
            user_id=principal.user_id,
            chatroom_id=ChatroomId(chatroom_id),
            turns=(query["limit"] + 1) // 2,
            before=query.get("cursor"),
        )
        body = to_json(
            {
                **_room(
                    conversation.id,
                    conversation.name,
                    conversation.created_at,
                    conversation.updated_at,
                ),
                "systemPrompt": conversation.system_prompt,
                "messages": [
                    entry
                    for turn in conversation.turns
                    for entry in (_prompt_entry(chatroom_id, turn), _reply_entry(chatroom_id, turn))
                ],
                "nextCursor": conversation.next_before,
            }
        )
        return tagged_response(body, entity_tag(body))

    @blp.route("/<uuid:chatroom_id>/message", methods=["POST"])
    @guard
    @blp.arguments(NewMessageSchema())
    @blp.response(
        202,
        SentMessageSchema,
        description="Accepted: the reply will stand in the chatroom",
        headers={
            "Location": {"schema": {"type": "string"}},
            "RateLimit": {"description": "What is left of the day", "schema": {"type": "string"}},
            "RateLimit-Policy": {"description": "The plan's limit", "schema": {"type": "string"}},
        },
    )
    def send_message(principal: Principal, body: Body, chatroom_id: UUID) -> Response:
        """Send a message; the model's reply comes later.

        From this answer on there will be exactly one reply, or one clear failure that costs nothing. 429
        `daily_quota_exceeded` with `Retry-After` when the day's prompts are used up.
        """
        sent = chat.send_message(sender=principal.user_id, chatroom_id=ChatroomId(chatroom_id), text=body["message"])
        location = f"/chatroom/{chatroom_id}"
        return json_response(_sent(sent, location), 202, {"Location": location, **_rate_limit(sent.quota)})

    return blp


def _room(room_id: UUID, name: str, created_at: datetime, updated_at: datetime) -> dict[str, Any]:
    return {"id": room_id, "name": name, "createdAt": created_at, "updatedAt": updated_at}


def _render_rooms(page: RoomPage) -> bytes:
    """A page as it is cached: a line with its entity tag and where the next one begins, then the body."""
    body = to_json([_room(*room) for room in page.rooms])
    return f"{entity_tag(body)} {page.next_before or ''}\n".encode() + body


def _rooms_response(page: bytes, limit: int, *, from_cache: bool) -> Response:
    head, _, body = page.partition(b"\n")
    tag, _, next_before = head.decode().partition(" ")
    headers = {"X-Cache": "hit" if from_cache else "miss"}
    if next_before:
        headers["Link"] = f'</chatroom?limit={limit}&cursor={next_before}>; rel="next"'
    return tagged_response(body, tag, headers)


def _prompt_entry(chatroom_id: UUID, turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.message_id,
        "chatroomId": chatroom_id,
        "role": "user",
        "content": turn.content,
        "createdAt": turn.sent_at,
    }


def _reply_entry(chatroom_id: UUID, turn: Turn) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": turn.reply_id,
        "chatroomId": chatroom_id,
        "role": "bot",
        "content": turn.reply_content,
        "createdAt": turn.reply_created_at,
        "replyTo": turn.message_id,
        "status": turn.reply_state.value,
    }
    if turn.finished_at is not None:
        entry["finishedAt"] = turn.finished_at
    if turn.reply_state is ReplyState.DONE:
        entry["model"] = turn.model
        entry["truncated"] = turn.truncated
        entry["usage"] = {"inputTokens": turn.input_tokens, "outputTokens": turn.output_tokens}
    if turn.failure is not None:
        entry["error"] = {"code": turn.failure.value, "detail": FAILURE_DETAILS[turn.failure]}
    return entry


def _sent(sent: SentMessage, location: str) -> dict[str, Any]:
    message = sent.message
    return {
        "message": {
            "id": message.id,
            "chatroomId": message.chatroom_id,
            "role": "user",
            "content": message.content,
            "createdAt": message.created_at,
        },
        "reply": {"id": sent.reply.id, "status": ReplyState.QUEUED.value},
        "quota": quota_json(sent.quota),
        "links": {"chatroom": location},
    }


def _rate_limit(quota: DailyQuota) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers: what the plan allows, what is left, and for how many seconds."""
    if quota.limit is None:
        return {}
    seconds = max(int((quota.resets_at - datetime.now(UTC)).total_seconds()), 0)
    return {
        "RateLimit-Policy": f'"daily";q={quota.limit};w={SECONDS_PER_DAY}',
        "RateLimit": f'"daily";r={quota.remaining};t={seconds}',
    }
