"""The state of the queue of replies and of the inbox of payment events, for operators."""

from datetime import timedelta
from typing import NamedTuple, Protocol

from domain.replies import FailureReason, ReplyState


class QueueState(NamedTuple):
    """Ages in seconds; None where there is nothing of the kind.

    ``oldest_due``: how long the reply has waited that has waited for longest although it may be claimed: replies behind
    an unfinished one of their chatroom, and those of a user who has as many running as allowed, do not count.
    """

    queued: int
    running: int
    oldest_due: float | None
    events_pending: int
    oldest_event: float | None


class Ended(NamedTuple):
    state: ReplyState
    reason: FailureReason | None
    number: int


class ReadQueue(Protocol):
    """Raises DependencyDown when the database does not answer within seconds."""

    def __call__(self) -> QueueState: ...

    def ended(self, within: timedelta) -> list[Ended]:
        """Replies that ended so recently, by state and reason."""
