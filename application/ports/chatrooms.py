"""The chatrooms, as a unit of work writes them."""

from typing import Protocol

from domain.accounts import UserId
from domain.chat import Chatroom, ChatroomId


class Chatrooms(Protocol):
    """Chatrooms by id, always with whose they must be."""

    def add(self, chatroom: Chatroom) -> None:
        """Keep a new chatroom."""

    def assert_owned(self, chatroom_id: ChatroomId, *, by: UserId) -> None:
        """ChatroomNotFound unless it exists and is ``by``'s; it cannot vanish before the unit of work ends."""
