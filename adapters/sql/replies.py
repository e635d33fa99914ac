"""Replies in PostgreSQL: the queue of record. All times are the database's."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.database import PreparedStatement
from application.ports.replies import Finished, Replies
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
# How a statement says that a reply is unfinished decides which of the three indexes of such replies it can use; a wrong
# one would be read from end to end for every row. So the plan does not depend on statistics, which are stale exactly
# when a queue has just filled up. What is read in bulk is read in an index's order, and not the whole table, for the
# same reason.
BY_DUE = "state IN ('queued', 'running')"
BY_ROOM = "finished_at IS NULL AND sequence > 0"
BY_USER = "finished_at IS NULL AND run >= 0"
IN_DUE_ORDER = "ORDER BY priority, COALESCE(lease_until, available_at)"


def overdue(row: str) -> str:
    """That the deadline of a reply has passed, and no worker holds it. A queued one has no lease."""
    return f"({row}.finished_at IS NULL AND {row}.deadline <= now() AND COALESCE({row}.lease_until <= now(), true))"


# Counts up to the limits only, which bounds the cost of a full backlog.
BACKLOG_OF_USER = f"""SELECT count(*) FROM (
    SELECT 1 FROM replies WHERE user_id = %(user_id)s AND {BY_USER} LIMIT %(user_backlog)s) AS mine"""  # noqa: S608
BACKLOG_OF_ALL = f"""SELECT count(*) FROM (
    SELECT 1 FROM replies WHERE {BY_DUE} {IN_DUE_ORDER} LIMIT %(backlog)s) AS of_all"""  # noqa: S608
BACKLOGS = f"SELECT ({BACKLOG_OF_USER}), ({BACKLOG_OF_ALL})"
# Serializes claims, so that each sees what the previous one has claimed. Held until the commit.
LOCK_CLAIMS = "SELECT pg_advisory_xact_lock(7364202602)"
# Of each plan a bounded window of candidates, oldest first. Users at their limit are excluded before LIMIT, so one user
# cannot fill it. The UPDATE repeats the conditions: at this moment a worker may be finishing a reply whose lease has
# expired.
CLAIM_DUE = f"""
WITH due AS MATERIALIZED (
    SELECT candidate.* FROM (VALUES (0::smallint), (1::smallint)) AS plan (priority) CROSS JOIN LATERAL (
        SELECT r.id, r.user_id, r.priority, COALESCE(lease_until, available_at) AS due_at, of_user.running
        FROM replies r CROSS JOIN LATERAL (
            SELECT count(*) AS running FROM replies
            WHERE user_id = r.user_id AND {BY_USER} AND lease_until > now()
        ) AS of_user
        WHERE r.priority = plan.priority AND {BY_DUE} AND COALESCE(lease_until, available_at) <= now()
          AND deadline > now() AND attempt < %(max_attempts)s AND stop_requested_at IS NULL
          AND r.id = (SELECT id FROM replies WHERE chatroom_id = r.chatroom_id AND {BY_ROOM} ORDER BY sequence LIMIT 1)
          AND of_user.running < %(user_concurrency)s
        ORDER BY COALESCE(lease_until, available_at)
        LIMIT %(window)s
    ) AS candidate
), fair AS (
    SELECT id, priority, due_at, running + row_number() OVER of_user AS nth FROM due
    WINDOW of_user AS (PARTITION BY user_id ORDER BY priority, due_at, id)
), allowed AS (
    SELECT id, priority, due_at, row_number() OVER (PARTITION BY priority ORDER BY due_at, id) AS place FROM fair
    WHERE nth <= %(user_concurrency)s
), chosen AS (
    SELECT id FROM allowed
    ORDER BY priority = 1 AND place <= %(basic_first)s DESC, priority, due_at, id LIMIT %(limit)s
)
UPDATE replies
SET state = 'running', attempt = attempt + 1, run = run + 1,
    lease_token = gen_random_uuid(), lease_until = now() + %(lease)s,
    started_at = COALESCE(started_at, now())
WHERE id = ANY(ARRAY(SELECT id FROM chosen))
  AND finished_at IS NULL AND COALESCE(lease_until, available_at) <= now() AND stop_requested_at IS NULL
RETURNING id AS reply_id, lease_token, message_id, chatroom_id, user_id, attempt, run AS generation,
          priority = 0 AS urgent,
          (SELECT content FROM messages WHERE messages.id = message_id) AS prompt,
          (SELECT system_prompt FROM chatrooms WHERE chatrooms.id = chatroom_id) AS system_prompt,
          EXTRACT(EPOCH FROM deadline - now())::float8 AS seconds_left,
          EXTRACT(EPOCH FROM now() - available_at)::float8 AS seconds_queued
