"""Queries of single replies, for operators."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import ChatroomId, MessageId
from domain.feedback import FeedbackReason, Rating
from domain.replies import FailureReason, ReplyId, ReplyState


class ReplyLine(NamedTuple):
    """A reply without any text. ``attempts``: how often the model was asked for it.

    ``rating``, ``reasons``, ``rated_at``: the feedback of its user, if there is any.
    """

    reply_id: ReplyId
    message_id: MessageId
    chatroom_id: ChatroomId
    user_id: UserId
    state: ReplyState
    failure: FailureReason | None
    attempts: int
    created_at: datetime
    finished_at: datetime | None
    refunded_at: datetime | None
    model: str | None
    rating: Rating | None
    reasons: Sequence[FeedbackReason] | None
    rated_at: datetime | None


class ReplyFile(NamedTuple):
    """A reply with its texts. ``answer`` None: none is stored. ``comment``: of its user's feedback."""

    line: ReplyLine
    prompt: str
    answer: str | None
    comment: str | None


class ReplyFiles(Protocol):
    """Every method raises DependencyDown("database") when the database does not answer."""

    def failed(
        self, *, since: datetime, reason: FailureReason | None, user_id: UserId | None, limit: int
    ) -> Sequence[ReplyLine]:
        """The newest of those that failed ``since`` then, newest first. None: of any reason, of any user."""

    def rated(self, rating: Rating, *, since: datetime, user_id: UserId | None, limit: int) -> Sequence[ReplyLine]:
        """Those whose users rated them so ``since`` then, the last rated first. None: of any user."""

    def find(self, reply_id: ReplyId) -> ReplyFile | None:
        """None, too, when its chatroom was removed."""
