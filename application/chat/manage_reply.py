"""A user cancels a reply, or asks for another one to the same message."""

from collections.abc import Callable
from dataclasses import dataclass

from application.chat.acceptance import promise_reply
from application.chat.expiry import SettleOverdue
from application.chat.send_message import SentMessage, once
from application.ports.messages import AnsweredMessage
from application.ports.reply_stream import Chunk, ReplyPublisher
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from application.ports.worker_notifier import WorkerNotifier
from domain.accounts import UserId
from domain.chat import MessageId
from domain.errors import MessageNotFound, ReplyFinished, ReplyNotDone, ReplyNotFailed
from domain.plans import Allowances
from domain.replies import EndedReply, ReplyId, ReplyPolicy, ReplyState

UNANSWERED = frozenset({ReplyState.FAILED, ReplyState.CANCELLED})


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Cancels a reply.

    A queued one is refunded: the model was not asked for it, or could not answer. A running one keeps the text it has
    so far, and costs a prompt once the model was asked for it.
    """

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher

    def __call__(self, *, user_id: UserId, entry_id: MessageId | ReplyId) -> tuple[ReplyId, ReplyState]:
        """Returns CANCELLED, or RUNNING until the worker has stopped. Raises MessageNotFound or ReplyFinished."""
        with self.unit_of_work() as work:
            reply_id = _newest_reply(work, user_id, entry_id).reply_id
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


def _may_be_retried(found: AnsweredMessage) -> bool:
    return found.state in UNANSWERED


def _may_be_regenerated(found: AnsweredMessage) -> bool:
    return found.answered and found.state.final


@dataclass(frozen=True, slots=True)
class Way:
    """A way to ask again: when it is allowed, and the error otherwise."""

    name: str
    may: Callable[[AnsweredMessage], bool]
    otherwise: type[ReplyNotFailed | ReplyNotDone]


RETRY = Way("retry", _may_be_retried, ReplyNotFailed)
REGENERATE = Way("regenerate", _may_be_regenerated, ReplyNotDone)


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Asks for one more reply to a message: a retry of one that failed, or a regeneration of one that is done.

    Either is charged like a prompt. A failed reply was refunded, so an answer after a failure costs one prompt.
    """

    unit_of_work: UnitOfWorkFactory
    worker_notifier: WorkerNotifier
    clock: Clock
    new_id: NewId
    allowances: Allowances
    policy: ReplyPolicy
    settle: SettleOverdue

    def retry(
        self, *, user_id: UserId, entry_id: MessageId | ReplyId, idempotency_key: str | None = None
    ) -> SentMessage:
        """Raises MessageNotFound, ReplyNotFailed unless the newest reply failed or was cancelled, or as SendMessage."""
        return self._again(RETRY, user_id, entry_id, idempotency_key)

    def regenerate(
        self, *, user_id: UserId, entry_id: MessageId | ReplyId, idempotency_key: str | None = None
    ) -> SentMessage:
        """Raises MessageNotFound, ReplyNotDone unless there is an answer and no attempt under way, or as SendMessage.

        The conversation shows the answer that there is until another one is done.
        """
        return self._again(REGENERATE, user_id, entry_id, idempotency_key)

    def _again(self, way: Way, user_id: UserId, entry_id: MessageId | ReplyId, key: str | None) -> SentMessage:
        sent = self.settle.making_room(lambda: self._accept(way, user_id, entry_id, key), of=user_id)
        if not sent.repeated:
            self.worker_notifier.notify()
        return sent

    def _accept(self, way: Way, user_id: UserId, entry_id: MessageId | ReplyId, key: str | None) -> SentMessage:
        with self.unit_of_work() as work:
            sent = (
                self._once(work, way, user_id, entry_id, key)
                if key is not None
                else self._promise(work, way, user_id, entry_id)
            )
            work.commit()
        return sent

    def _once(
        self, work: UnitOfWork, way: Way, user_id: UserId, entry_id: MessageId | ReplyId, key: str
    ) -> SentMessage:
        return once(
            work,
            user_id,
            # Keys of clients have no blanks, so those of sending, retry and regenerate are apart.
            f"{way.name} {key}",
            request=f"{way.name}\n{entry_id}",
            accept=lambda: self._promise(work, way, user_id, entry_id),
            find=lambda message_id: _newest_reply(work, user_id, message_id).message,
        )

    def _promise(self, work: UnitOfWork, way: Way, user_id: UserId, entry_id: MessageId | ReplyId) -> SentMessage:
        found = _newest_reply(work, user_id, entry_id)
        if not way.may(found):
            raise way.otherwise
        reply_id = ReplyId(self.new_id())
        quota = promise_reply(
            work, found.message, reply_id, at=self.clock(), allowances=self.allowances, policy=self.policy
        )
        return SentMessage(found.message, reply_id, quota)


def _newest_reply(work: UnitOfWork, user_id: UserId, entry_id: MessageId | ReplyId) -> AnsweredMessage:
    found = work.messages.of(user_id, entry_id)
    if found is None:
        raise MessageNotFound
    return found
