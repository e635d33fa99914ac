"""The queue of replies. It alone has the state; the worker notifier only wakes workers up."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import ChatroomId
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


class Finished(NamedTuple):
    """``others_wait``: replies to the same user are unfinished, and may have had to wait for this one."""

    others_wait: bool


class Replies(Protocol):
    """Replies from QUEUED to a final state. All times are those of the database's clock.

    ``renew_lease``, ``finish``, ``postpone``, ``fail`` and ``stop`` write only while ``claim`` holds the lease. They
    return False or None when another worker has claimed the reply since, or the reply was deleted.
    """

    def add(self, reply: QueuedReply) -> None:
        """Queues a new reply, due at once."""

    def check_backlog(self, user_id: UserId, *, policy: ReplyPolicy) -> None:
        """Raises TooManyUnfinishedReplies when the user's backlog is full, BacklogFull when that of all users is."""

    def claim_due(self, *, limit: int, basic_first: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        """Takes up to ``limit`` replies that are due and marks them RUNNING, each with a fresh fencing token.

        Due: QUEUED and available, or RUNNING with a lease that ran out; with attempts left and before the deadline; no
        earlier reply of the same chatroom unfinished; fewer than ``policy.user_concurrency`` of the user running.
        The oldest ``basic_first`` of those that are not urgent come first, then the urgent ones, then the others; the
        oldest of each first. However many workers claim at once, these limits hold.

        The attempt is counted here, before the model is called: a message that crashes its worker must not be tried
        for ever.
        """

    def renew_lease(self, claim: Claim, *, policy: ReplyPolicy) -> bool:
        """The lease lasts ``policy.lease`` from now. A reply that is marked to be stopped keeps its lease, too."""

    def finish(self, claim: Claim, answer: Answer) -> Finished | None:
        """Stores the answer: RUNNING -> DONE."""

    def postpone(self, claim: Claim, *, delay: timedelta, counted: bool) -> bool:
        """Queues it again, due after ``delay``: RUNNING -> QUEUED. Returns False, too, when it is to be cancelled."""

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        """RUNNING -> FAILED. Returns the charge to refund, which no other call returns again."""

    def stop(self, claim: Claim, *, partial: str, refund: bool) -> Charge | None:
        """RUNNING -> CANCELLED, keeping the text so far. Returns the charge, which is to be refunded if ``refund``."""

    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        """QUEUED -> CANCELLED: returns the ended reply, whose charge is to be refunded.

        A RUNNING reply is marked for its worker to stop. Returns the state of a reply that was not QUEUED.
        """

    def not_begun_in(self, chatroom_id: ChatroomId) -> Sequence[Charge]:
        """The charges of a locked chatroom's QUEUED replies, to be refunded in the unit of work that removes it.

        None of them can be claimed or end before that.
        """

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> Collection[ReplyId]:
        """Those among ``reply_ids`` that are marked to be stopped, or were deleted."""

    def overdue(self, *, of: UserId | None, limit: int) -> Sequence[ReplyId]:
        """Unfinished replies past their deadline that no worker holds.

        Those ``of`` a user; or, for None, those among the ``limit`` of either plan that are due first.
        """

    def give_up(self, reply_id: ReplyId, reason: FailureReason) -> EndedReply | None:
        """QUEUED or RUNNING -> FAILED, no matter who holds the lease; its charge is to be refunded.

        A worker that is writing it is told to stop. None: it is finished, or there is no such reply.
        """

    def fail_expired(
        self, *, limit: int, policy: ReplyPolicy, among: Collection[ReplyId] | None = None
    ) -> Sequence[EndedReply]:
        """Ends up to ``limit`` replies that may not be tried any more; their charges are to be refunded.

        ``among``: only these. Those that another unit of work is ending are passed over.

        FAILED: those QUEUED past their deadline, and those RUNNING whose lease has expired without attempts or time
        left. CANCELLED: those whose lease has expired while they were marked to be stopped.
        """
