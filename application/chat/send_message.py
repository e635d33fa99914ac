"""A user sends a message, and is promised a reply."""

import hashlib
from dataclasses import dataclass

from application.ports.idempotency import Accepted
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from application.ports.worker_notifier import WorkerNotifier
from domain.accounts import UserId
from domain.chat import ChatroomId, Message, MessageId
from domain.errors import ChatroomNotFound
from domain.plans import Allowances, DailyQuota
from domain.replies import ReplyId, ReplyPolicy


@dataclass(frozen=True, slots=True)
class SentMessage:
    """An accepted message, the reply it will get, and the quota after it. ``repeated``: accepted earlier."""

    message: Message
    reply_id: ReplyId
    quota: DailyQuota
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Accepts a message: from the commit on it gets exactly one reply, or one clear failure that costs nothing."""

    unit_of_work: UnitOfWorkFactory
    worker_notifier: WorkerNotifier
    clock: Clock
    new_id: NewId
    allowances: Allowances
    policy: ReplyPolicy

    def __call__(
        self, *, sender: UserId, chatroom_id: ChatroomId, text: str, idempotency_key: str | None = None
    ) -> SentMessage:
        """What was accepted; with the key of an earlier request, what that one was answered.

        ChatroomNotFound, QuotaExhausted, TooManyUnfinishedReplies, BacklogFull, InvalidValue, IdempotencyKeyReused,
        IdempotencyKeyInUse: nothing was accepted or charged.
        """
        message = Message.from_user(
            id=MessageId(self.new_id()), sender=sender, chatroom_id=chatroom_id, text=text, at=self.clock()
        )
        fingerprint = hashlib.sha256(f"{chatroom_id}\n{text}".encode()).digest()
        with self.unit_of_work.autocommit() if idempotency_key is None else self.unit_of_work() as work:
            if idempotency_key is not None:
                earlier = work.idempotency_keys.recall(sender, idempotency_key, fingerprint=fingerprint)
                if earlier is not None:
                    return _repeated(work, sender, earlier)
            reply_id = ReplyId(self.new_id())
            quota = work.acceptance.accept(message, reply_id, allowances=self.allowances, policy=self.policy)
            if idempotency_key is not None:
                accepted = Accepted(message.id, reply_id, quota)
                work.idempotency_keys.remember(sender, idempotency_key, fingerprint=fingerprint, accepted=accepted)
            work.commit()
        self.worker_notifier.notify()
        return SentMessage(message, reply_id, quota)


def _repeated(work: UnitOfWork, sender: UserId, earlier: Accepted) -> SentMessage:
    found = work.messages.of(sender, earlier.message_id)
    if found is None:  # deleted together with its chatroom, and the key with it, since it was recalled
        raise ChatroomNotFound
    return SentMessage(found[0], earlier.reply_id, earlier.quota, repeated=True)
