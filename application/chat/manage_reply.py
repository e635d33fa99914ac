"""A user stops a reply, or asks for another one to the same message."""

from dataclasses import dataclass

from application.chat.send_message import SentMessage
from application.ports.reply_stream import Chunk, ReplyPublisher
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from application.ports.worker_notifier import WorkerNotifier
from domain.accounts import UserId
from domain.chat import Message, MessageId
from domain.errors import MessageNotFound, ReplyFinished, ReplyNotDone, ReplyNotFailed
from domain.plans import Allowances
from domain.replies import EndedReply, QueuedReply, ReplyId, ReplyPolicy, ReplyState

UNANSWERED = frozenset({ReplyState.FAILED, ReplyState.CANCELLED})


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stops a reply. One that has not begun costs nothing; one that is running keeps what there is of it."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> tuple[ReplyId, ReplyState]:
        """CANCELLED at once, or RUNNING until its worker has stopped. MessageNotFound, ReplyFinished."""
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
    """Asks for one more reply to a message: RETRY after one that failed, REGENERATE after one that is done.

    Either way it is charged like a prompt: a failed reply has given its charge back, so that a message that is answered
    after a retry has cost one prompt in all.
    """

    unit_of_work: UnitOfWorkFactory
    worker_notifier: WorkerNotifier
    clock: Clock
    new_id: NewId
    allowances: Allowances
    policy: ReplyPolicy

    def retry(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> SentMessage:
        """MessageNotFound; ReplyNotFailed unless the newest reply failed or was cancelled; else as SendMessage."""
        return self._again(user_id, entry_id, after=UNANSWERED, otherwise=ReplyNotFailed)

    def regenerate(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> SentMessage:
        """MessageNotFound; ReplyNotDone unless the newest reply is done; else as SendMessage. The newest shows."""
        return self._again(user_id, entry_id, after=frozenset({ReplyState.DONE}), otherwise=ReplyNotDone)

    def _again(
        self,
        user_id: UserId,
        entry_id: MessageId | ReplyId,
        *,
        after: frozenset[ReplyState],
        otherwise: type[ReplyNotFailed | ReplyNotDone],
    ) -> SentMessage:
        with self.unit_of_work() as work:
            message, _, state = _newest_reply(work, user_id, entry_id)
            if state not in after:
                raise otherwise
            work.replies.check_backlog(user_id, policy=self.policy)
            quota = work.usage.spend(user_id, allowances=self.allowances)
            reply = QueuedReply.to(message, id=ReplyId(self.new_id()), quota=quota, at=self.clock(), policy=self.policy)
            work.replies.add(reply)
            work.commit()
        self.worker_notifier.notify()
        return SentMessage(message, reply.id, quota)


def _newest_reply(
    work: UnitOfWork, user_id: UserId, entry_id: MessageId | ReplyId
) -> tuple[Message, ReplyId, ReplyState]:
    found = work.messages.of(user_id, entry_id)
    if found is None:
        raise MessageNotFound
    return found
