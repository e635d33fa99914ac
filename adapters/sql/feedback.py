"""What users think of replies: columns of the replies, so that reading them costs no join."""

from typing import Any

from adapters.sql.database import Database
from application.ports.feedback import FeedbackStore
from domain.accounts import UserId
from domain.chat import MessageId
from domain.errors import MessageNotFound, ReplyNotRatable
from domain.feedback import Feedback, FeedbackReason, Rating
from domain.replies import ReplyId

# Named after the fields of Feedback; they stand last in their statements.
FEEDBACK_COLUMNS = "r.rating, r.rating_reasons AS reasons, r.rating_comment AS comment, r.rated_at AS given_at"
# The chatroom is joined for its user: a removed one has none.
MEANT = """
SELECT r.id, r.finished_at IS NOT NULL AND r.content IS NOT NULL AS ratable
FROM replies r JOIN chatrooms c ON c.id = r.chatroom_id AND c.user_id = %(user_id)s
WHERE r.id = %(entry_id)s OR r.message_id = %(entry_id)s
ORDER BY r.sequence DESC LIMIT 1
"""
# A finished reply stays as it is, so what is ratable stays so.
PUT = f"""
WITH meant AS ({MEANT}), rated AS (
    UPDATE replies SET rating = %(rating)s, rating_reasons = %(reasons)s, rating_comment = %(comment)s,
                       rated_at = %(given_at)s
    FROM meant WHERE replies.id = meant.id AND meant.ratable
)
SELECT ratable FROM meant
"""  # noqa: S608 - parts of statements, no values
REMOVE = f"""
WITH meant AS ({MEANT}), withdrawn AS (
    UPDATE replies SET rating = NULL, rating_reasons = NULL, rating_comment = NULL, rated_at = NULL
    FROM meant WHERE replies.id = meant.id AND replies.rating IS NOT NULL
)
SELECT ratable FROM meant
"""  # noqa: S608 - parts of statements, no values

RATINGS = {rating.value: rating for rating in Rating}


class SqlFeedbackStore(FeedbackStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, user_id: UserId, entry_id: MessageId | ReplyId, feedback: Feedback) -> None:
        values = {
            "rating": feedback.rating.value,
            "reasons": [reason.value for reason in feedback.reasons],
            "comment": feedback.comment,
            "given_at": feedback.given_at,
        }
        if not self._is_ratable(PUT, user_id, entry_id, values):
            raise ReplyNotRatable

    def remove(self, user_id: UserId, entry_id: MessageId | ReplyId) -> None:
        self._is_ratable(REMOVE, user_id, entry_id, {})

    def _is_ratable(
        self, statement: str, user_id: UserId, entry_id: MessageId | ReplyId, values: dict[str, Any]
    ) -> bool:
        with self._database.autocommit() as cursor:
            cursor.execute(statement, {"user_id": user_id, "entry_id": entry_id, **values})
            row = cursor.fetchone()
        if row is None:
            raise MessageNotFound
        return bool(row[0])


def feedback_of(rating: str | None, reasons: list[str] | None, comment: str | None, given_at: Any) -> Feedback | None:
    """The feedback of FEEDBACK_COLUMNS."""
    if rating is None:
        return None
    return Feedback(RATINGS[rating], tuple(map(FeedbackReason, reasons or ())), comment, given_at)
