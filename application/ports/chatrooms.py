"""The chatrooms, as a unit of work writes them."""

from collections.abc import Sequence
from typing import Protocol

from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId
from domain.replies import ReplyId


class Chatrooms(Protocol):
    """Chatrooms by id, always with whose they must be."""

    def add(self, chatroom: Chatroom) -> None:
        """Keep a new chatroom. TokenInvalid when its user is gone."""

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        """ChatroomNotFound unless it exists and is ``by``'s; it cannot vanish before the unit of work ends."""

    def owned(self, chatroom_id: ChatroomId, *, by: UserId) -> Chatroom:
        """The chatroom, locked until the unit of work ends; ChatroomNotFound unless it is ``by``'s."""

    def change(self, chatroom: Chatroom) -> None:
        """Replace the name, the system prompt and the time of the last change of one that is there."""

    def remove(self, chatroom_id: ChatroomId, *, of: UserId) -> Sequence[ReplyId]:
        """Take it away with its messages and replies; which replies may still have a stream.

        ChatroomNotFound unless it is ``of``'s.
        """
