"""/chatroom/{id}/message(s) and /message: sending and reading messages; watching, cancelling and repeating replies.

An entry is a message of the user or a reply of the model. `/message/{id}` takes the id of either; the id of a message
stands for its newest reply where an operation is about replies.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import marshmallow as ma
from flask import Response, request

from application.chat.chatrooms import DEFAULT_TURNS_PER_PAGE
from application.chat.follow_reply import Waiting
from application.chat.list_replies import DEFAULT_REPLIES_PER_PAGE
from application.chat.send_message import SentMessage
from application.ports.reader import Entry, MessageEntry, ReplyEntry
from application.use_cases import Chat
from domain.accounts import Principal, UserId
from domain.chat import MESSAGE_MAX_LENGTH, ChatroomId, MessageId
from domain.errors import ChatroomNotFound, DependencyDown, MessageNotFound
from domain.plans import DailyQuota
from domain.replies import ReplyId, ReplyState
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.entries import (
    MAX_PER_PAGE,
    PAGE_DESCRIPTION,
    EntrySchema,
    OneEntrySchema,
    added_json,
    entry_json,
    message_json,
    reply_json,
    turns_for,
    turns_json,
)
from entrypoints.api.idempotency import REPLAYED_HEADER, IdempotencyHeadersSchema, replayed
from entrypoints.api.reply_events import (
    LAST_EVENT_ID,
    REPLY_EVENT,
    STREAM_DESCRIPTION,
    is_end,
    last_event,
    server_sent,
)
from entrypoints.api.responses import json_response, rate_limit_headers, tagged_json
from entrypoints.api.schemas import ETAG, QueryInteger, QueryUuid, QuotaSchema, Schema, described, header, quota_json
from entrypoints.api.waiting import MAX_WAIT, TooManyWaiting, WaitingPlaces, preferred_wait, stream, wait_for

# As many answers as the largest page of a conversation has.
MAX_REPLIES_PER_PAGE = 50

# Key of the WSGI environ: the message that a request has sent, while it waits for the reply.
SENT = "gemini_chat.sent"

# Problems of everything that costs a prompt.
REFUSED_PROMPTS = ("daily_quota_exceeded", "too_many_unfinished_replies", "backlog_full")

SENT_HEADERS = {
    "Location": header("Path of the reply"),
    **REPLAYED_HEADER,
}


class NewMessageSchema(Schema):
    message = ma.fields.String(required=True, validate=ma.validate.Length(1, MESSAGE_MAX_LENGTH))


class MessageHeadersSchema(IdempotencyHeadersSchema):
    prefer = ma.fields.String(
        data_key="Prefer",
        metadata=described("`wait=N`: wait up to N seconds (at most 25) for the reply"),
    )


class MessagesQuerySchema(Schema):
    after = QueryUuid(metadata=described("The last entry you have"))
    before = QueryUuid(metadata=described("The `nextCursor` of the last page"))
    limit = QueryInteger(
        load_default=DEFAULT_TURNS_PER_PAGE * 2,
        validate=ma.validate.Range(1, MAX_PER_PAGE),
        metadata=described(PAGE_DESCRIPTION),
    )
    wait = QueryInteger(
        load_default=0,
        validate=ma.validate.Range(0, int(MAX_WAIT.total_seconds())),
        metadata=described("With `after`: seconds to wait for a finished entry"),
    )


class MessagesSchema(Schema):
    messages = ma.fields.List(ma.fields.Nested(EntrySchema), required=True, metadata=described("Oldest first"))
    next_cursor = ma.fields.UUID(
        required=True, allow_none=True, metadata=described("Send as `before` to read the older messages")
    )


class RepliesQuerySchema(Schema):
    limit = QueryInteger(
        load_default=DEFAULT_REPLIES_PER_PAGE,
        validate=ma.validate.Range(1, MAX_REPLIES_PER_PAGE),
        metadata=described(PAGE_DESCRIPTION),
    )
    cursor = QueryUuid(metadata=described("The `nextCursor` of the last page"))


class RepliesSchema(Schema):
    replies = ma.fields.List(ma.fields.Nested(EntrySchema), required=True, metadata=described("Oldest first"))
    next_cursor = ma.fields.UUID(
        required=True,
        allow_none=True,
        metadata=described("Send as `cursor` to read the newer ones; null when there are none"),
    )


class ReplyStatusSchema(Schema):
    id = ma.fields.UUID(required=True)
    status = ma.fields.Enum(ReplyState, by_value=True, required=True)


class SentMessageSchema(Schema):
    message = ma.fields.Nested(EntrySchema, required=True)
    reply = ma.fields.Nested(ReplyStatusSchema, required=True)
    quota = ma.fields.Nested(QuotaSchema, required=True)
    chatroom_name = ma.fields.String(
        metadata=described("The name that the chatroom got from this message; absent where it has a name already")
    )
    links = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class AnsweredMessageSchema(SentMessageSchema):
    reply = ma.fields.Nested(EntrySchema, required=True)


class CancelledSchema(Schema):
    reply = ma.fields.Nested(ReplyStatusSchema, required=True)


def messages_blueprint(chat: Chat, authenticated: Authenticated, places: WaitingPlaces) -> JsonBlueprint:
    blp = JsonBlueprint("Messages", __name__, description="Messages and the model's replies")

    @blp.route("/chatroom/<uuid:chatroom_id>/message", methods=["POST"])
    @blp.may_give("chatroom_not_found", "too_many_messages", *REFUSED_PROMPTS)
    @authenticated
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

        Once this is accepted there will be exactly one reply, or one clear failure that costs nothing. With an
        `Idempotency-Key` the request can be repeated without sending the message twice: for 24 hours the same key gets
        the same response. 429 `daily_quota_exceeded` with `Retry-After` when the day's prompts are used up; 409
        `idempotency_key_in_use` and 422 `idempotency_key_reused`; 409 `too_many_messages` when you keep as many as one
        user may; 503 `backlog_full`. With `Prefer: wait`, 404 `chatroom_not_found` when the chatroom is removed before
        there is a reply; a prompt for which the model was not asked is given back.

        A chatroom that was opened without a name gets one from its first message: `chatroomName`, its first sentence in
        at most 60 characters.
        """
        # A request that waits for the reply comes here again; its message is accepted once.
        sent = request.environ.get(SENT) or chat.send_message(
            sender=principal.user_id,
            chatroom_id=ChatroomId(chatroom_id),
            text=body["message"],
            idempotency_key=headers.get("idempotency_key"),
        )
        request.environ[SENT] = sent
        reply = _wait_for_reply(chat, places, sent, within=preferred_wait())
        return json_response(_sent_json(sent, reply), 201 if reply else 202, _sent_headers(sent))

    @blp.route("/chatroom/<uuid:chatroom_id>/messages", methods=["GET"])
    @blp.may_give("chatroom_not_found", "too_many_waiting")
    @authenticated
    @blp.arguments(MessagesQuerySchema(), location="query")
    @blp.response(200, MessagesSchema)
    def list_messages(principal: Principal, query: Body, chatroom_id: UUID) -> Response:
        """Read the messages and replies before or after an entry, oldest first; without either, the newest.

        Without `after`, every message stands with one reply: the newest that is done, or else the newest that was
        stopped and has text, or else the newest. `latestAttempt` tells of a newer one.

        With `after`, the entries come in the order in which they were added to the chatroom, each once, also those of
        `retry` and `regenerate`; `replyTo` names the message that a reply belongs to. With `wait`, the response comes
        as soon as a reply of them is finished, or when the time is up. Then ask again with the last entry before the
        first that is not finished. An id that is no entry of this chatroom is taken as a moment.
        """
        if "after" not in query:
            return _page_before(chat, principal, query, chatroom_id)
        entries = _poll_messages(chat, places, principal, query, chatroom_id)
        return json_response({"messages": [added_json(chatroom_id, one) for one in entries], "nextCursor": None})

    @blp.route("/message/<uuid:entry_id>", methods=["GET"])
    @blp.may_give("message_not_found")
    @authenticated
    @blp.response(200, OneEntrySchema, headers=ETAG)
    @blp.alt_response(304, description="Not modified: you have it", success=True)
    def get_message(principal: Principal, entry_id: UUID) -> Response:
        """Read one message or one reply.

        A message lists the ids of all its replies. To wait for a reply, watch its stream rather than asking again.
        """
        entry = chat.read_entry(user_id=principal.user_id, entry_id=MessageId(entry_id))
        return tagged_json(entry_json(entry_id, entry))

    @blp.route("/message/<uuid:entry_id>/replies", methods=["GET"])
    @blp.may_give("message_not_found")
    @authenticated
    @blp.arguments(RepliesQuerySchema(), location="query")
    @blp.response(200, RepliesSchema, headers=ETAG)
    @blp.alt_response(304, description="Not modified: you have this page", success=True)
    def list_replies(principal: Principal, query: Body, entry_id: UUID) -> Response:
        """List every reply to a message, oldest first, also those that failed or are being written.

        The older answers, which `retry` and `regenerate` have left behind. By the id of the message, or by that of any
        reply to it.
        """
        page = chat.list_replies(
            user_id=principal.user_id,
            entry_id=MessageId(entry_id),
            limit=query["limit"],
            after=ReplyId(query["cursor"]) if "cursor" in query else None,
        )
        replies = [reply_json(page.chatroom_id, reply) for reply in page.replies]
        return tagged_json({"replies": replies, "nextCursor": page.next_after})

    @blp.route("/message/<uuid:entry_id>/stream", methods=["GET"])
    @blp.may_give("message_not_found", "too_many_waiting")
    @authenticated
    @blp.doc(parameters=[LAST_EVENT_ID])
    @blp.response(200, REPLY_EVENT, content_type="text/event-stream", description=STREAM_DESCRIPTION)
    @blp.alt_response(204, description="You have it to its end: do not connect again", success=True)
    def stream_reply(principal: Principal, entry_id: UUID) -> Response:
        """Watch a reply being written.

        Every device can watch, as often as it likes; a client whose connection breaks goes on where it was. An
        `EventSource` cannot send a token: read the stream with `fetch`, or with an SSE library that sends headers.
        """
        return _stream_response(chat, places, principal.user_id, MessageId(entry_id))

    @blp.route("/message/<uuid:entry_id>/cancel", methods=["POST"])
    @blp.may_give("message_not_found", "reply_finished")
    @authenticated
    @blp.response(202, CancelledSchema, headers={"Location": header("Path of the reply")})
    def cancel_reply(principal: Principal, entry_id: UUID) -> Response:
        """Cancel a reply.

        A reply that is `queued` is `cancelled` at once and costs nothing. One that is `running` stops within a second,
        keeps the text written so far, and costs its prompt even if there is none: the model was asked. 409
        `reply_finished` when it is finished already.
        """
        reply_id, state = chat.cancel_reply(user_id=principal.user_id, entry_id=MessageId(entry_id))
        return json_response(
            {"reply": {"id": reply_id, "status": state.value}}, 202, {"Location": _entry_path(reply_id)}
        )

    @blp.route("/message/<uuid:entry_id>/retry", methods=["POST"])
    @blp.may_give("message_not_found", "reply_not_failed", *REFUSED_PROMPTS)
    @authenticated
    @blp.arguments(IdempotencyHeadersSchema(), location="headers")
    @blp.response(202, SentMessageSchema, headers=SENT_HEADERS)
    def retry_reply(principal: Principal, headers: Body, entry_id: UUID) -> Response:
        """Ask for a new reply after one that failed or was cancelled.

        The retry is charged. What failed was refunded, and so was what was cancelled before the model was asked, so an
        answered message costs one prompt in all unless you cancelled a reply that was being written.
        `Location` is the new reply. 409 `reply_not_failed` otherwise.
        """
        sent = chat.ask_again.retry(
            user_id=principal.user_id,
            entry_id=MessageId(entry_id),
            idempotency_key=headers.get("idempotency_key"),
        )
        return json_response(_sent_json(sent), 202, _sent_headers(sent))

    @blp.route("/message/<uuid:entry_id>/regenerate", methods=["POST"])
    @blp.may_give("message_not_found", "reply_not_done", *REFUSED_PROMPTS)
    @authenticated
    @blp.arguments(IdempotencyHeadersSchema(), location="headers")
    @blp.response(202, SentMessageSchema, headers=SENT_HEADERS)
    def regenerate_reply(principal: Principal, headers: Body, entry_id: UUID) -> Response:
        """Ask for another reply to an answered message; it is charged as a prompt.

        The chatroom shows the answer that there is until the new one is done; the older replies can still be read by
        their ids. `Location` is the new reply. 409 `reply_not_done` when there is no answer yet, or another attempt is
        under way.
        """
        sent = chat.ask_again.regenerate(
            user_id=principal.user_id,
            entry_id=MessageId(entry_id),
            idempotency_key=headers.get("idempotency_key"),
        )
        return json_response(_sent_json(sent), 202, _sent_headers(sent))

    return blp


