"""Replies in PostgreSQL: the queue of record. All times are the database's."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from application.ports.replies import Replies
from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.errors import BacklogFull, TooManyUnfinishedReplies
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    EndedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
)

# Generations go on from those of the message's earlier replies, so that no position in one of their texts is taken for
# one in this reply's text.
ADD = """
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, priority, run, available_at, deadline, charged_on,
                     created_at)
VALUES (%(id)s, %(message_id)s, %(chatroom_id)s, %(user_id)s, 'queued', %(priority)s,
        COALESCE((SELECT max(run) FROM replies WHERE message_id = %(message_id)s), 0), now(),
        now() + %(answer_within)s, %(charged_on)s, %(created_at)s)
"""
# Counts up to the limits only, which bounds the cost of a full backlog.
BACKLOG_OF_USER = """SELECT count(*) FROM (
    SELECT 1 FROM replies WHERE user_id = %(user_id)s AND state IN ('queued', 'running')
    LIMIT %(user_backlog)s) AS mine"""
BACKLOG_OF_ALL = """SELECT count(*) FROM (
    SELECT 1 FROM replies WHERE state IN ('queued', 'running') LIMIT %(backlog)s) AS of_all"""
BACKLOGS = f"SELECT ({BACKLOG_OF_USER}), ({BACKLOG_OF_ALL})"
# Serializes claims, so that each sees what the previous one has claimed. Held until the commit.
LOCK_CLAIMS = "SELECT pg_advisory_xact_lock(7364202602)"
# Bounded candidate window: claim cost is independent of the backlog. Users at their limit are excluded before LIMIT, so
# one user cannot fill it. The UPDATE repeats the conditions: at this moment a worker may be finishing a reply whose
# lease has expired.
CLAIM_DUE = """
WITH busy AS MATERIALIZED (
    SELECT user_id, count(*) AS running FROM replies
    WHERE state = 'running' AND lease_until > now() GROUP BY user_id
), due AS MATERIALIZED (
    SELECT r.id, r.user_id, r.priority, COALESCE(r.lease_until, r.available_at) AS due_at FROM replies r
    WHERE r.state IN ('queued', 'running')
      AND COALESCE(r.lease_until, r.available_at) <= now()
      AND r.deadline > now() AND r.attempt < %(max_attempts)s AND r.stop_requested_at IS NULL
      AND NOT EXISTS (
          SELECT 1 FROM replies earlier
          WHERE earlier.chatroom_id = r.chatroom_id AND earlier.sequence < r.sequence
            AND earlier.state IN ('queued', 'running'))
      AND NOT EXISTS (SELECT 1 FROM busy WHERE busy.user_id = r.user_id AND busy.running >= %(user_concurrency)s)
    ORDER BY r.priority, COALESCE(r.lease_until, r.available_at)
    LIMIT %(window)s
), fair AS (
    SELECT due.id, due.priority, due.due_at,
           COALESCE(busy.running, 0) + row_number() OVER (PARTITION BY due.user_id ORDER BY due.due_at, due.id) AS nth
    FROM due LEFT JOIN busy USING (user_id)
), chosen AS (
    SELECT id FROM fair WHERE nth <= %(user_concurrency)s ORDER BY priority, due_at, id LIMIT %(limit)s
)
UPDATE replies
SET state = 'running', attempt = attempt + 1, run = run + 1,
    lease_token = gen_random_uuid(), lease_until = now() + %(lease)s,
    started_at = COALESCE(replies.started_at, now())
FROM chosen, messages, chatrooms
WHERE replies.id = chosen.id AND messages.id = replies.message_id AND chatrooms.id = replies.chatroom_id
  AND replies.state IN ('queued', 'running') AND COALESCE(replies.lease_until, replies.available_at) <= now()
  AND replies.stop_requested_at IS NULL
RETURNING replies.id AS reply_id, lease_token, replies.message_id, replies.chatroom_id, attempt, run AS generation,
          messages.content AS prompt, chatrooms.system_prompt,
          EXTRACT(EPOCH FROM deadline - now())::float8 AS seconds_left,
          EXTRACT(EPOCH FROM now() - available_at)::float8 AS seconds_queued