"""  # noqa: S608 - parts of statements, no values
# In one message with the lock, so that no claim waits for what this process does while it holds it. The claim has a
# snapshot of its own, from after the lock was acquired. Planning it takes longer than an ordinary claim.
CLAIM_DUE_PREPARED = PreparedStatement("claim_due", CLAIM_DUE, first=LOCK_CLAIMS)
# That the claim holds the lease, which a reply has while it runs. The state is left out: with it, the index of what is
# due was read from end to end where statistics are of a day without a queue.
IS_HELD = "id = %(id)s AND lease_token = %(lease_token)s AND lease_until IS NOT NULL"
RENEW_LEASE = f"""
UPDATE replies SET lease_until = now() + %(lease)s
WHERE {IS_HELD}
"""  # noqa: S608 - a condition, no values
FINISH = f"""
UPDATE replies
SET state = 'done', content = %(content)s, model = %(model)s, truncated = %(truncated)s,
    input_tokens = %(input_tokens)s, output_tokens = %(output_tokens)s,
    finished_at = now(), lease_token = NULL, lease_until = NULL
WHERE {IS_HELD}
RETURNING EXISTS (
    SELECT 1 FROM replies o WHERE o.user_id = replies.user_id AND {BY_USER} AND o.id <> replies.id) AS others_wait
"""  # noqa: S608 - a condition, no values
FINISH_PREPARED = PreparedStatement("finish", FINISH)
POSTPONE = f"""
UPDATE replies
SET state = 'queued', available_at = now() + %(delay)s, attempt = attempt - %(uncounted)s,
    lease_token = NULL, lease_until = NULL
WHERE {IS_HELD} AND stop_requested_at IS NULL
"""  # noqa: S608 - a condition, no values
FAIL = f"""
UPDATE replies
SET state = 'failed', failure = %(failure)s, finished_at = now(), refunded_at = now(),
    lease_token = NULL, lease_until = NULL
WHERE {IS_HELD}
RETURNING user_id, charged_on AS day
"""  # noqa: S608 - a condition, no values
STOP = f"""
UPDATE replies
SET state = 'cancelled', content = NULLIF(%(partial)s, ''), finished_at = now(),
    refunded_at = CASE WHEN %(refund)s THEN now() END, lease_token = NULL, lease_until = NULL
WHERE {IS_HELD}
RETURNING user_id, charged_on AS day
"""  # noqa: S608 - a condition, no values
LOCK_STATE = "SELECT state FROM replies WHERE id = %(id)s FOR UPDATE"
CANCEL_QUEUED = """
UPDATE replies SET state = 'cancelled', finished_at = now(), refunded_at = now() WHERE id = %(id)s
RETURNING id AS reply_id, run AS generation, failure, user_id, charged_on AS day
"""
REQUEST_STOP = "UPDATE replies SET stop_requested_at = COALESCE(stop_requested_at, now()) WHERE id = %(id)s"
# The running ones, too: a worker that ends one locks it, and then the daily use, which a refund locks before the
# chatroom's removal comes to the replies.
LOCK_UNFINISHED_IN = f"""
SELECT state, user_id, charged_on AS day FROM replies
WHERE chatroom_id = %(chatroom_id)s AND {BY_ROOM}
ORDER BY charged_on, id FOR UPDATE
"""  # noqa: S608 - a condition, no values
TO_BE_STOPPED = """
SELECT asked.id FROM unnest(%(ids)s::uuid[]) AS asked(id) LEFT JOIN replies ON replies.id = asked.id
WHERE replies.id IS NULL OR replies.stop_requested_at IS NOT NULL
"""
# The mark tells the worker.
GIVE_UP = """
UPDATE replies
SET state = 'failed', failure = %(failure)s, finished_at = now(), refunded_at = now(),
    stop_requested_at = COALESCE(stop_requested_at, now()), lease_token = NULL, lease_until = NULL
