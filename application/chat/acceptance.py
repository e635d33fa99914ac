"""What it takes to promise a reply. This file is the rule.

``adapters/sql/acceptance.py`` is its twin: it does what ``accept_message`` does in one statement.
``tests/contract/test_acceptance.py`` holds the two to each other.
"""

from datetime import datetime

from application.ports.acceptance import AcceptedMessage
from application.ports.unit_of_work import UnitOfWork
from domain.chat import Message
from domain.plans import Allowances, DailyQuota
from domain.replies import QueuedReply, ReplyId, ReplyPolicy


def accept_message(
    work: UnitOfWork, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
) -> AcceptedMessage:
    """Stores a message and promises a reply to it.

    A chatroom that has no name gets the message's title, and one that is archived is taken out of the archive.

    Raises the first of these that holds: ChatroomNotFound unless the chatroom is the sender's, TooManyMessages, then
    what ``promise_reply`` raises. ``work`` must not be committed after a refusal.
    """
    work.chatrooms.assert_owned(message.chatroom_id, by=message.user_id)
    work.messages.check_kept(message.user_id, limit=policy.user_messages)
    work.messages.add(message)
    quota = promise_reply(work, message, reply_id, at=message.created_at, allowances=allowances, policy=policy)
    title = work.chatrooms.note_message(message.chatroom_id, message.title, at=message.created_at)
    return AcceptedMessage(quota, title)


def promise_reply(
    work: UnitOfWork,
    message: Message,
    reply_id: ReplyId,
    *,
    at: datetime,
    allowances: Allowances,
    policy: ReplyPolicy,
) -> DailyQuota:
    """Charges one prompt to the sender and queues a reply to a stored message; returns the quota after it.

    Raises the first of these that holds: TooManyUnfinishedReplies, BacklogFull, QuotaExhausted. ``work`` must not be
    committed after a refusal.
    """
    work.replies.check_backlog(message.user_id, policy=policy)
    quota = work.usage.spend(message.user_id, allowances=allowances)
    work.replies.add(QueuedReply.to(message, id=reply_id, quota=quota, at=at, policy=policy))
    return quota
