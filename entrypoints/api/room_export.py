"""/chatroom/{id}/export: a chatroom as a document."""

from uuid import UUID

from flask import Response

from application.use_cases import Chat
from domain.accounts import Principal
from domain.chat import ChatroomId
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.downloads import attachment, until_broken_off
from entrypoints.api.room_markdown import markdown_of
from entrypoints.api.schemas import header

MARKDOWN = "text/markdown"

EXAMPLE = """# Tides

*Opened 2026-03-02 09:31:00 UTC, exported 2026-03-02 10:00:00 UTC.*

## You

*2026-03-02 09:32:00 UTC*

> Why are there two tides a day?

## Gemini

*2026-03-02 09:32:05 UTC, gemini-flash-latest*

Because the Moon pulls the near side of the Earth more than its centre, and the far side less.

---

*End of the export: 1 message with its reply.*
"""


def room_export_blueprint(chat: Chat, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Export", __name__, url_prefix="/chatroom", description="A chatroom as a document")

    @blp.route("/<uuid:chatroom_id>/export", methods=["GET"])
    @blp.may_give("chatroom_not_found")
    @authenticated
    @blp.response(
        200,
        {"type": "string"},
        content_type=MARKDOWN,
        description="The document, in UTF-8",
        example=EXAMPLE,
        headers={"Content-Disposition": header("The name of the file, after the chatroom (RFC 6266)")},
    )
    def export_chatroom(principal: Principal, chatroom_id: UUID) -> Response:
        """Export a chatroom as a Markdown document, at most thirty times an hour.

        Below `## You` stands a message, as a block quote; below `## Gemini` the reply that the chatroom shows, as
        Markdown with its headings two levels lower, so that nothing in it can pass for a heading of the document. A
        reply with HTML blocks, or with a list that leaves a code block open, is a block quote, too. Replies that
        failed, were stopped or are not finished say so. What is added while the export runs is not part of it.

        The last line begins with `*End of the export`. When it is missing, the export is incomplete: try again.
        Messages and replies may contain HTML. Treat the document as untrusted input where you show it.
        """
        room = chat.export_chatroom(user_id=principal.user_id, chatroom_id=ChatroomId(chatroom_id))
        return Response(
            until_broken_off(part.encode() for part in markdown_of(room)),
            content_type=f"{MARKDOWN}; charset=utf-8",
            headers={"Content-Disposition": attachment(room.name, extension="md", fallback="chat")},
        )

    return blp
