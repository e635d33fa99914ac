"""A user sends a message and is promised a reply."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from application.chat.expiry import SettleOverdue
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
    """An accepted message, the id of its reply, and the quota after it.

    ``title``: the name that the chatroom got from the message; None where it has one already.
    ``repeated``: an earlier request with the same Idempotency-Key was accepted, and this is its answer.
    """

    message: Message
    reply_id: ReplyId
    quota: DailyQuota
    repeated: bool = False
    title: str | None = None


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Accepts a message, which then gets exactly one reply or fails once, visibly and free of charge.

    ``application.chat.acceptance`` has the rule of what is accepted.
    """

    unit_of_work: UnitOfWorkFactory
    worker_notifier: WorkerNotifier
    clock: Clock
    new_id: NewId
    allowances: Allowances
    policy: ReplyPolicy
    settle: SettleOverdue

    def __call__(
        self, *, sender: UserId, chatroom_id: ChatroomId, text: str, idempotency_key: str | None = None
    ) -> SentMessage:
        """Returns what was accepted, now or by an earlier request with the same key.

        Raises ChatroomNotFound, TooManyMessages, QuotaExhausted, TooManyUnfinishedReplies, BacklogFull, InvalidValue,
        IdempotencyKeyReused or IdempotencyKeyInUse; then nothing was accepted or charged.
        """
        message = Message.from_user(
            id=MessageId(self.new_id()), sender=sender, chatroom_id=chatroom_id, text=text, at=self.clock()
        )
        sent = self.settle.making_room(lambda: self._send(message, idempotency_key), of=sender)
        if not sent.repeated:
            self.worker_notifier.notify()
        return sent

    def _send(self, message: Message, key: str | None) -> SentMessage:
        return self._accept(message) if key is None else self._accept_once(message, key)

    def _accept(self, message: Message) -> SentMessage:
        # Acceptance is one write, and so atomic by itself.
        with self.unit_of_work.autocommit() as work:
            return self._accept_in(work, message)

    def _accept_once(self, message: Message, key: str) -> SentMessage:
        with self.unit_of_work() as work:
            sent = once(
                work,
                message.user_id,
                key,
                request=f"{message.chatroom_id}\n{message.content}",
                accept=lambda: self._accept_in(work, message),
                find=lambda message_id: _found(work, message.user_id, message_id),
            )
            work.commit()
        return sent

    def _accept_in(self, work: UnitOfWork, message: Message) -> SentMessage:
        reply_id = ReplyId(self.new_id())
        quota, title = work.acceptance.accept(message, reply_id, allowances=self.allowances, policy=self.policy)
        return SentMessage(message, reply_id, quota, title=title)


def once(
    work: UnitOfWork,
    user_id: UserId,
    key: str,
    *,
    request: str,
    accept: Callable[[], SentMessage],
    find: Callable[[MessageId], Message],
) -> SentMessage:
    """Returns what ``accept`` returns, or the answer to an earlier request with the same key, whose message is found.

    The key is stored in the unit of work that accepts. ``request``: all that is asked for. Raises IdempotencyKeyReused
    when that was something else, and IdempotencyKeyInUse.
    """
    fingerprint = hashlib.sha256(request.encode()).digest()
    earlier = work.idempotency_keys.recall(user_id, key, fingerprint=fingerprint)
    if earlier is not None:
        return SentMessage(
            find(earlier.message_id), earlier.reply_id, earlier.quota, repeated=True, title=earlier.title
        )
    sent = accept()
    accepted = Accepted(sent.message.id, sent.reply_id, sent.quota, sent.title)
    work.idempotency_keys.remember(user_id, key, fingerprint=fingerprint, accepted=accepted)
    return sent


def _found(work: UnitOfWork, sender: UserId, message_id: MessageId) -> Message:
    found = work.messages.of(sender, message_id)
    if found is None:  # the chatroom was deleted since the key was recalled, and message and key with it
        raise ChatroomNotFound
    return found.message
