"""Users say what they think of replies."""

from collections.abc import Collection
from dataclasses import dataclass

from application.ports.feedback import FeedbackStore
from application.ports.runtime import Clock
from domain.accounts import UserId
from domain.chat import MessageId
from domain.feedback import Feedback, FeedbackReason, Rating
from domain.replies import ReplyId


@dataclass(frozen=True, slots=True)
class GiveFeedback:
    """Stores what a user thinks of a reply, in place of what they thought before."""

    store: FeedbackStore
    clock: Clock

    def __call__(
        self,
        *,
        user_id: UserId,
        entry_id: MessageId | ReplyId,
        rating: Rating,
        reasons: Collection[FeedbackReason] = (),
        comment: str | None = None,
    ) -> Feedback:
        """Raises InvalidValue, MessageNotFound unless the reply is the user's own, or ReplyNotRatable."""
        feedback = Feedback.given(rating, reasons=reasons, comment=comment, at=self.clock())
        self.store.put(user_id, entry_id, feedback)
        return feedback


@dataclass(frozen=True, slots=True)
class WithdrawFeedback:
    store: FeedbackStore

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> None:
        """Raises MessageNotFound unless the reply is the user's own. Without feedback there is nothing to do."""
        self.store.remove(user_id, entry_id)
