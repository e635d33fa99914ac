"""Single replies in PostgreSQL, for operators to look at."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.sql.database import Database
from adapters.sql.queue_state import first_id_of
from application.ports.reply_files import ReplyFile, ReplyFiles, ReplyLine
from domain.accounts import UserId
from domain.feedback import FeedbackReason, Rating
from domain.replies import FailureReason, ReplyId, ReplyState

LINE = """r.id AS reply_id, r.message_id, r.chatroom_id, r.user_id, r.state, r.failure, r.attempt AS attempts,
       r.created_at, r.finished_at, r.refunded_at, r.model, r.rating, r.rating_reasons AS reasons,
       r.rated_at"""
# Through the primary key: ids (UUIDv7) begin with the time they were made at, and no index has the time of the end.
FAILED = f"""
SELECT {LINE} FROM replies r
WHERE r.id >= %(oldest)s AND r.state = 'failed' AND r.finished_at >= %(since)s
  AND (%(failure)s::text IS NULL OR r.failure = %(failure)s)
  AND (%(user_id)s::uuid IS NULL OR r.user_id = %(user_id)s)
ORDER BY r.id DESC LIMIT %(limit)s
"""  # noqa: S608 - columns, no values
# Without those of removed chatrooms, as FIND.
RATED = f"""
SELECT {LINE} FROM replies r JOIN chatrooms c ON c.id = r.chatroom_id
WHERE r.rating IS NOT NULL AND r.rating = %(rating)s AND r.rated_at >= %(since)s AND c.user_id IS NOT NULL
  AND (%(user_id)s::uuid IS NULL OR r.user_id = %(user_id)s)
ORDER BY r.rated_at DESC LIMIT %(limit)s
"""  # noqa: S608 - columns, no values
FIND = f"""
SELECT m.content AS prompt, r.content AS answer, r.rating_comment AS comment, {LINE}
FROM replies r JOIN messages m ON m.id = r.message_id JOIN chatrooms c ON c.id = r.chatroom_id
WHERE r.id = %(id)s AND c.user_id IS NOT NULL
"""  # noqa: S608 - columns, no values
# A reply ends at its deadline at the latest, which is a day at most, or soon after the workers are back.
LONGEST_LIFE = timedelta(days=7)


class SqlReplyFiles(ReplyFiles):
    def __init__(self, database: Database) -> None:
        self._database = database

    def failed(
        self, *, since: datetime, reason: FailureReason | None, user_id: UserId | None, limit: int
    ) -> Sequence[ReplyLine]:
        values = {
            "oldest": first_id_of(since - LONGEST_LIFE),
            "since": since,
            "failure": reason.value if reason else None,
            "user_id": user_id,
            "limit": limit,
        }
        return [_line(row) for row in self._database.rows(FAILED, values)]

    def rated(self, rating: Rating, *, since: datetime, user_id: UserId | None, limit: int) -> Sequence[ReplyLine]:
        values = {"rating": rating.value, "since": since, "user_id": user_id, "limit": limit}
        return [_line(row) for row in self._database.rows(RATED, values)]

    def find(self, reply_id: ReplyId) -> ReplyFile | None:
        rows = self._database.rows(FIND, {"id": reply_id})
        if not rows:
            return None
        prompt, answer, comment, *line = rows[0]
        return ReplyFile(_line(line), prompt, answer, comment)


def _line(row: Sequence[Any]) -> ReplyLine:
    line = ReplyLine._make(row)
    failure = FailureReason(line.failure) if line.failure else None
    rating = Rating(line.rating) if line.rating else None
    reasons = None if line.reasons is None else [FeedbackReason(reason) for reason in line.reasons]
    return line._replace(state=ReplyState(line.state), failure=failure, rating=rating, reasons=reasons)
