"""A worker takes replies that are due, asks the model, and stores what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.language_model import LanguageModel
from application.ports.unit_of_work import Begin
from domain.replies import AnswerFailed, ClaimedReply, ReplyPolicy, ReplyState, TryAgain


@dataclass(frozen=True, slots=True)
class ClaimReplies:
    """Takes replies that are due. Safe to call from any number of workers at once."""

    begin: Begin
    policy: ReplyPolicy

    def __call__(self, *, limit: int) -> Sequence[ClaimedReply]:
        """Up to ``limit`` replies, each now this caller's until its lease runs out."""
        with self.begin() as work:
            replies = work.replies.claim_due(limit=limit, policy=self.policy)
            work.commit()
        return replies


@dataclass(frozen=True, slots=True)
class WriteReply:
    """Asks the model with no transaction open, then stores the answer or what follows from the failure."""

    begin: Begin
    language_model: LanguageModel
    policy: ReplyPolicy

    def __call__(self, reply: ClaimedReply) -> ReplyState | None:
        """The state this attempt left the reply in; None when another worker had been given it meanwhile."""
        try:
            answer = self.language_model.answer(reply.prompt, within=self.policy.time_for_the_model(reply))
        except AnswerFailed as failure:
            return self._after_failure(reply, failure)
        with self.begin() as work:
            if not work.replies.finish(reply.claim, answer):
                return None
            work.commit()
        return ReplyState.DONE

    def _after_failure(self, reply: ClaimedReply, failure: AnswerFailed) -> ReplyState | None:
        step = self.policy.after_failure(failure, reply)
        with self.begin() as work:
            if isinstance(step, TryAgain):
                if not work.replies.postpone(reply.claim, delay=step.delay):
                    return None
                work.commit()
                return ReplyState.QUEUED
            charge = work.replies.fail(reply.claim, step.reason)
            if charge is None:
                return None
            # In the transaction of the failure, so that it happens once or not at all.
            work.usage.refund(charge)
            work.commit()
            return ReplyState.FAILED


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """Hands a reply back that a worker cannot finish because it is being stopped."""

    begin: Begin

    def __call__(self, reply: ClaimedReply) -> None:
        """The reply is due again at once, and this attempt does not count."""
        with self.begin() as work:
            if work.replies.release(reply.claim):
                work.commit()


@dataclass(frozen=True, slots=True)
class FailHopelessReplies:
    """The sweeper's part: replies that nobody may try any more fail clearly, and cost nothing."""

    begin: Begin
    policy: ReplyPolicy
    batch: int = 100

    def __call__(self) -> int:
        """How many have failed now; call again while it is a full batch."""
        with self.begin() as work:
            charges = work.replies.fail_hopeless(limit=self.batch, policy=self.policy)
            for charge in charges:
                work.usage.refund(charge)
            work.commit()
        return len(charges)