"""
RENEW_LEASE = """
UPDATE replies SET lease_until = now() + %(lease)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
"""
FINISH = """
UPDATE replies
SET state = 'done', content = %(content)s, model = %(model)s, truncated = %(truncated)s,
    input_tokens = %(input_tokens)s, output_tokens = %(output_tokens)s,
    finished_at = now(), lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
"""
POSTPONE = """
UPDATE replies
SET state = 'queued', available_at = now() + %(delay)s, attempt = attempt - %(uncounted)s,
    lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running' AND stop_requested_at IS NULL
"""
FAIL = """
UPDATE replies
SET state = 'failed', failure = %(failure)s, finished_at = now(), refunded_at = now(),
    lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
RETURNING user_id, charged_on AS day
"""
STOP = """
UPDATE replies
SET state = 'cancelled', content = NULLIF(%(partial)s, ''), finished_at = now(),
    refunded_at = CASE WHEN %(refund)s THEN now() END, lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND lease_token = %(lease_token)s AND state = 'running'
RETURNING user_id, charged_on AS day
"""
LOCK_STATE = "SELECT state FROM replies WHERE id = %(id)s FOR UPDATE"
CANCEL_QUEUED = """
UPDATE replies SET state = 'cancelled', finished_at = now(), refunded_at = now() WHERE id = %(id)s
RETURNING id AS reply_id, run AS generation, failure, user_id, charged_on AS day
"""
REQUEST_STOP = "UPDATE replies SET stop_requested_at = COALESCE(stop_requested_at, now()) WHERE id = %(id)s"
# The running ones, too: a worker that ends one locks it, and then the daily use, which a refund locks before the
# chatroom's removal comes to the replies.
LOCK_UNFINISHED_IN = """
SELECT state, user_id, charged_on AS day FROM replies
WHERE chatroom_id = %(chatroom_id)s AND state IN ('queued', 'running')
ORDER BY charged_on, id FOR UPDATE
"""
TO_BE_STOPPED = """
SELECT asked.id FROM unnest(%(ids)s::uuid[]) AS asked(id) LEFT JOIN replies ON replies.id = asked.id
WHERE replies.id IS NULL OR replies.stop_requested_at IS NOT NULL
"""
# The mark tells the worker.
GIVE_UP = """
UPDATE replies
SET state = 'failed', failure = %(failure)s, finished_at = now(), refunded_at = now(),
    stop_requested_at = COALESCE(stop_requested_at, now()), lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND state IN ('queued', 'running')
