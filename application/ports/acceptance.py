"""Accepting a message."""

from typing import NamedTuple, Protocol

from domain.chat import Message
from domain.plans import Allowances, DailyQuota
from domain.replies import ReplyId, ReplyPolicy


class AcceptedMessage(NamedTuple):
    """The quota after a message, and its title if that became the name of the chatroom."""

    quota: DailyQuota
    title: str | None = None


class Acceptance(Protocol):
    """``accept_message`` of ``application.chat.acceptance`` as one write, so that an adapter may have a faster way."""

    def accept(
        self, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
    ) -> AcceptedMessage:
        """Stores the message, charges one prompt and queues the reply.

        A chatroom without a name gets its title, and one that is archived is so no more.

        Otherwise nothing is written, and the first of these that holds is raised: ChatroomNotFound unless the chatroom
        is the sender's, TooManyMessages, TooManyUnfinishedReplies, BacklogFull, QuotaExhausted. Concurrent calls never
        charge more than the plan allows; they may keep a few messages more than ``policy.user_messages``. The chatroom
        cannot be deleted before the unit of work ends.
        """
