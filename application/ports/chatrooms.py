"""Chatrooms, as a unit of work writes them."""

from collections.abc import Sequence
from typing import Protocol

from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId
from domain.replies import ReplyId


class Chatrooms(Protocol):
    def add(self, chatroom: Chatroom, *, limit: int) -> None:
        """Raises TooManyChatrooms when its user has ``limit`` already; TokenInvalid when its user was erased.

        Concurrent calls may add a few more.
        """

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        """Raises ChatroomNotFound unless the chatroom is ``by``'s.

        It is locked against deletion until the unit of work ends.
        """

    def owned(self, chatroom_id: ChatroomId, *, by: UserId) -> Chatroom:
        """The chatroom, locked until the unit of work ends. Raises ChatroomNotFound unless it is ``by``'s."""

    def change(self, chatroom: Chatroom) -> None:
        """Replaces the name, the system prompt and ``updated_at`` of a stored chatroom."""

    def remove(self, chatroom_id: ChatroomId, *, of: UserId) -> Sequence[ReplyId]:
        """Deletes a chatroom with its messages and replies; returns the replies that may still have a stream.

        Raises ChatroomNotFound unless it is ``of``'s.
        """
