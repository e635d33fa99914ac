"""/chatroom: opening, listing, reading, changing and removing chatrooms."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from application.chat.chatrooms import DEFAULT_ROOMS_PER_PAGE, DEFAULT_TURNS_PER_PAGE, ListedRooms
from application.ports.reader import ChatroomSummary, Conversation, RoomCursor, RoomPage
from application.unset import UNSET
from application.use_cases import Auth, Chat
from domain.accounts import Principal
from domain.chat import CHATROOM_NAME_MAX_LENGTH, SYSTEM_PROMPT_MAX_LENGTH, Chatroom, ChatroomId
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.entries import MAX_PER_PAGE, PAGE_DESCRIPTION, EntrySchema, turns_for, turns_json
from entrypoints.api.idempotency import REPLAYED_HEADER, IdempotencyHeadersSchema, replayed
from entrypoints.api.responses import entity_tag, json_response, tagged_json, tagged_response, to_json
from entrypoints.api.schemas import (
    ETAG,
    QueryBoolean,
    QueryInteger,
    QueryUuid,
    Schema,
    StrictBoolean,
    described,
    header,
)

# Stands before the id in a cursor that is a place among the pinned chatrooms.
PINNED_PREFIX = "pinned-"
# In Python, other than in JavaScript, ``$`` is also before a line break at the end.
ROOM_CURSOR = rf"^(?!.*\n)({PINNED_PREFIX})?[0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}$"


class NewChatroomSchema(Schema):
    name = ma.fields.String(
        validate=ma.validate.Length(1, CHATROOM_NAME_MAX_LENGTH),
        metadata=described("Without a name, the first message gives it one"),
    )
    system_prompt = ma.fields.String(
        allow_none=True,
        validate=ma.validate.Length(1, SYSTEM_PROMPT_MAX_LENGTH),
        metadata=described("Sent to the model with every message of the chatroom"),
    )


class ChangedChatroomSchema(Schema):
    """Members that are not given stay unchanged."""

    name = ma.fields.String(validate=ma.validate.Length(1, CHATROOM_NAME_MAX_LENGTH))
    system_prompt = ma.fields.String(
        allow_none=True,
        validate=ma.validate.Length(1, SYSTEM_PROMPT_MAX_LENGTH),
        metadata=described("null removes it"),
    )
    pinned = StrictBoolean(
        metadata=described("Whether it stands in front of the others in the list; true takes it out of the archive")
    )
    archived = StrictBoolean(
        metadata=described("Whether it is in the archive, and in the list only there; true takes the pin away")
    )


class ChatroomSummarySchema(Schema):
    id = ma.fields.UUID(required=True)
    name = ma.fields.String(
        required=True, metadata=described("Empty until the first message, where the chatroom was opened without a name")
    )
    created_at = ma.fields.AwareDateTime(required=True)
    updated_at = ma.fields.AwareDateTime(required=True)
    pinned = ma.fields.Boolean(required=True)
    archived = ma.fields.Boolean(required=True)


class ChatroomSchema(ChatroomSummarySchema):
    system_prompt = ma.fields.String(required=True, allow_none=True)


class ConversationSchema(ChatroomSchema):
    messages = ma.fields.List(ma.fields.Nested(EntrySchema), required=True, metadata=described("Oldest first"))
    next_cursor = ma.fields.UUID(
        required=True,
        allow_none=True,
        metadata=described("Send as `cursor` to read the older messages; null when there are none"),
    )


class ChatroomsQuerySchema(Schema):
    limit = QueryInteger(load_default=DEFAULT_ROOMS_PER_PAGE, validate=ma.validate.Range(1, MAX_PER_PAGE))
    cursor = ma.fields.String(
        validate=ma.validate.Regexp(ROOM_CURSOR, error="Not a cursor of this list."),
        metadata=described("From the `Link` of the last page"),
    )
    archived = QueryBoolean(load_default=False, metadata=described("true: the chatrooms in the archive, and no others"))


class ConversationQuerySchema(Schema):
    limit = QueryInteger(
        load_default=DEFAULT_TURNS_PER_PAGE * 2,
        validate=ma.validate.Range(1, MAX_PER_PAGE),
        metadata=described(f"{PAGE_DESCRIPTION}. A message always comes with its reply"),
    )
    cursor = QueryUuid(metadata=described("The `nextCursor` of the last page"))


def chatrooms_blueprint(chat: Chat, auth: Auth, authenticated: Authenticated) -> JsonBlueprint:
    def with_page(token: str, query: Body, *, chatroom_id: UUID) -> tuple[Principal, Conversation | None]:
        return auth.authenticate_with_conversation(token, **_page(query, chatroom_id))

    blp = JsonBlueprint("Chatrooms", __name__, url_prefix="/chatroom", description="Conversations with the model")

    @blp.route("", methods=["POST"])
    @blp.may_give("too_many_chatrooms")
    @authenticated
    @blp.arguments(IdempotencyHeadersSchema(), location="headers")
    @blp.arguments(NewChatroomSchema())
    @blp.response(201, ChatroomSummarySchema, headers={"Location": header("Path of the chatroom"), **REPLAYED_HEADER})
    def create_chatroom(principal: Principal, headers: Body, body: Body) -> Response:
        """Open a chatroom.

        A chatroom is a conversation: its messages and replies are sent to the model together. `Location` is its path.
        Without a `name` it is called after its first message, as soon as there is one.

        With an `Idempotency-Key` the request can be repeated: for 24 hours, and while the chatroom is there, the same
        key gets the same response.
        """
        opened = chat.open_chatroom(
            user_id=principal.user_id,
            name=body.get("name"),
            system_prompt=body.get("system_prompt"),
            idempotency_key=headers.get("idempotency_key"),
        )
        room = opened.chatroom
        return json_response(
            _summary_json(room),
            201,
            {"Location": f"/chatroom/{room.id}", **replayed(opened.repeated)},
        )

    @blp.route("", methods=["GET"])
    @authenticated.with_(auth.authenticate_with_list_version)
    @blp.arguments(ChatroomsQuerySchema(), location="query")
    @blp.response(
        200,
        ChatroomSummarySchema(many=True),
        headers={
            "X-Cache": header("`hit` or `miss`"),
            "Link": header('`rel="next"`: the next page; absent on the last one'),
            **ETAG,
        },
    )
    @blp.alt_response(304, description="Not modified: you have this page", success=True)
    def list_chatrooms(principal: Principal, version: int, query: Body) -> Response:
        """List your chatrooms: the pinned ones first, then the others, each newest first.

        Chatrooms in the archive are left out; `archived=true` lists those alone. The first page is cached; you always
        see your own changes. `Link` leads to the next page.
        """
        listed = chat.list_chatrooms(
            user_id=principal.user_id,
            version=version,
            render=_render_page,
            limit=query["limit"],
            before=_room_cursor(query.get("cursor")),
            archived=query["archived"],
        )
        return _page_response(listed, query)

    @blp.route("/<uuid:chatroom_id>", methods=["GET"])
    @blp.may_give("chatroom_not_found")
    @blp.arguments(ConversationQuerySchema(), location="query")
    @authenticated.with_(with_page)
    @blp.response(200, ConversationSchema, headers=ETAG)
    @blp.alt_response(304, description="Not modified: you have this page", success=True)
    def get_chatroom(principal: Principal, found: Conversation | None, query: Body, *, chatroom_id: UUID) -> Response:
        """Read a chatroom and its newest messages and replies, oldest first.

        Every message comes with one reply, as in `GET /chatroom/{chatroomId}/messages` without `after`.
        """
        conversation = chat.read_chatroom(user_id=principal.user_id, found=found, **_page(query, chatroom_id))
        return tagged_json(
            {
                **_chatroom_json(conversation),
                "messages": turns_json(chatroom_id, conversation.turns),
                "nextCursor": conversation.next_before,
            }
        )

    @blp.route("/<uuid:chatroom_id>", methods=["PATCH"])
    @blp.may_give("chatroom_not_found", "too_many_pinned")
    @authenticated
    @blp.arguments(ChangedChatroomSchema())
    @blp.response(200, ChatroomSchema)
    def update_chatroom(principal: Principal, body: Body, chatroom_id: UUID) -> Response:
        """Rename a chatroom, change its system prompt, pin or archive it.

        Members that are not given stay unchanged. A new system prompt holds from the next message on. A chatroom is
        pinned or archived, not both: the one that is asked for ends the other. 20 may be pinned: 409 `too_many_pinned`.
        A message in one that is archived takes it out of the archive.
        """
        room = chat.change_chatroom(
            user_id=principal.user_id,
            chatroom_id=ChatroomId(chatroom_id),
            name=body.get("name", UNSET),
            system_prompt=body.get("system_prompt", UNSET),
            pinned=body.get("pinned", UNSET),
            archived=body.get("archived", UNSET),
        )
        return json_response(_chatroom_json(room))

    @blp.route("/<uuid:chatroom_id>", methods=["DELETE"])
    @blp.may_give("chatroom_not_found")
    @authenticated
    @blp.response(204)
    def delete_chatroom(principal: Principal, chatroom_id: UUID) -> Response:
        """Remove a chatroom with its messages and replies.

        Replies that are being written stop, and cost their prompt; those that have not begun cost nothing.
        """
        chat.remove_chatroom(user_id=principal.user_id, chatroom_id=ChatroomId(chatroom_id))
        return Response(status=204)

    return blp


def _page(query: Body, chatroom_id: UUID) -> dict[str, Any]:
    return {
        "chatroom_id": ChatroomId(chatroom_id),
        "turns": turns_for(query["limit"]),
        "before": query.get("cursor"),
    }


def _summary_json(room: Chatroom | Conversation | ChatroomSummary) -> dict[str, Any]:
    return {
        "id": room.id,
        "name": room.name,
        "createdAt": room.created_at,
        "updatedAt": room.updated_at,
        "pinned": room.pinned,
        "archived": room.archived,
    }


def _chatroom_json(room: Chatroom | Conversation) -> dict[str, Any]:
    return {**_summary_json(room), "systemPrompt": room.system_prompt}


def _render_page(page: RoomPage) -> bytes:
    """A page in the form in which it is cached: a line with its entity tag and the next cursor, then the body."""
    body = to_json([_summary_json(room) for room in page.rooms])
    return f"{entity_tag(body)} {_cursor_text(page.next_before)}\n".encode() + body


def _room_cursor(text: str | None) -> RoomCursor | None:
    if text is None:
        return None
    return RoomCursor(ChatroomId(UUID(text.removeprefix(PINNED_PREFIX))), pinned=text.startswith(PINNED_PREFIX))


def _cursor_text(cursor: RoomCursor | None) -> str:
    return "" if cursor is None else f"{PINNED_PREFIX if cursor.pinned else ''}{cursor.id}"


def _page_response(listed: ListedRooms, query: Body) -> Response:
    head, _, body = listed.page.partition(b"\n")
    tag, _, next_before = head.decode().partition(" ")
    headers = {"X-Cache": "hit" if listed.from_cache else "miss"}
    if next_before:
        which = "&archived=true" if query["archived"] else ""
        headers["Link"] = f'</chatroom?limit={query["limit"]}{which}&cursor={next_before}>; rel="next"'
    return tagged_response(body, tag, headers)
