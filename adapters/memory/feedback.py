"""What users think of replies."""

from dataclasses import replace
from typing import cast

from adapters.memory.tables import MemoryDatabase, ReplyRow
from adapters.memory.transaction import Transaction
from application.ports.feedback import FeedbackStore
from domain.accounts import UserId
from domain.chat import MessageId
from domain.errors import MessageNotFound, ReplyNotRatable
from domain.feedback import Feedback
from domain.replies import ReplyId


class MemoryFeedbackStore(FeedbackStore):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def put(self, user_id: UserId, entry_id: MessageId | ReplyId, feedback: Feedback) -> None:
        self._store(user_id, entry_id, feedback)

    def remove(self, user_id: UserId, entry_id: MessageId | ReplyId) -> None:
        self._store(user_id, entry_id, None)

    def _store(self, user_id: UserId, entry_id: MessageId | ReplyId, feedback: Feedback | None) -> None:
        with self._database.one_at_a_time:
            transaction = Transaction(self._database)
            row = self._meant(transaction, user_id, entry_id)
            if feedback is not None and (row.unfinished or row.content is None):
                raise ReplyNotRatable
            transaction.tables.replies[row.queued.id] = replace(row, feedback=feedback)
            transaction.commit()

    def _meant(self, transaction: Transaction, user_id: UserId, entry_id: MessageId | ReplyId) -> ReplyRow:
        tables = transaction.tables
        row = tables.replies.get(cast("ReplyId", entry_id))
        message = tables.messages.get(row.queued.message_id if row else cast("MessageId", entry_id))
        if message is None or message.user_id != user_id:
            raise MessageNotFound
        return row or tables.replies_to(message.id)[-1]
