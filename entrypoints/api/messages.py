"""/chatroom/{id}/message(s) and /message: sending and reading messages; watching, cancelling and repeating replies.

An entry is a message of the user or a reply of the model. `/message/{id}` takes the id of either; the id of a message
stands for its newest reply where an operation is about replies.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, request

from application.chat.chatrooms import DEFAULT_TURNS_PER_PAGE
from application.chat.follow_reply import Delta, Ended, Heartbeat, Removed, Reset, Stream, Wait, Waiting
from application.chat.list_replies import DEFAULT_REPLIES_PER_PAGE
from application.chat.send_message import SentMessage
from application.ports.reader import Entry, MessageEntry, ReplyEntry, Turn
from application.ports.reply_stream import START, Chunk, Position
from application.use_cases import Chat
from domain.accounts import Principal, UserId
from domain.chat import MESSAGE_MAX_LENGTH, ChatroomId, MessageId
from domain.errors import ChatroomNotFound, DependencyDown, MessageNotFound
from domain.plans import DailyQuota
from domain.replies import FailureReason, ReplyId, ReplyState
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.feedback import FeedbackSchema, feedback_json
from entrypoints.api.idempotency import REPLAYED_HEADER, IdempotencyHeadersSchema, replayed
from entrypoints.api.reply_events import LAST_EVENT_ID, REPLY_EVENT, STREAM_DESCRIPTION
from entrypoints.api.responses import entity_tag, json_response, rate_limit_headers, tagged_response, to_json
from entrypoints.api.schemas import ETAG, QueryInteger, QueryUuid, QuotaSchema, Schema, described, header, quota_json
from entrypoints.api.waiting import MAX_WAIT, TooManyWaiting, WaitingPlaces, preferred_wait, stream, wait_for

MAX_PER_PAGE = 100
# As many answers as the largest page of a conversation has.
MAX_REPLIES_PER_PAGE = 50

# Key of the WSGI environ: the message that a request has sent, while it waits for the reply.
SENT = "gemini_chat.sent"

# After a broken connection, browsers reconnect after this time.
RECONNECT_MILLISECONDS = 1_000

# Longer positions in a Last-Event-ID are none of ours.
MAX_POSITION_DIGITS = 20

# Of the id of the event that ends a stream, so that it differs from that of the text before it.
END_SUFFIX = "-end"

FAILURE_DETAILS = {
    FailureReason.MODEL_BUSY: "The model was too busy to answer. Ask again in a minute. Your prompt was not counted.",
    FailureReason.MODEL_UNREACHABLE: "The model could not be reached. Ask again later. Your prompt was not counted.",
    FailureReason.MODEL_REJECTED_REQUEST: "The model did not accept the request. Your prompt was not counted.",
    FailureReason.MODEL_NOT_FOUND: "The model is not available. Your prompt was not counted.",
    FailureReason.MODEL_MISCONFIGURED: (
        "The service may not use the model until its operator has mended that. Your prompt was not counted."
    ),
    FailureReason.PROMPT_TOO_LONG: (
        "The message is too long for the model. Shorten it, or send it in parts. Your prompt was not counted."
    ),
    FailureReason.REFUSED: "The model declined to answer this. Your prompt was not counted.",
    FailureReason.ANSWER_INTERRUPTED: "The model broke its answer off. Ask again. Your prompt was not counted.",
    FailureReason.EMPTY_ANSWER: (
        "The model had nothing to say to this. Ask again, or in other words. Your prompt was not counted."
    ),
    FailureReason.DEADLINE_EXCEEDED: "There was no answer in time. Ask again later. Your prompt was not counted.",
    FailureReason.ATTEMPTS_EXHAUSTED: "The answer failed several times. Ask again later. Your prompt was not counted.",
    FailureReason.NOT_STORABLE: "The answer could not be kept. Your prompt was not counted.",
    FailureReason.GIVEN_UP: "The answer was given up. Your prompt was not counted.",
}

# Problems of everything that costs a prompt.
REFUSED_PROMPTS = ("daily_quota_exceeded", "too_many_unfinished_replies", "backlog_full")

SENT_HEADERS = {
    "Location": header("Path of the reply"),
    **REPLAYED_HEADER,
}

FAILURE_CODE_DESCRIPTION = """Why there is no reply. None of them counts as a prompt.

