"""Single replies, for operators to look at."""

from collections.abc import Sequence
from datetime import datetime

from adapters.memory.tables import MemoryDatabase, ReplyRow
from application.ports.reply_files import ReplyFile, ReplyFiles, ReplyLine
from domain.accounts import UserId
from domain.feedback import Rating
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

    def rated(self, rating: Rating, *, since: datetime, user_id: UserId | None, limit: int) -> Sequence[ReplyLine]:
        rows = (row for row in self._database.tables.replies.values() if user_id in {None, row.queued.user_id})
        found = [
            (row.feedback.given_at, _line(row))
            for row in rows
            if row.feedback is not None and row.feedback.rating is rating and row.feedback.given_at >= since
        ]
        return [line for _, line in sorted(found, key=lambda pair: pair[0], reverse=True)[:limit]]

    def find(self, reply_id: ReplyId) -> ReplyFile | None:
        tables = self._database.tables
        row = tables.replies.get(reply_id)
        if row is None:
            return None
        feedback = row.feedback
        prompt, comment = tables.messages[row.queued.message_id].content, feedback.comment if feedback else None
        return ReplyFile(_line(row), prompt, row.content, comment)


def _line(row: ReplyRow) -> ReplyLine:
    feedback = row.feedback
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
        rating=feedback.rating if feedback else None,
        reasons=list(feedback.reasons) if feedback else None,
        rated_at=feedback.given_at if feedback else None,
    )
