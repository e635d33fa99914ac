"""/chatroom: chatrooms and sending messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from application.chat.chatrooms import DEFAULT_ROOMS_PER_PAGE, DEFAULT_TURNS_PER_PAGE
from application.chat.send_message import SentMessage
from application.ports.reader import RoomPage, Turn
from application.use_cases import Chat
from domain.accounts import Principal
from domain.chat import (
    CHATROOM_NAME_MAX_LENGTH,
    MESSAGE_MAX_LENGTH,
    SYSTEM_PROMPT_MAX_LENGTH,
    ChatroomId,
    MessageId,
)
from domain.errors import DependencyDown
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.entries import (
    AnsweredMessageSchema,
    EntrySchema,
    SentMessageSchema,
    entry_path,
    quota_headers,
    reply_json,
    sent_json,
    turns_json,
)
from entrypoints.api.responses import entity_tag, json_response, tagged_response, to_json
from entrypoints.api.schemas import QueryInteger, QueryUuid, Schema, described
from entrypoints.api.security import Guard
from entrypoints.api.waiting import MAX_WAIT, RequestSlots, TooManyWaiting, preferred_wait

Body = dict[str, Any]

MAX_PER_PAGE = 100

SENT_HEADERS = {
    "Location": {"description": "The reply", "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of the day", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The plan's limit", "schema": {"type": "string"}},
    "Idempotent-Replayed": {"description": "`true`: answered earlier", "schema": {"type": "string"}},
}


class NewChatroomSchema(Schema):
    """A chatroom to open."""

    name = ma.fields.String(required=True, validate=ma.validate.Length(1, CHATROOM_NAME_MAX_LENGTH))
    system_prompt = ma.fields.String(
        allow_none=True,
        validate=ma.validate.Length(1, SYSTEM_PROMPT_MAX_LENGTH),
        metadata=described("Kept with the chatroom"),
    )


class ChatroomSchema(Schema):
    """A chatroom."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    created_at = ma.fields.AwareDateTime(required=True)
    updated_at = ma.fields.AwareDateTime(required=True)


class ConversationSchema(ChatroomSchema):
    """A chatroom with a page of its messages."""

    system_prompt = ma.fields.String(required=True, allow_none=True)
    messages = ma.fields.List(ma.fields.Nested(EntrySchema), required=True, metadata=described("Oldest first"))
    next_cursor = ma.fields.UUID(
        required=True,
        allow_none=True,
        metadata=described("Give as `cursor` to read the older ones; null: there are none"),
    )


class NewMessageSchema(Schema):
    """A message to send."""

    message = ma.fields.String(required=True, validate=ma.validate.Length(1, MESSAGE_MAX_LENGTH))


class MessageHeadersSchema(Schema):
    """How to send it."""

    idempotency_key = ma.fields.String(
        data_key="Idempotency-Key",
        validate=[ma.validate.Length(1, 255), ma.validate.Regexp(r"[\x21-\x7e]+\Z")],
        metadata=described("Yours to choose, such as a UUID"),
    )
    prefer = ma.fields.String(
        data_key="Prefer",
        metadata=described("`wait=N`: wait up to N seconds (at most 25) for the reply"),
    )


class MessagesQuerySchema(Schema):
    """A page of messages."""

    after = QueryUuid(metadata=described("The last entry you have"))
    before = QueryUuid(metadata=described("The `nextCursor` of the last page"))
    limit = QueryInteger(load_default=DEFAULT_TURNS_PER_PAGE * 2, validate=ma.validate.Range(1, MAX_PER_PAGE))
    wait = QueryInteger(
        load_default=0,
        validate=ma.validate.Range(0, int(MAX_WAIT.total_seconds())),
        metadata=described("With `after`: seconds to wait for something finished"),
    )


class MessagesSchema(Schema):
    """A page of messages."""

    messages = ma.fields.List(ma.fields.Nested(EntrySchema), required=True, metadata=described("Oldest first"))
    next_cursor = ma.fields.UUID(
        required=True, allow_none=True, metadata=described("Give as `before` to read the older ones")
    )


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


