"""Single replies, for operators to look at."""

from collections.abc import Sequence
from datetime import datetime

from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.reply_files import ReplyFile, ReplyFiles, ReplyLine
from domain.accounts import UserId
from domain.replies import FailureReason, ReplyId, ReplyState


class MemoryReplyFiles(ReplyFiles):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def failed(
        self, *, since: datetime, reason: FailureReason | None, user_id: UserId | None, limit: int
    ) -> Sequence[ReplyLine]:
        lines = (_line(row) for row in self._database.tables.replies.values() if row.state is ReplyState.FAILED)
        found = [
            line
            for line in lines
            if line.finished_at is not None
            and line.finished_at >= since
            and reason in {None, line.failure}
            and user_id in {None, line.user_id}
        ]
        return sorted(found, key=lambda line: line.reply_id, reverse=True)[:limit]

    def find(self, reply_id: ReplyId) -> ReplyFile | None:
        tables = self._database.tables
        row = tables.replies.get(reply_id)
        if row is None:
            return None
        return ReplyFile(_line(row), tables.messages[row.queued.message_id].content, row.content)


def _line(row: ReplyRow) -> ReplyLine:
    return ReplyLine(
        reply_id=row.queued.id,
        message_id=row.queued.message_id,
        chatroom_id=row.queued.chatroom_id,
        user_id=row.queued.user_id,
        state=row.state,
        failure=row.failure,
        attempts=row.attempt,
        created_at=row.queued.created_at,
        finished_at=row.finished_at,
        refunded_at=row.refunded_at,
        model=row.model,
    )
