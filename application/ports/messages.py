"""Messages, as a unit of work writes them."""

from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import Message, MessageId
from domain.replies import ReplyId, ReplyState


class AnsweredMessage(NamedTuple):
    """A message with its newest reply. ``answered``: one of its replies is done, or was stopped and has text."""

    message: Message
    reply_id: ReplyId
    state: ReplyState
    answered: bool


class Messages(Protocol):
    def add(self, message: Message) -> None:
        """Raises ChatroomNotFound when the chatroom does not exist."""

    def check_kept(self, user_id: UserId, *, limit: int) -> None:
        """Raises TooManyMessages when the user has ``limit`` messages already, in all chatrooms together."""

    def of(self, user_id: UserId, entry_id: MessageId | ReplyId) -> AnsweredMessage | None:
        """The user's message by its id or by that of one of its replies, with its newest reply; None if not found.

        It is locked until the unit of work ends, so that concurrent requests for another reply take turns.
        """