RETURNING id AS reply_id, run AS generation, failure, user_id, charged_on AS day
"""
FAIL_EXPIRED = """
WITH expired AS MATERIALIZED (
    SELECT id FROM replies
    WHERE (state = 'queued' AND deadline <= now())
       OR (state = 'running' AND lease_until <= now()
           AND (attempt >= %(max_attempts)s OR deadline <= now() OR stop_requested_at IS NOT NULL))
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE replies
SET state = CASE WHEN stop_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END,
    failure = CASE WHEN stop_requested_at IS NOT NULL THEN NULL
                   WHEN deadline <= now() THEN %(deadline_exceeded)s ELSE %(attempts_exhausted)s END,
    finished_at = now(), refunded_at = now(), lease_token = NULL, lease_until = NULL
FROM expired WHERE replies.id = expired.id
RETURNING replies.id AS reply_id, run AS generation, failure, user_id, charged_on AS day
"""


class SqlReplies(Replies):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def add(self, reply: QueuedReply) -> None:
        self._cursor.execute(
            ADD,
            {
                "id": reply.id,
                "message_id": reply.message_id,
                "chatroom_id": reply.chatroom_id,
                "user_id": reply.user_id,
                "priority": 0 if reply.urgent else 1,
                "answer_within": reply.answer_within,
                "charged_on": reply.charged_on,
                "created_at": reply.created_at,
            },
        )

    def check_backlog(self, user_id: UserId, *, policy: ReplyPolicy) -> None:
        self._cursor.execute(
            BACKLOGS,
            {"user_id": user_id, "user_backlog": policy.user_backlog, "backlog": policy.backlog},
        )
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a select without FROM always has a row
        if row[0] >= policy.user_backlog:
            raise TooManyUnfinishedReplies(limit=policy.user_backlog)
        if row[1] >= policy.backlog:
            raise BacklogFull

    def claim_due(self, *, limit: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        self._cursor.execute(LOCK_CLAIMS)
        self._cursor.execute(
            CLAIM_DUE,
            {
                "limit": limit,
                "window": 4 * limit + policy.user_backlog,
                "max_attempts": policy.max_attempts,
                "user_concurrency": policy.user_concurrency,
                "lease": policy.lease,
            },
        )
        return [_claimed(row) for row in self._cursor.fetchall()]

    def renew_lease(self, claim: Claim, *, policy: ReplyPolicy) -> bool:
        return self._guarded(RENEW_LEASE, claim, lease=policy.lease)

    def finish(self, claim: Claim, answer: Answer) -> bool:
        return self._guarded(
            FINISH,
            claim,
            content=answer.text,
            model=answer.model,
            truncated=answer.truncated,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
        )

    def postpone(self, claim: Claim, *, delay: timedelta, counted: bool) -> bool:
        return self._guarded(POSTPONE, claim, delay=delay, uncounted=0 if counted else 1)

    def fail(self, claim: Claim, reason: FailureReason) -> Charge | None:
        return self._charge() if self._guarded(FAIL, claim, failure=reason.value) else None

    def stop(self, claim: Claim, *, partial: str, refund: bool) -> Charge | None:
        return self._charge() if self._guarded(STOP, claim, partial=partial, refund=refund) else None

    def cancel(self, reply_id: ReplyId) -> ReplyState | EndedReply:
        self._cursor.execute(LOCK_STATE, {"id": reply_id})
        row = self._cursor.fetchone()
        assert row is not None  # noqa: S101 - the caller has locked its message
        state = ReplyState(row[0])
        if state is ReplyState.QUEUED:
            self._cursor.execute(CANCEL_QUEUED, {"id": reply_id})
            return self._ended()[0]
        if state is ReplyState.RUNNING:
            self._cursor.execute(REQUEST_STOP, {"id": reply_id})
        return state

    def not_begun_in(self, chatroom_id: ChatroomId) -> Sequence[Charge]:
        self._cursor.execute(LOCK_UNFINISHED_IN, {"chatroom_id": chatroom_id})
        return [Charge(*charge) for state, *charge in self._cursor.fetchall() if state == ReplyState.QUEUED]

    def to_be_stopped(self, reply_ids: Collection[ReplyId]) -> Collection[ReplyId]:
        self._cursor.execute(TO_BE_STOPPED, {"ids": list(reply_ids)})
        return [row[0] for row in self._cursor.fetchall()]

    def give_up(self, reply_id: ReplyId, reason: FailureReason) -> EndedReply | None:
        self._cursor.execute(GIVE_UP, {"id": reply_id, "failure": reason.value})
        return next(iter(self._ended()), None)

    def fail_expired(self, *, limit: int, policy: ReplyPolicy) -> Sequence[EndedReply]:
        self._cursor.execute(
            FAIL_EXPIRED,
            {
                "limit": limit,
                "max_attempts": policy.max_attempts,
                "deadline_exceeded": FailureReason.DEADLINE_EXCEEDED.value,
                "attempts_exhausted": FailureReason.ATTEMPTS_EXHAUSTED.value,
            },
        )
        # Sorted, so that two sweepers lock the users' daily use in the same order.
        return sorted(self._ended(), key=lambda ended: (ended.charge.user_id, ended.charge.day))

    def _guarded(self, statement: str, claim: Claim, **values: Any) -> bool:
        """Execute a statement that writes only while the claim holds the lease; whether it wrote."""
        self._cursor.execute(statement, {"id": claim.reply_id, "lease_token": claim.lease_token, **values})
        return self._cursor.rowcount == 1

    def _charge(self) -> Charge:
        [(user_id, day)] = self._cursor.fetchall()
        return Charge(user_id, day)

    def _ended(self) -> list[EndedReply]:
        return [_ended(row) for row in self._cursor.fetchall()]


# The columns have the names of the fields they become, in the same order (tests/integration/test_rows.py).


def _claimed(row: tuple[Any, ...]) -> ClaimedReply:
    reply_id, lease_token, *others = row
    return ClaimedReply(Claim(reply_id, lease_token), *others)


def _ended(row: tuple[Any, ...]) -> EndedReply:
    reply_id, generation, failure, *charge = row
    return EndedReply(reply_id, generation, FailureReason(failure) if failure else None, Charge(*charge))