def chat_blueprint(chat: Chat, guard: Guard, places: RequestSlots) -> JsonBlueprint:
    """Everything below /chatroom."""
    blp = JsonBlueprint("chatroom", __name__, url_prefix="/chatroom", description="Talking to the model")

    @blp.route("", methods=["POST"])
    @guard
    @blp.arguments(NewChatroomSchema())
    @blp.response(201, ChatroomSchema)
    def open_chatroom(principal: Principal, body: Body) -> Response:
        """Open a chatroom."""
        room = chat.open_chatroom(user_id=principal.user_id, name=body["name"], system_prompt=body.get("system_prompt"))
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
            turns=_turns(query["limit"]),
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
                "messages": turns_json(chatroom_id, conversation.turns),
                "nextCursor": conversation.next_before,
            }
        )
        return tagged_response(body, entity_tag(body))

    @blp.route("/<uuid:chatroom_id>/messages", methods=["GET"])
    @guard
    @blp.arguments(MessagesQuerySchema(), location="query")
    @blp.response(200, MessagesSchema)
    def read_messages(principal: Principal, query: Body, chatroom_id: UUID) -> Response:
        """The messages and replies before or after one you have, oldest first.

        With `after` and `wait`, the answer comes as soon as a reply after that entry is finished, or when the time is
        up: ask again with the last finished entry. The newest page without either.

        Before and after are places in the conversation, where a reply stands with its message. So another reply to a
        message before the one of `after` is not among these, and not waited for: whoever asks for it with `retry` or
        `regenerate` is told its `Location`, and other devices find it when they read that page again.
        """
        if "after" not in query:
            return _page_before(chat, principal, query, chatroom_id)
        after = MessageId(query["after"])
        with places.given_up():
            turns = chat.poll_messages(
                user_id=principal.user_id,
                chatroom_id=ChatroomId(chatroom_id),
                after=after,
                turns=_turns(query["limit"]) + 1,
                within=min(timedelta(seconds=query["wait"]), MAX_WAIT),
            )
        entries = _entries_after(after, chatroom_id, turns)
        return json_response({"messages": entries[: query["limit"]], "nextCursor": None})

    @blp.route("/<uuid:chatroom_id>/message", methods=["POST"])
    @guard
    @blp.arguments(MessageHeadersSchema(), location="headers")
    @blp.arguments(NewMessageSchema())
    @blp.response(202, SentMessageSchema, description="Accepted: the reply comes later", headers=SENT_HEADERS)
    @blp.alt_response(
        201,
        schema=AnsweredMessageSchema,
        description="Accepted, and the reply is finished: with `Prefer: wait=N`",
        headers=SENT_HEADERS,
        success=True,
    )
    def send_message(principal: Principal, headers: Body, body: Body, chatroom_id: UUID) -> Response:
        """Send a message; the model's reply comes later.

        From this answer on there will be exactly one reply, or one clear failure that costs nothing. With an
        `Idempotency-Key` the request can be repeated without sending the message twice: for 24 hours the same key gets
        the same answer. 429 `daily_quota_exceeded` with `Retry-After` when the day's prompts are used up; 409
        `idempotency_key_in_use` and 422 `idempotency_key_reused`; 503 `backlog_full`.
        """
        sent = chat.send_message(
            sender=principal.user_id,
            chatroom_id=ChatroomId(chatroom_id),
            text=body["message"],
            idempotency_key=headers.get("idempotency_key"),
        )
        location = {"Location": entry_path(sent.reply_id), **quota_headers(sent.quota)}
        if sent.repeated:
            location["Idempotent-Replayed"] = "true"
        reply = _reply_within(preferred_wait(), chat, places, sent)
        return json_response(sent_json(sent, reply), 201 if reply else 202, location)

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


def _page_before(chat: Chat, principal: Principal, query: Body, chatroom_id: UUID) -> Response:
    conversation = chat.read_chatroom(
        user_id=principal.user_id,
        chatroom_id=ChatroomId(chatroom_id),
        turns=_turns(query["limit"]),
        before=query.get("before"),
    )
    return json_response(
        {"messages": turns_json(chatroom_id, conversation.turns), "nextCursor": conversation.next_before}
    )


def _entries_after(after: MessageId, chatroom_id: UUID, turns: Sequence[Turn]) -> list[Body]:
    """Of the first turn, which is that of ``after``, only what is newer; of the others everything.

    A newer reply to an older message stands with it: ids alone are not in the order of the conversation.
    """
    first = [entry for entry in turns_json(chatroom_id, turns[:1]) if entry["id"] > after]
    return first + turns_json(chatroom_id, turns[1:])


def _reply_within(within: timedelta, chat: Chat, places: RequestSlots, sent: SentMessage) -> Body | None:
    """The reply if it is finished within the time that the client prefers to wait."""
    if not within:
        return None
    try:
        with places.given_up():
            entry = chat.wait_for_reply(user_id=sent.message.user_id, reply_id=sent.reply_id, within=within)
    except (DependencyDown, TooManyWaiting):
        return None  # the message is accepted, and nobody should send it again
    return reply_json(entry.chatroom_id, entry.turn) if entry.turn.reply_state.final else None


def _turns(entries: int) -> int:
    """A message comes with its reply: so many turns show at least so many entries."""
    return (entries + 1) // 2
