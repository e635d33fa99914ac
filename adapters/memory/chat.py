"""Chatrooms and messages."""

from collections.abc import Sequence
from typing import cast

from adapters.memory.tables import delete_where, with_stream
from adapters.memory.transaction import Repository, writes
from application.ports.chatrooms import Chatrooms
from application.ports.messages import AnsweredMessage, Messages
from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId, Message, MessageId
from domain.errors import ChatroomNotFound, TokenInvalid, TooManyChatrooms, TooManyMessages
from domain.replies import ReplyId


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

    @writes
    def change(self, chatroom: Chatroom) -> None:
        self._tables.chatrooms[chatroom.id] = chatroom

    @writes
    def remove(self, chatroom_id: ChatroomId, *, of: UserId) -> Sequence[ReplyId]:
        self.assert_owned(chatroom_id, by=of)
        rows = (row for row in self._tables.replies.values() if row.queued.chatroom_id == chatroom_id)
        replies = with_stream(rows, self._now)
        del self._tables.chatrooms[chatroom_id]
        delete_where(self._tables.messages, lambda _, message: message.chatroom_id == chatroom_id)
        delete_where(self._tables.replies, lambda _, row: row.queued.chatroom_id == chatroom_id)
        return replies


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
