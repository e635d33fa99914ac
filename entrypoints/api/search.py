"""/search: finding chatrooms by name, and messages and replies by their text."""

from typing import Any

import marshmallow as ma
from flask import Response

from application.chat.search import DEFAULT_ENTRIES_PER_PAGE, Found
from application.use_cases import Chat
from domain.accounts import Principal
from domain.search import QUERY_MAX_LENGTH, Passage
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import QueryInteger, QueryUuid, Schema, described

MAX_ENTRIES_PER_PAGE = 50


class MatchSchema(Schema):
    start = ma.fields.Integer(required=True)
    end = ma.fields.Integer(required=True, metadata=described("Behind the last character of the match"))


class PassageSchema(Schema):
    text = ma.fields.String(
        required=True, metadata=described("Plain text on one line; `…` where something was left out")
    )
    matches = ma.fields.List(
        ma.fields.Nested(MatchSchema),
        required=True,
        metadata=described(
            "In characters (Unicode code points: in JavaScript of `[...text]`), and none overlaps another"
        ),
    )


class FoundChatroomSchema(Schema):
    id = ma.fields.UUID(required=True)
    name = ma.fields.Nested(PassageSchema, required=True)
    created_at = ma.fields.AwareDateTime(required=True)
    archived = ma.fields.Boolean(required=True)


class FoundEntrySchema(Schema):
    id = ma.fields.UUID(required=True)
    chatroom_id = ma.fields.UUID(required=True)
    chatroom_name = ma.fields.String(required=True)
    role = ma.fields.String(required=True, validate=ma.validate.OneOf(["user", "bot"]))
    created_at = ma.fields.AwareDateTime(required=True)
    passage = ma.fields.Nested(PassageSchema, required=True)


class FoundSchema(Schema):
    chatrooms = ma.fields.List(
        ma.fields.Nested(FoundChatroomSchema),
        required=True,
        metadata=described("At most 10 whose name matches, the newest first; empty on later pages"),
    )
    messages = ma.fields.List(
        ma.fields.Nested(FoundEntrySchema),
        required=True,
        metadata=described("Messages and replies, the newest first"),
    )
    next_cursor = ma.fields.UUID(
        required=True,
        allow_none=True,
        metadata=described("Send as `cursor` to read the older ones; null when there are none"),
    )
    complete = ma.fields.Boolean(
        required=True,
        metadata=described("false: messages of longer than a minute ago are still being made searchable"),
    )


class SearchQuerySchema(Schema):
    q = ma.fields.String(
        required=True,
        validate=ma.validate.Length(1, QUERY_MAX_LENGTH),
        metadata=described("Words, all of which are looked for; each finds longer words that begin with it"),
    )
    limit = QueryInteger(load_default=DEFAULT_ENTRIES_PER_PAGE, validate=ma.validate.Range(1, MAX_ENTRIES_PER_PAGE))
    cursor = QueryUuid(metadata=described("The `nextCursor` of the last page"))


def search_blueprint(chat: Chat, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Search", __name__, description="Finding what was said")

    @blp.route("/search", methods=["GET"])
    @blp.may_give("search_too_broad")
    @authenticated
    @blp.arguments(SearchQuerySchema(), location="query")
    @blp.response(200, FoundSchema)
    def search_chats(principal: Principal, query: Body) -> Response:
        """Search your chatrooms by name, and your messages and the replies by their text.

        What has all words of `q` is found, in any script: case, accents and the width of characters make no difference.
        Scripts without spaces between words (Chinese, Japanese, Thai) are searched by pairs of neighbouring characters.
        Of each text the first 8,000 characters are searched, and at most 1,000 different words. Chatrooms in the
        archive are searched, too; removed ones are not.

        A message can be found some seconds after it was sent, and a reply some seconds after it was finished. 60
        searches a minute are answered; one that takes longer than two seconds is 422 `search_too_broad`.
        """
        found = chat.search(
            user_id=principal.user_id, text=query["q"], limit=query["limit"], before=query.get("cursor")
        )
        return json_response(_found_json(found))

    return blp


def _found_json(found: Found) -> dict[str, Any]:
    return {
        "chatrooms": [
            {
                "id": room.id,
                "name": _passage_json(name),
                "createdAt": room.created_at,
                "archived": room.archived,
            }
            for room, name in found.chatrooms
        ],
        "messages": [
            {
                "id": entry.id,
                "chatroomId": entry.chatroom_id,
                "chatroomName": entry.chatroom_name,
                "role": "bot" if entry.is_reply else "user",
                "createdAt": entry.created_at,
                "passage": _passage_json(passage),
            }
            for entry, passage in found.entries
        ],
        "nextCursor": found.next_before,
        "complete": found.complete,
    }


def _passage_json(passage: Passage) -> dict[str, Any]:
    return {"text": passage.text, "matches": [{"start": start, "end": end} for start, end in passage.matches]}