# --- Pages of messages ---


def _page_before(chat: Chat, principal: Principal, query: Body, chatroom_id: UUID) -> Response:
    conversation = chat.read_chatroom(
        user_id=principal.user_id,
        chatroom_id=ChatroomId(chatroom_id),
        turns=turns_for(query["limit"]),
        before=query.get("before"),
    )
    return json_response(
        {"messages": turns_json(chatroom_id, conversation.turns), "nextCursor": conversation.next_before}
    )


# --- Waiting and streaming ---


def _poll_messages(
    chat: Chat, places: WaitingPlaces, principal: Principal, query: Body, chatroom_id: UUID
) -> Sequence[MessageEntry | ReplyEntry]:
    def poll(within: timedelta) -> Waiting[Sequence[MessageEntry | ReplyEntry]]:
        return chat.poll_messages(
            user_id=principal.user_id,
            chatroom_id=ChatroomId(chatroom_id),
            after=MessageId(query["after"]),
            limit=query["limit"],
            within=within,
        )

    return wait_for(places, principal.user_id, poll, within=min(timedelta(seconds=query["wait"]), MAX_WAIT))


def _wait_for_reply(chat: Chat, places: WaitingPlaces, sent: SentMessage, *, within: timedelta) -> Body | None:
    """The reply if it is finished within the time that the client prefers to wait.

    Raises ChatroomNotFound when the chatroom is removed meanwhile: there will be no reply.
    """
    if not within:
        return None
    user_id = sent.message.user_id

    def wait(within: timedelta) -> Waiting[Entry]:
        return chat.wait_for_reply(user_id=user_id, reply_id=sent.reply_id, within=within)

    try:
        entry = wait_for(places, user_id, wait, within=within)
    except (DependencyDown, TooManyWaiting):
        # The message is accepted: an error would make the client send it again.
        return None
    except MessageNotFound:
        raise ChatroomNotFound from None
    return reply_json(entry.chatroom_id, entry.turn) if entry.turn.reply_state.final else None


