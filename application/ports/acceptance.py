"""Accepting a message, as a unit of work does it."""

from typing import Protocol

from domain.chat import Message
from domain.plans import Allowances, DailyQuota
from domain.replies import ReplyId, ReplyPolicy


class Acceptance(Protocol):
    """All that belongs to accepting a message, as one step: it is what is done most, and one question is cheaper."""

    def accept(self, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy) -> DailyQuota:
        """Charge one prompt, keep the message, queue its reply; how the quota stands after it.

        Otherwise nothing is done, and this is why, the first that holds: ChatroomNotFound unless the chatroom is the
        sender's; TooManyUnfinishedReplies, BacklogFull; QuotaExhausted. However many are accepted at once, never more
        are charged than the plan allows. The chatroom cannot vanish before the unit of work ends.
        """
