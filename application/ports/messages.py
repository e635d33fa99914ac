"""The messages, as a unit of work writes them."""

from typing import Protocol

from domain.accounts import UserId
from domain.chat import Message, MessageId
from domain.replies import ReplyId, ReplyState


class Messages(Protocol):
    """What users sent."""

    def add(self, message: Message) -> None:
        """Keep a new message."""

    def of(self, user_id: UserId, entry_id: MessageId | ReplyId) -> tuple[Message, ReplyId, ReplyState] | None:
        """The user's message with this id, or the one that the reply with this id answers, and its newest reply.

        Locked until the unit of work ends, so that two who ask for one more reply ask one after the other.
        """
