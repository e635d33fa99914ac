"""Removing chatrooms, and deleting what was in them batch by batch."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from adapters.memory.tables import ReplyRow, Tables, delete_where
from application.ports.chatrooms import Purged
from domain.chat import ChatroomId, Message, MessageId
from domain.replies import ReplyId


class Contents(NamedTuple):
    """Messages and replies: those that users see, or those of removed chatrooms."""

    messages: dict[MessageId, Message]
    replies: dict[ReplyId, ReplyRow]


def delete_unfinished(tables: Tables, rooms: Collection[ChatroomId]) -> list[ReplyId]:
    unfinished = [key for key, row in tables.replies.items() if row.unfinished and row.queued.chatroom_id in rooms]
    for reply_id in unfinished:
        del tables.replies[reply_id]
    return unfinished


def delete_newest(contents: Contents, rooms: Collection[ChatroomId], now: datetime, *, limit: int) -> Purged:
    """Delete at most ``limit`` messages with their replies."""
    mine = [key for key, message in contents.messages.items() if message.chatroom_id in rooms]
    messages = set(sorted(mine, reverse=True)[:limit])
    replies = [row for row in contents.replies.values() if row.queued.message_id in messages]
    delete_where(contents.messages, lambda key, _: key in messages)
    delete_where(contents.replies, lambda _, row: row.queued.message_id in messages)
    return Purged(0, len(messages), len(replies), [row.queued.id for row in replies if row.may_have_stream(now)])


def detach(tables: Tables, rooms: Collection[ChatroomId]) -> None:
    """Remove chatrooms with what is left in them."""
    for message in [message for message in tables.messages.values() if message.chatroom_id in rooms]:
        tables.removed_messages[message.id] = tables.messages.pop(message.id)
    for row in [row for row in tables.replies.values() if row.queued.chatroom_id in rooms]:
        tables.removed_replies[row.queued.id] = tables.replies.pop(row.queued.id)
    delete_where(tables.chatrooms, lambda key, _: key in rooms)
