"""Accepting messages: the rule itself, on the repositories of a unit of work."""

from adapters.memory.transaction import Transaction
from application.chat.acceptance import accept_message
from application.ports.acceptance import Acceptance, AcceptedMessage
from application.ports.unit_of_work import UnitOfWork
from domain.chat import Message
from domain.plans import Allowances
from domain.replies import ReplyId, ReplyPolicy


class MemoryAcceptance(Acceptance):
    def __init__(self, work: UnitOfWork, transaction: Transaction) -> None:
        self._work = work
        self._transaction = transaction

    def accept(
        self, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
    ) -> AcceptedMessage:
        with self._transaction.write():
            return accept_message(self._work, message, reply_id, allowances=allowances, policy=policy)
