"""A user sends a message, and is promised a reply."""

from dataclasses import dataclass

from application.ports.job_queue import JobQueue
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import Begin
from domain.accounts import UserId
from domain.chat import ChatroomId, Message, MessageId
from domain.plans import Allowances, DailyQuota
from domain.replies import QueuedReply, ReplyId, ReplyPolicy


@dataclass(frozen=True, slots=True)
class SentMessage:
    """An accepted message, the reply it will get, and the quota after it."""

    message: Message
    reply: QueuedReply
    quota: DailyQuota


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Accepts a message: from the commit on it gets exactly one reply, or one clear failure that costs nothing."""

    begin: Begin
    job_queue: JobQueue
    clock: Clock
    new_id: NewId
    allowances: Allowances
    policy: ReplyPolicy

    def __call__(self, *, sender: UserId, chatroom_id: ChatroomId, text: str) -> SentMessage:
        """What was accepted. ChatroomNotFound, QuotaExhausted, InvalidValue: nothing was accepted or charged."""
        message = Message.from_user(
            id=MessageId(self.new_id()),
            sender=sender,
            chatroom_id=chatroom_id,
            text=text,
            at=self.clock(),
        )
        with self.begin() as work:
            work.chatrooms.assert_owned(chatroom_id, by=sender)
            quota = work.usage.spend(sender, allowances=self.allowances)
            reply = QueuedReply.to(message, id=ReplyId(self.new_id()), charged_on=quota.day, policy=self.policy)
            work.messages.add(message)
            work.replies.add(reply)
            work.commit()
        self.job_queue.ring()
        return SentMessage(message, reply, quota)
