"""The replies: the queue of record. The job queue only rings; this is what is true."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from domain.replies import Answer, Charge, Claim, ClaimedReply, FailureReason, QueuedReply, ReplyPolicy


class Replies(Protocol):
    """Replies on their way from QUEUED to a final state. Times are the database's clock.

    ``finish``, ``postpone``, ``fail`` and ``release`` act only while ``claim`` holds the lease; they say False or None
    when another worker has been given the reply since, and then nothing was written.
    """

    def add(self, reply: QueuedReply) -> None:
        """Queue a new reply, due at once."""

    def claim_due(self, *, limit: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        """Take up to ``limit`` replies that are due and mark them RUNNING, each with a fresh fencing token.

        Due: QUEUED and available, or RUNNING with a lease that ran out; with attempts left and before the deadline;
        and no earlier reply of the same chatroom unfinished. Oldest first; what another worker is claiming is passed
        over. The attempt is counted here, before the model is called: a message that kills its worker must not be
        tried for ever.
        """

    def finish(self, claim: Claim, answer: Answer) -> bool:
        """Store the answer: RUNNING -> DONE."""

    def postpone(self, claim: Claim, *, delay: timedelta) -> bool:
        """Queue it again, due after ``delay``: RUNNING -> QUEUED."""

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        """RUNNING -> FAILED; the charge to give back, which no other call will return again."""

    def release(self, claim: Claim) -> bool:
        """Hand it back untried, the attempt not counted, due at once: RUNNING -> QUEUED."""

    def fail_hopeless(self, *, limit: int, policy: ReplyPolicy) -> Sequence[Charge]:
        """Fail up to ``limit`` replies nobody may try any more, and return the charges to give back.

        Those QUEUED past their deadline, and those RUNNING whose lease ran out with no attempts or no time left.
        """