def _stream_response(chat: Chat, places: WaitingPlaces, user_id: UserId, entry_id: MessageId) -> Response:
    after, ended = last_event()
    if ended and is_end(chat.read_entry(user_id=user_id, entry_id=entry_id), after):
        return Response(status=204)
    events = chat.follow_reply(user_id=user_id, entry_id=entry_id, after=after)
    response = Response(
        mimetype="text/event-stream",
        # Without X-Accel-Buffering, nginx and other proxies hold chunks back.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    return stream(places, user_id, server_sent(events), response)


# --- Presentation ---


def _sent_json(sent: SentMessage, reply: Body | None = None) -> Body:
    """As SentMessageSchema describes it; with the finished ``reply``, as AnsweredMessageSchema does."""
    message = sent.message
    named = {} if sent.title is None else {"chatroomName": sent.title}
    return {
        "message": message_json(message.chatroom_id, MessageEntry(message.id, message.content, message.created_at)),
        "reply": reply or {"id": sent.reply_id, "status": ReplyState.QUEUED.value},
        "quota": quota_json(sent.quota),
        **named,
        "links": {
            "chatroom": f"/chatroom/{message.chatroom_id}",
            "reply": _entry_path(sent.reply_id),
            "stream": f"{_entry_path(sent.reply_id)}/stream",
        },
    }


def _sent_headers(sent: SentMessage) -> dict[str, str]:
    return {"Location": _entry_path(sent.reply_id), **_quota_headers(sent.quota), **replayed(sent.repeated)}


def _entry_path(entry_id: UUID) -> str:
    return f"/message/{entry_id}"


def _quota_headers(quota: DailyQuota) -> dict[str, str]:
    if quota.limit is None or quota.remaining is None:
        return {}
    return rate_limit_headers(limit=quota.limit, remaining=quota.remaining, resets_at=quota.resets_at)
