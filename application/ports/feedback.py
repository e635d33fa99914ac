"""What users think of replies, as it is stored: with the reply, one feedback for each."""

from typing import Protocol

from domain.accounts import UserId
from domain.chat import MessageId
from domain.feedback import Feedback
from domain.replies import ReplyId


class FeedbackStore(Protocol):
    """Each call is one step of its own; it is done when the call returns.

    By the id of a message the newest reply to it is meant. Each raises MessageNotFound unless the reply is the user's,
    and DependencyDown("database").
    """

    def put(self, user_id: UserId, entry_id: MessageId | ReplyId, feedback: Feedback) -> None:
        """Stores feedback on a reply in place of an earlier one.

        Raises ReplyNotRatable unless the reply is finished and has text.
        """

    def remove(self, user_id: UserId, entry_id: MessageId | ReplyId) -> None:
        """Does nothing where there is none."""
