"""A user cancels a reply, or asks for another one to the same message."""

from dataclasses import dataclass

from application.chat.acceptance import promise_reply
from application.chat.send_message import SentMessage
from application.ports.reply_stream import Chunk, ReplyPublisher
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from application.ports.worker_notifier import WorkerNotifier
from domain.accounts import UserId
from domain.chat import Message, MessageId
from domain.errors import MessageNotFound, ReplyFinished, ReplyNotDone, ReplyNotFailed
from domain.plans import Allowances
from domain.replies import EndedReply, ReplyId, ReplyPolicy, ReplyState

UNANSWERED = frozenset({ReplyState.FAILED, ReplyState.CANCELLED})


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Cancels a reply. A queued one is refunded; a running one keeps the text it has so far."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> tuple[ReplyId, ReplyState]:
        """Returns CANCELLED, or RUNNING until the worker has stopped. Raises MessageNotFound or ReplyFinished."""
        with self.unit_of_work() as work:
            _, reply_id, _ = _newest_reply(work, user_id, entry_id)
            outcome = work.replies.cancel(reply_id)
            if isinstance(outcome, EndedReply):
                work.usage.refund(outcome.charge)
            elif outcome is not ReplyState.RUNNING:
                raise ReplyFinished
            work.commit()
        if not isinstance(outcome, EndedReply):
            return reply_id, outcome
        self.publisher.publish(reply_id, Chunk.last(outcome.generation))
        return reply_id, ReplyState.CANCELLED


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Asks for one more reply to a message: a retry of one that failed, or a regeneration of one that is done.

    Either is charged like a prompt. A failed reply was refunded, so a message answered after a retry costs one prompt.
    """

    unit_of_work: UnitOfWorkFactory
    worker_notifier: WorkerNotifier
    clock: Clock
    new_id: NewId
    allowances: Allowances
    policy: ReplyPolicy

    def retry(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> SentMessage:
        """Raises MessageNotFound, ReplyNotFailed unless the newest reply failed or was cancelled, or as SendMessage."""
        return self._again(user_id, entry_id, after=UNANSWERED, otherwise=ReplyNotFailed)

    def regenerate(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> SentMessage:
        """Raises MessageNotFound, ReplyNotDone unless the newest reply is done, or as SendMessage.

        The conversation shows the newest reply of each message.
        """
        return self._again(user_id, entry_id, after=frozenset({ReplyState.DONE}), otherwise=ReplyNotDone)

    def _again(
        self,
        user_id: UserId,
        entry_id: MessageId | ReplyId,
        *,
        after: frozenset[ReplyState],
        otherwise: type[ReplyNotFailed | ReplyNotDone],
    ) -> SentMessage:
        reply_id = ReplyId(self.new_id())
        with self.unit_of_work() as work:
            message, _, state = _newest_reply(work, user_id, entry_id)
            if state not in after:
                raise otherwise
            quota = promise_reply(
                work, message, reply_id, at=self.clock(), allowances=self.allowances, policy=self.policy
            )
            work.commit()
        self.worker_notifier.notify()
        return SentMessage(message, reply_id, quota)


def _newest_reply(
    work: UnitOfWork, user_id: UserId, entry_id: MessageId | ReplyId
) -> tuple[Message, ReplyId, ReplyState]:
    found = work.messages.of(user_id, entry_id)
    if found is None:
        raise MessageNotFound
    return found
