"""Messages and replies in JSON: their schemas, and how responses and events write them.

An entry is a message of the user or a reply of the model.
"""

from collections.abc import Iterable
from uuid import UUID

import marshmallow as ma

from application.ports.reader import Entry, MessageEntry, ReplyEntry, Turn
from domain.replies import FailureReason, ReplyState
from entrypoints.api.body import Body
from entrypoints.api.feedback import FeedbackSchema, feedback_json
from entrypoints.api.schemas import Schema, described

MAX_PER_PAGE = 100
# application.ports.reader.PAGE_MAX_BYTES
PAGE_DESCRIPTION = "At most so many. A page ends earlier where its replies are long, at about 2 MB"

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


def turns_for(entries: int) -> int:
    """The number of turns that shows at least this many entries: a turn is a message with its reply."""
    return (entries + 1) // 2


def turns_json(chatroom_id: UUID, turns: Iterable[Turn]) -> list[Body]:
    """The messages of the turns, each followed by its reply, as EntrySchema describes them."""
    return [entry for turn in turns for entry in (message_json(chatroom_id, turn), reply_json(chatroom_id, turn))]


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


def added_json(chatroom_id: UUID, entry: MessageEntry | ReplyEntry) -> Body:
    """One of the entries in the order in which they were added, as EntrySchema describes it."""
    if isinstance(entry, MessageEntry):
        return message_json(chatroom_id, entry)
    return reply_json(chatroom_id, entry)


def message_json(chatroom_id: UUID, turn: Turn | MessageEntry) -> Body:
    """The message of a turn, or one by itself, as EntrySchema describes it."""
    return {
        "id": turn.message_id,
        "chatroomId": chatroom_id,
        "role": "user",
        "content": turn.content,
        "createdAt": turn.sent_at,
    }


def entry_json(entry_id: UUID, entry: Entry) -> Body:
    """The message or the reply of a turn, whichever has the id, as OneEntrySchema describes it."""
    if entry.turn.message_id == entry_id:
        return {**message_json(entry.chatroom_id, entry.turn), "replies": list(entry.replies)}
    return reply_json(entry.chatroom_id, entry.turn)
