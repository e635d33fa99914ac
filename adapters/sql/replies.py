"""Replies in PostgreSQL: the queue of record. All times are the database's."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyPolicy,
)

ADD = """
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, created_at)
VALUES (%(id)s, %(message_id)s, %(chatroom_id)s, %(user_id)s, 'queued', now(), now() + %(answer_within)s,
        %(charged_on)s, %(created_at)s)
"""
# SKIP LOCKED: what another worker is claiming at this moment is passed over, not waited for.
CLAIM_DUE = """
WITH due AS MATERIALIZED (
    SELECT r.id FROM replies r
    WHERE r.state IN ('queued', 'running')
      AND COALESCE(r.lease_until, r.available_at) <= now()
      AND r.deadline > now()
      AND r.attempt < %(max_attempts)s
      AND NOT EXISTS (
          SELECT 1 FROM replies earlier
          WHERE earlier.chatroom_id = r.chatroom_id AND earlier.id < r.id
            AND earlier.state IN ('queued', 'running'))
    ORDER BY COALESCE(r.lease_until, r.available_at), r.id
    LIMIT %(limit)s
    FOR UPDATE OF r SKIP LOCKED
)
UPDATE replies
SET state = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(), lease_until = now() + %(lease)s,
    started_at = COALESCE(replies.started_at, now())
FROM due, messages
WHERE replies.id = due.id AND messages.id = replies.message_id
RETURNING replies.id, lease_token, attempt, messages.content, EXTRACT(EPOCH FROM deadline - now())::float8
"""
FINISH = """
UPDATE replies
SET state = 'done', content = %(content)s, model = %(model)s, truncated = %(truncated)s,
    input_tokens = %(input_tokens)s, output_tokens = %(output_tokens)s,
    finished_at = now(), lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
"""
POSTPONE = """
UPDATE replies SET state = 'queued', available_at = now() + %(delay)s, lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
"""
FAIL = """
UPDATE replies
SET state = 'failed', failure = %(failure)s, finished_at = now(), refunded_at = now(),
    lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
RETURNING user_id, charged_on
"""
RELEASE = """
UPDATE replies
SET state = 'queued', attempt = attempt - 1, available_at = now(), lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
"""
FAIL_HOPELESS = """
WITH hopeless AS MATERIALIZED (
    SELECT id FROM replies
    WHERE (state = 'queued' AND deadline <= now())
       OR (state = 'running' AND lease_until <= now() AND (attempt >= %(max_attempts)s OR deadline <= now()))
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE replies
SET state = 'failed', finished_at = now(), refunded_at = now(), lease_token = NULL, lease_until = NULL,
    failure = CASE WHEN deadline <= now() THEN %(deadline_exceeded)s ELSE %(attempts_exhausted)s END
FROM hopeless WHERE replies.id = hopeless.id
RETURNING user_id, charged_on
"""


class SqlReplies:
    """The Replies port."""

    def __init__(self, cursor: Cursor) -> None:
        """Work on the transaction of ``cursor``."""
        self._cursor = cursor

    def add(self, reply: QueuedReply) -> None:
        """Queue a new reply, due at once."""
        self._cursor.execute(
            ADD,
            {
                "id": reply.id,
                "message_id": reply.message_id,
                "chatroom_id": reply.chatroom_id,
                "user_id": reply.user_id,
                "answer_within": reply.answer_within,
                "charged_on": reply.charged_on,
                "created_at": reply.created_at,
            },
        )

    def claim_due(self, *, limit: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        """Take up to ``limit`` due replies, each with a fresh fencing token."""
        self._cursor.execute(
            CLAIM_DUE,
            {"limit": limit, "max_attempts": policy.max_attempts, "lease": policy.lease},
        )
        return [_claimed(*row) for row in self._cursor.fetchall()]

    def finish(self, claim: Claim, answer: Answer) -> bool:
        """RUNNING -> DONE."""
        return self._guarded(
            FINISH,
            claim,
            content=answer.text,
            model=answer.model,
            truncated=answer.truncated,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
        )

    def postpone(self, claim: Claim, *, delay: timedelta) -> bool:
        """RUNNING -> QUEUED, due later."""
        return self._guarded(POSTPONE, claim, delay=delay)

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        """RUNNING -> FAILED."""
        if not self._guarded(FAIL, claim, failure=reason.value):
            return None
        return self._charges()[0]

    def release(self, claim: Claim) -> bool:
        """RUNNING -> QUEUED, the attempt not counted."""
        return self._guarded(RELEASE, claim)

    def fail_hopeless(self, *, limit: int, policy: ReplyPolicy) -> Sequence[Charge]:
        """Fail what nobody may try any more."""
        self._cursor.execute(
            FAIL_HOPELESS,
            {
                "limit": limit,
                "max_attempts": policy.max_attempts,
                "deadline_exceeded": FailureReason.DEADLINE_EXCEEDED.value,
                "attempts_exhausted": FailureReason.ATTEMPTS_EXHAUSTED.value,
            },
        )
        # Sorted, so that two sweepers lock the users' daily use in the same order.
        return sorted(self._charges(), key=lambda charge: (charge.user_id, charge.day))

    def _guarded(self, statement: str, claim: Claim, **values: Any) -> bool:
        """Run a statement that writes only while the claim holds its lease; whether it did."""
        self._cursor.execute(statement, {"id": claim.reply_id, "lease_token": claim.lease_token, **values})
        return self._cursor.rowcount == 1

    def _charges(self) -> list[Charge]:
        return [Charge(user_id, day) for user_id, day in self._cursor.fetchall()]


def _claimed(reply_id: UUID, lease_token: UUID, attempt: int, prompt: str, seconds_left: float) -> ClaimedReply:
    return ClaimedReply(Claim(ReplyId(reply_id), lease_token), attempt, prompt, seconds_left)