| code | | what helps |
|---|---|---|
| `model_busy`, `model_unreachable` | the model is overloaded or down | `/retry` later |
| `deadline_exceeded`, `attempts_exhausted` | no answer came in time, or only failures | `/retry` later |
| `answer_interrupted`, `empty_answer` | the answer broke off, or was empty, each time | `/retry`, or other words |
| `prompt_too_long` | the model takes no message of this length | a shorter message |
| `refused` | the model declines to answer this | other words |
| `model_rejected_request` | the model did not take the request | another message, or another `systemPrompt` |
| `model_misconfigured`, `model_not_found` | the service may not use its model, or it is gone | its operator |
| `given_up` | the operator ended it | `/retry` later |
| `not_storable` | the answer could not be kept | other words |"""


class FailureSchema(Schema):
    code = ma.fields.Enum(FailureReason, by_value=True, required=True, metadata=described(FAILURE_CODE_DESCRIPTION))
    detail = ma.fields.String(required=True)


class TokenUsageSchema(Schema):
    input_tokens = ma.fields.Integer(required=True, allow_none=True)
    output_tokens = ma.fields.Integer(required=True, allow_none=True)


class AttemptSchema(Schema):
    id = ma.fields.UUID(required=True)
    status = ma.fields.Enum(ReplyState, by_value=True, required=True)
    error = ma.fields.Nested(FailureSchema, metadata=described("Failed replies only"))


class EntrySchema(Schema):
    id = ma.fields.UUID(required=True)
    chatroom_id = ma.fields.UUID(required=True)
    role = ma.fields.String(required=True, validate=ma.validate.OneOf(["user", "bot"]))
    content = ma.fields.String(required=True, allow_none=True, metadata=described("null until the reply is done"))
    created_at = ma.fields.AwareDateTime(required=True)
    reply_to = ma.fields.UUID(metadata=described("Replies only: the message this answers"))
    status = ma.fields.Enum(ReplyState, by_value=True, metadata=described("Replies only"))
    model = ma.fields.String(metadata=described("Which model answered"))
    truncated = ma.fields.Boolean(metadata=described("The model reached its output limit"))
    finished_at = ma.fields.AwareDateTime()
    error = ma.fields.Nested(FailureSchema, metadata=described("Failed replies only"))
    usage = ma.fields.Nested(TokenUsageSchema)
    feedback = ma.fields.Nested(FeedbackSchema, metadata=described("Replies only: what you think of it, if you said"))
    latest_attempt = ma.fields.Nested(
        AttemptSchema,
        metadata=described("Replies only: the newest reply to the same message, where that is another one than this"),
    )


class OneEntrySchema(EntrySchema):
    replies = ma.fields.List(ma.fields.UUID(), metadata=described("Messages only: all replies to it, oldest first"))


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
    limit = QueryInteger(load_default=DEFAULT_TURNS_PER_PAGE * 2, validate=ma.validate.Range(1, MAX_PER_PAGE))
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
    limit = QueryInteger(load_default=DEFAULT_REPLIES_PER_PAGE, validate=ma.validate.Range(1, MAX_REPLIES_PER_PAGE))
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
        return json_response({"messages": [_added_json(chatroom_id, one) for one in entries], "nextCursor": None})

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
        body = to_json(_entry_json(entry_id, entry))
        return tagged_response(body, entity_tag(body))

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
        body = to_json({"replies": replies, "nextCursor": page.next_after})
        return tagged_response(body, entity_tag(body))

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


def turns_for(entries: int) -> int:
    """The number of turns that shows at least this many entries: a turn is a message with its reply."""
    return (entries + 1) // 2


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
    after, ended = _last_event()
    if ended and _is_end(chat.read_entry(user_id=user_id, entry_id=entry_id), after):
        return Response(status=204)
    events = chat.follow_reply(user_id=user_id, entry_id=entry_id, after=after)
    response = Response(
        mimetype="text/event-stream",
        # Without X-Accel-Buffering, nginx and other proxies hold chunks back.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    return stream(places, user_id, _server_sent(events), response)


def _last_event() -> tuple[Position, bool]:
    """The position in ``Last-Event-ID``, and whether the event was the last of its reply.

    The beginning where there is no position, or none of ours.
    """
    event_id = request.headers.get("Last-Event-ID", "")
    position = _position(event_id.removesuffix(END_SUFFIX))
    return (START, False) if position is None else (position, event_id.endswith(END_SUFFIX))


def _is_end(entry: Entry, position: Position) -> bool:
    turn = entry.turn
    return turn.reply_state.final and position == Position(turn.generation, len(turn.reply_content or ""))


def _position(text: str) -> Position | None:
    generation, _, characters = text.partition("-")
    if not all(part.isascii() and part.isdigit() for part in (generation, characters)):
        return None
    if len(generation + characters) >= MAX_POSITION_DIGITS:
        return None
    return Position(int(generation), int(characters))


def _server_sent(events: Stream) -> Generator[bytes | Wait, Chunk | None, None]:
    """The format of html.spec.whatwg.org, section 9.2; waits are passed on."""
    yield b"retry: %d\n\n" % RECONNECT_MILLISECONDS
    chunk: Chunk | None = None
    with suppress(StopIteration), closing(events):
        while True:
            event = events.send(chunk)
            chunk = None
            match event:
                case Wait():
                    chunk = yield event
                case Delta(position, text):
                    yield _server_sent_event("delta", {"text": text}, position)
                case Reset(position):
                    yield _server_sent_event("reset", {}, position)
                case Ended(position, entry):
                    # The final states are also the names of the events.
                    reply = reply_json(entry.chatroom_id, entry.turn)
                    yield _server_sent_event(entry.turn.reply_state.value, reply, position, suffix=END_SUFFIX)
                case Removed():
                    yield b"event: removed\ndata: {}\n\n"
                case Heartbeat():
                    yield b": still here\n\n"


def _server_sent_event(name: str, data: dict[str, Any], position: Position, *, suffix: str = "") -> bytes:
    # JSON without line breaks: one `data` line.
    return b"id: %d-%d%s\nevent: %s\ndata: %s\n\n" % (*position, suffix.encode(), name.encode(), to_json(data))


# --- Presentation ---


def turns_json(chatroom_id: UUID, turns: Iterable[Turn]) -> list[Body]:
    """The messages of the turns, each followed by its reply, as EntrySchema describes them."""
    return [entry for turn in turns for entry in (_message_json(chatroom_id, turn), reply_json(chatroom_id, turn))]


def reply_json(chatroom_id: UUID, turn: Turn | ReplyEntry) -> Body:
    """The reply of a turn, or one by itself, as EntrySchema describes it."""
    entry: Body = {
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
        entry["error"] = _failure_json(turn.failure)
    if turn.feedback is not None:
        entry["feedback"] = feedback_json(turn.feedback)
    if isinstance(turn, Turn) and turn.latest_state is not None:
        entry["latestAttempt"] = {"id": turn.latest_id, "status": turn.latest_state.value}
        if turn.latest_failure is not None:
            entry["latestAttempt"]["error"] = _failure_json(turn.latest_failure)
    return entry


def _failure_json(failure: FailureReason) -> Body:
    return {"code": failure.value, "detail": FAILURE_DETAILS[failure]}


def _added_json(chatroom_id: UUID, entry: MessageEntry | ReplyEntry) -> Body:
    if isinstance(entry, MessageEntry):
        return _message_json(chatroom_id, entry)
    return reply_json(chatroom_id, entry)


def _message_json(chatroom_id: UUID, turn: Turn | MessageEntry) -> Body:
    return {
        "id": turn.message_id,
        "chatroomId": chatroom_id,
        "role": "user",
        "content": turn.content,
        "createdAt": turn.sent_at,
    }


def _entry_json(entry_id: UUID, entry: Entry) -> Body:
    """The message or the reply of a turn, whichever has the id."""
    if entry.turn.message_id == entry_id:
        return {**_message_json(entry.chatroom_id, entry.turn), "replies": list(entry.replies)}
    return reply_json(entry.chatroom_id, entry.turn)


def _sent_json(sent: SentMessage, reply: Body | None = None) -> Body:
    """As SentMessageSchema describes it; with the finished ``reply``, as AnsweredMessageSchema does."""
    message = sent.message
    named = {} if sent.title is None else {"chatroomName": sent.title}
    return {
        "message": {
            "id": message.id,
            "chatroomId": message.chatroom_id,
            "role": "user",
            "content": message.content,
            "createdAt": message.created_at,
        },
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