WHERE id = %(id)s AND finished_at IS NULL
RETURNING id AS reply_id, run AS generation, failure, user_id, charged_on AS day
"""
OVERDUE_OF = f"SELECT id FROM replies WHERE user_id = %(user_id)s AND {BY_USER} AND {overdue('replies')}"  # noqa: S608
# Bounded, since it is asked with every message while the backlog is full.
OVERDUE = f"""
SELECT first.id FROM (VALUES (0::smallint), (1::smallint)) AS plan (priority) CROSS JOIN LATERAL (
    SELECT id, deadline, lease_until, finished_at FROM replies WHERE priority = plan.priority AND {BY_DUE}
    ORDER BY COALESCE(lease_until, available_at) LIMIT %(limit)s
) AS first WHERE {overdue("first")}
"""  # noqa: S608 - parts of statements, no values
IS_EXPIRED = f"""({overdue("replies")} OR lease_until <= now() AND
    (attempt >= %(max_attempts)s OR stop_requested_at IS NOT NULL))"""
EXPIRED = f"SELECT id FROM replies WHERE {BY_DUE} AND {IS_EXPIRED} {IN_DUE_ORDER}"  # noqa: S608
EXPIRED_AMONG = f"SELECT id FROM replies WHERE id = ANY(%(among)s) AND {IS_EXPIRED}"  # noqa: S608
FAIL_EXPIRED, FAIL_EXPIRED_AMONG = (
    f"""
WITH expired AS MATERIALIZED ({which} LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE replies
SET state = CASE WHEN stop_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END,
    failure = CASE WHEN stop_requested_at IS NOT NULL THEN NULL
                   WHEN deadline <= now() THEN %(deadline_exceeded)s ELSE %(attempts_exhausted)s END,
    finished_at = now(), refunded_at = now(), lease_token = NULL, lease_until = NULL
WHERE id = ANY(ARRAY(SELECT id FROM expired))
RETURNING id AS reply_id, run AS generation, failure, user_id, charged_on AS day
"""  # noqa: S608 - parts of statements, no values
    for which in (EXPIRED, EXPIRED_AMONG)
)


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

    def claim_due(self, *, limit: int, basic_first: int, policy: ReplyPolicy) -> Sequence[ClaimedReply]:
        CLAIM_DUE_PREPARED.execute(
            self._cursor,
            {
                "limit": limit,
                "basic_first": basic_first,
                "window": 4 * limit + policy.user_backlog,
                "max_attempts": policy.max_attempts,
                "user_concurrency": policy.user_concurrency,
                "lease": policy.lease,
            },
        )
        return [_claimed(row) for row in self._cursor.fetchall()]

    def renew_lease(self, claim: Claim, *, policy: ReplyPolicy) -> bool:
        return self._guarded(RENEW_LEASE, claim, lease=policy.lease)

    def finish(self, claim: Claim, answer: Answer) -> Finished | None:
        finished = self._guarded(
            FINISH_PREPARED,
            claim,
            content=answer.text,
            model=answer.model,
            truncated=answer.truncated,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
        )
        if not finished:
            return None
        [row] = self._cursor.fetchall()
        return Finished._make(row)

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

    def overdue(self, *, of: UserId | None, limit: int) -> Sequence[ReplyId]:
        self._cursor.execute(OVERDUE if of is None else OVERDUE_OF, {"user_id": of, "limit": limit})
        return [row[0] for row in self._cursor.fetchall()]

    def give_up(self, reply_id: ReplyId, reason: FailureReason) -> EndedReply | None:
        self._cursor.execute(GIVE_UP, {"id": reply_id, "failure": reason.value})
        return next(iter(self._ended()), None)

    def fail_expired(
        self, *, limit: int, policy: ReplyPolicy, among: Collection[ReplyId] | None = None
    ) -> Sequence[EndedReply]:
        self._cursor.execute(
            FAIL_EXPIRED if among is None else FAIL_EXPIRED_AMONG,
            {
                "among": None if among is None else list(among),
                "limit": limit,
                "max_attempts": policy.max_attempts,
                "deadline_exceeded": FailureReason.DEADLINE_EXCEEDED.value,
                "attempts_exhausted": FailureReason.ATTEMPTS_EXHAUSTED.value,
            },
        )
        # Sorted, so that two sweepers lock the users' daily use in the same order.
        return sorted(self._ended(), key=lambda ended: (ended.charge.user_id, ended.charge.day))

    def _guarded(self, statement: PreparedStatement | str, claim: Claim, **values: Any) -> bool:
        """Execute a statement that writes only while the claim holds the lease; whether it wrote."""
        values |= {"id": claim.reply_id, "lease_token": claim.lease_token}
        if isinstance(statement, PreparedStatement):
            statement.execute(self._cursor, values)
        else:
            self._cursor.execute(statement, values)
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
