"""The replies: the queue of record. The job queue only rings; this is what is true."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from domain.accounts import UserId
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    EndedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
)


class Replies(Protocol):
    """Replies on their way from QUEUED to a final state. Times are the database's clock.

    ``finish``, ``postpone``, ``fail`` and ``stop`` act only while ``claim`` holds the lease; they say
    False or None when another worker has been given the reply since or it is gone, and then nothing was written.
    """

    def add(self, reply: QueuedReply) -> None:
        """Queue a new reply, due at once."""

    def check_backlog(self, user_id: UserId, *, policy: ReplyPolicy) -> None:
        """TooManyUnfinishedReplies or BacklogFull when the user's or everybody's backlog is full."""

    def claim_due(self, *, limit: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        """Take up to ``limit`` replies that are due and mark them RUNNING, each with a fresh fencing token.

        Due: QUEUED and available, or RUNNING with a lease that ran out; with attempts left and before the deadline; no
        earlier reply of the same chatroom unfinished; fewer than ``policy.user_concurrency`` of the user running.
        Urgent ones first, then the oldest. However many workers claim at once, these limits hold.

        The attempt is counted here, before the model is called: a message that kills its worker must not be tried for
        ever.
        """

    def finish(self, claim: Claim, answer: Answer) -> bool:
        """Store the answer: RUNNING -> DONE."""

    def postpone(self, claim: Claim, *, delay: timedelta, counted: bool) -> bool:
        """Queue it again, due after ``delay``: RUNNING -> QUEUED. Not when it is to be stopped."""

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        """RUNNING -> FAILED; the charge to give back, which no other call will return again."""

    def stop(self, claim: Claim, *, partial: str) -> Charge | None:
        """RUNNING -> CANCELLED with what there is of the answer; its charge, to be given back if that is nothing."""

    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        """Cancel a reply that is QUEUED: it has ended, and its charge is to be given back.

        One that is RUNNING is marked for its worker to stop. Otherwise the final state it is in; nothing was done.
        """

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> Collection[ReplyId]:
        """Which of these are marked to be stopped, or are gone: erased, or taken away with their chatroom."""

    def fail_expired(self, *, limit: int, policy: ReplyPolicy) -> Sequence[EndedReply]:
        """Fail up to ``limit`` replies nobody may try any more; their charges are to be given back.

        Those QUEUED past their deadline, and those RUNNING whose lease ran out with no attempts or no time left; those
        whose lease ran out while they were to be stopped are CANCELLED.
        """
