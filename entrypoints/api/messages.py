"""/message: one message or reply; watching a reply, stopping it, asking for another one."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, request

from application.chat.follow_reply import Delta, Ended, Heartbeat, Reset, StreamEvent
from application.chat.send_message import SentMessage
from application.ports.reply_stream import START, Position
from application.use_cases import Chat
from domain.accounts import Principal
from domain.chat import MessageId
from domain.replies import ReplyState
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.entries import (
    OneEntrySchema,
    PromisedReplySchema,
    SentMessageSchema,
    entry_json,
    entry_path,
    quota_headers,
    reply_json,
    sent_json,
)
from entrypoints.api.responses import entity_tag, json_response, tagged_response, to_json
from entrypoints.api.schemas import Schema
from entrypoints.api.security import Guard
from entrypoints.api.waiting import RequestSlots

# Listeners try again after so long when the connection breaks.
RECONNECT_MILLISECONDS = 1_000

STREAM_DESCRIPTION = """Server-Sent Events of a reply, from its beginning or, with `Last-Event-ID`, from where the
client left off: while it is being written, on any device, and afterwards.

| event | data |
|---|---|
| `delta` | `{"text": …}`: more of the reply |
| `reset` | `{}`: forget the text so far, the reply is being written anew, or nothing of it is kept |
| `done`, `failed`, `cancelled` | the finished reply as in `GET /message/{id}`; the stream ends |

A comment comes at least every few seconds. The stream ends by itself."""


class CancelledSchema(Schema):
    """What becomes of the reply."""

    reply = ma.fields.Nested(PromisedReplySchema, required=True)


def messages_blueprint(chat: Chat, guard: Guard, places: RequestSlots) -> JsonBlueprint:
    """Everything below /message. An id is a message's, then its newest reply is meant, or a reply's own."""
    blp = JsonBlueprint("message", __name__, url_prefix="/message", description="Messages and replies")

    @blp.route("/<uuid:entry_id>", methods=["GET"])
    @guard
    @blp.response(200, OneEntrySchema, headers={"ETag": {"schema": {"type": "string"}}})
    @blp.alt_response(304, description="Not modified: you have it", success=True)
    def read_entry(principal: Principal, entry_id: UUID) -> Response:
        """One message, or one reply."""
        entry = chat.read_entry(user_id=principal.user_id, entry_id=MessageId(entry_id))
        body = to_json(entry_json(entry_id, entry))
        return tagged_response(body, entity_tag(body))

    @blp.route("/<uuid:entry_id>/stream", methods=["GET"])
    @guard
    @blp.response(200, {"type": "string"}, content_type="text/event-stream", description=STREAM_DESCRIPTION)
    def follow_reply(principal: Principal, entry_id: UUID) -> Response:
        """Watch a reply being written."""
        events = chat.follow_reply(user_id=principal.user_id, entry_id=MessageId(entry_id), after=_last_position())
        return places.kept_open(
            Response(
                _server_sent(events),
                mimetype="text/event-stream",
                # nginx and its like would hold the chunks back.
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        )

    @blp.route("/<uuid:entry_id>/cancel", methods=["POST"])
    @guard
    @blp.response(202, CancelledSchema)
    def cancel(principal: Principal, entry_id: UUID) -> Response:
        """Stop a reply.

        One that has not begun is `cancelled` at once and costs nothing. One that is `running` stops within a second and
        keeps what there is of it. 409 `reply_finished` when there is nothing to stop.
        """
        reply_id, state = chat.cancel_reply(user_id=principal.user_id, entry_id=MessageId(entry_id))
        return json_response(
            {"reply": {"id": reply_id, "status": state.value}}, 202, {"Location": entry_path(reply_id)}
        )

    @blp.route("/<uuid:entry_id>/retry", methods=["POST"])
    @guard
    @blp.response(202, SentMessageSchema)
    def retry(principal: Principal, entry_id: UUID) -> Response:
        """Ask once more after a reply that failed or was cancelled.

        The failure gave its prompt back and the retry takes it again: an answered message costs one prompt in all.
        `Location` is the new reply. 409 `reply_not_failed` otherwise.
        """
        return _asked_again(chat.ask_again.retry(user_id=principal.user_id, entry_id=MessageId(entry_id)))

    @blp.route("/<uuid:entry_id>/regenerate", methods=["POST"])
    @guard
    @blp.response(202, SentMessageSchema)
    def regenerate(principal: Principal, entry_id: UUID) -> Response:
        """Ask for another reply to the same message, charged as a prompt.

        The newest reply shows in the chatroom, in the place of the one before; the older ones stay readable by their
        ids. `Location` is the new one. 409 `reply_not_done` unless the newest is done.
        """
        return _asked_again(chat.ask_again.regenerate(user_id=principal.user_id, entry_id=MessageId(entry_id)))

    return blp


def _asked_again(sent: SentMessage) -> Response:
    headers = {"Location": entry_path(sent.reply_id), **quota_headers(sent.quota)}
    return json_response(sent_json(sent), 202, headers)


def _last_position() -> Position:
    run, _, characters = request.headers.get("Last-Event-ID", "").partition("-")
    if run.isascii() and run.isdigit() and characters.isascii() and characters.isdigit() and len(run + characters) < 20:
        return Position(int(run), int(characters))
    return START


def _server_sent(events: Iterator[StreamEvent]) -> Iterator[bytes]:
    """Events in the format of html.spec.whatwg.org, section 9.2."""
    yield b"retry: %d\n\n" % RECONNECT_MILLISECONDS
    for event in events:
        match event:
            case Delta(position, text):
                yield _event("delta", {"text": text}, position)
            case Reset(position):
                yield _event("reset", {}, position)
            case Ended(position, entry):
                yield _event(_ENDINGS[entry.turn.reply_state], reply_json(entry.chatroom_id, entry.turn), position)
            case Heartbeat():
                yield b": still here\n\n"


_ENDINGS = {
    ReplyState.DONE: "done",
    ReplyState.FAILED: "failed",
    ReplyState.CANCELLED: "cancelled",
}


def _event(name: str, data: dict[str, Any], position: Position) -> bytes:
    # JSON has no line breaks of its own: one line of data.
    return b"id: %d-%d\nevent: %s\ndata: %s\n\n" % (*position, name.encode(), to_json(data))
