"""Chatrooms and messages."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from adapters.memory.removal import Contents, delete_newest, delete_unfinished, detach
from adapters.memory.transaction import Repository, writes
from application.ports.chatrooms import Chatrooms, Purged
from application.ports.messages import AnsweredMessage, Messages
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.errors import ChatroomNotFound, TokenInvalid, TooManyChatrooms, TooManyMessages, TooManyPinned
from domain.replies import ReplyId
from domain.retention import ROWS_PER_BATCH


class MemoryChatrooms(Repository, Chatrooms):
    @writes
    def add(self, chatroom: Chatroom, *, limit: int) -> None:
        if chatroom.user_id not in self._tables.users:
            raise TokenInvalid
        if sum(room.user_id == chatroom.user_id for room in self._tables.chatrooms.values()) >= limit:
            raise TooManyChatrooms(limit)
        self._tables.chatrooms[chatroom.id] = chatroom

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        chatroom = self._tables.chatrooms.get(chatroom_id)
        if chatroom is None or chatroom.user_id != by:
            raise ChatroomNotFound

    def owned(self, chatroom_id: ChatroomId, *, by: UserId) -> Chatroom:
        self.assert_owned(chatroom_id, by=by)
        return self._tables.chatrooms[chatroom_id]

    def check_pinned(self, user_id: UserId, *, limit: int) -> None:
        rooms = self._tables.chatrooms.values()
        if sum(room.user_id == user_id and room.pinned for room in rooms) >= limit:
            raise TooManyPinned(limit)

    @writes
    def change(self, chatroom: Chatroom) -> None:
        self._tables.chatrooms[chatroom.id] = chatroom

    @writes
    def note_message(self, chatroom_id: ChatroomId, title: str, *, at: datetime) -> str | None:
        room = self._tables.chatrooms[chatroom_id]
        named = title if title and not room.name else None
        if named or room.archived:
            changed = replace(room, name=named or room.name, archived_at=None, updated_at=at)
            self._tables.chatrooms[chatroom_id] = changed
        return named

    @writes
    def remove(self, chatroom: Chatroom, *, limit: int = ROWS_PER_BATCH) -> Sequence[ReplyId]:
        unfinished = delete_unfinished(self._tables, [chatroom.id])
        contents = Contents(self._tables.messages, self._tables.replies)
        purged = delete_newest(contents, [chatroom.id], self._now, limit=limit)
        detach(self._tables, [chatroom.id])
        return [*unfinished, *purged.with_stream]

    @writes
    def purge_removed(self, *, limit: int) -> Purged:
        contents = Contents(self._tables.removed_messages, self._tables.removed_replies)
        rooms = {message.chatroom_id for message in contents.messages.values()}
        purged = delete_newest(contents, rooms, self._now, limit=limit)
        left = {message.chatroom_id for message in contents.messages.values()}
        return purged._replace(chatrooms=len(rooms - left))


class MemoryMessages(Repository, Messages):
    @writes
    def add(self, message: Message) -> None:
        if message.chatroom_id not in self._tables.chatrooms:
            raise ChatroomNotFound
        self._tables.messages[message.id] = message
        self._tables.number(message.id)

    def check_kept(self, user_id: UserId, *, limit: int) -> None:
        if sum(message.user_id == user_id for message in self._tables.messages.values()) >= limit:
            raise TooManyMessages(limit)

    def of(self, user_id: UserId, entry_id: MessageId | ReplyId) -> AnsweredMessage | None:
        reply = self._tables.replies.get(cast("ReplyId", entry_id))
        message = self._tables.messages.get(reply.queued.message_id if reply else cast("MessageId", entry_id))
        if message is None or message.user_id != user_id:
            return None
        replies = self._tables.replies_to(message.id)
        newest = replies[-1]
        return AnsweredMessage(message, newest.queued.id, newest.state, any(row.answers for row in replies))
