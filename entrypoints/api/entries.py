"""Messages and replies as clients see them."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import marshmallow as ma

from application.chat.send_message import SentMessage
from application.ports.reader import Entry, Turn
from domain.plans import DailyQuota
from domain.replies import FailureReason, ReplyState
from entrypoints.api.responses import rate_limit_headers
from entrypoints.api.schemas import QuotaSchema, Schema, described, quota_json

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


class FailureSchema(Schema):
    """Why there is no answer."""

    code = ma.fields.Enum(FailureReason, by_value=True, required=True)
    detail = ma.fields.String(required=True)


class TokenUsageSchema(Schema):
    """What the model counted."""

    input_tokens = ma.fields.Integer(required=True, allow_none=True)
    output_tokens = ma.fields.Integer(required=True, allow_none=True)


class EntrySchema(Schema):
    """A message of the user, or the bot's reply to one."""

    id = ma.fields.UUID(required=True)
    chatroom_id = ma.fields.UUID(required=True)
    role = ma.fields.String(required=True, validate=ma.validate.OneOf(["user", "bot"]))
    content = ma.fields.String(required=True, allow_none=True, metadata=described("null until the reply is done"))
    created_at = ma.fields.AwareDateTime(required=True)
    reply_to = ma.fields.UUID(metadata=described("Replies only: the message this answers"))
    status = ma.fields.Enum(ReplyState, by_value=True, metadata=described("Replies only"))
    model = ma.fields.String(metadata=described("Which model answered"))
    truncated = ma.fields.Boolean(metadata=described("The model ran into its output limit"))
    finished_at = ma.fields.AwareDateTime()
    error = ma.fields.Nested(FailureSchema, metadata=described("Failed replies only"))
    usage = ma.fields.Nested(TokenUsageSchema)


class OneEntrySchema(EntrySchema):
    """One message or one reply."""

    replies = ma.fields.List(ma.fields.UUID(), metadata=described("Messages only: all replies to it, oldest first"))


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


class AnsweredMessageSchema(SentMessageSchema):
    """An accepted message and its finished reply."""

    reply = ma.fields.Nested(EntrySchema, required=True)


def entry_path(entry_id: UUID) -> str:
    """Where an entry is."""
    return f"/message/{entry_id}"


def turns_json(chatroom_id: UUID, turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """The messages of the turns, each followed by its reply."""
    return [entry for turn in turns for entry in (prompt_json(chatroom_id, turn), reply_json(chatroom_id, turn))]


def prompt_json(chatroom_id: UUID, turn: Turn) -> dict[str, Any]:
    """A message as EntrySchema describes it."""
    return {
        "id": turn.message_id,
        "chatroomId": chatroom_id,
        "role": "user",
        "content": turn.content,
        "createdAt": turn.sent_at,
    }


def reply_json(chatroom_id: UUID, turn: Turn) -> dict[str, Any]:
    """A reply as EntrySchema describes it."""
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


def entry_json(entry_id: UUID, entry: Entry) -> dict[str, Any]:
    """The message or the reply of an entry, whichever was asked for."""
    if entry.turn.message_id == entry_id:
        return {**prompt_json(entry.chatroom_id, entry.turn), "replies": list(entry.replies)}
    return reply_json(entry.chatroom_id, entry.turn)


def sent_json(sent: SentMessage, reply: dict[str, Any] | None = None) -> dict[str, Any]:
    """An accepted message as SentMessageSchema describes it; with its reply where that is there."""
    message = sent.message
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
        "links": {
            "chatroom": f"/chatroom/{message.chatroom_id}",
            "reply": entry_path(sent.reply_id),
            "stream": f"{entry_path(sent.reply_id)}/stream",
        },
    }


def quota_headers(quota: DailyQuota) -> dict[str, str]:
    """What is left of the day, where the plan has a daily limit."""
    if quota.limit is None or quota.remaining is None:
        return {}
    return rate_limit_headers(limit=quota.limit, remaining=quota.remaining, resets_at=quota.resets_at)
