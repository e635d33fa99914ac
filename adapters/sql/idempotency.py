"""Idempotency keys in PostgreSQL, written in the transaction of what they were sent with."""

from collections.abc import Sequence
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from application.ports.idempotency import Accepted, IdempotencyKeys
from domain.accounts import UserId
from domain.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from domain.plans import DailyQuota, Plan
from domain.retention import IDEMPOTENCY_KEYS_KEPT_FOR

# Held until the transaction ends. Not acquired: another request with the same key is in progress.
# With two numbers: clients choose the keys, and the locks of claims and migrations, which have one, are another space.
TAKE_TURN = "SELECT pg_try_advisory_xact_lock(1, hashtext(%(user_id)s::text || '/' || %(key)s))"
# A key of a message that went with its chatroom is unknown, whether its row is deleted already or not.
RECALL = """
SELECT fingerprint, message_id, reply_id, title, quota_day, quota_used, quota_limit, quota_plan FROM idempotency_keys k
WHERE k.user_id = %(user_id)s AND k.key = %(key)s AND k.created_at > now() - %(kept_for)s AND EXISTS (
    SELECT 1 FROM messages JOIN chatrooms ON chatrooms.id = messages.chatroom_id
    WHERE messages.id = k.message_id AND chatrooms.user_id = k.user_id)
"""
REMEMBER = """
INSERT INTO idempotency_keys (user_id, key, fingerprint, message_id, reply_id, quota_plan, quota_day, quota_used,
                              quota_limit, title, created_at)
VALUES (%(user_id)s, %(key)s, %(fingerprint)s, %(message_id)s, %(reply_id)s, %(plan)s, %(day)s, %(used)s, %(limit)s,
        %(title)s, now())
ON CONFLICT (user_id, key) DO UPDATE
SET fingerprint = EXCLUDED.fingerprint, message_id = EXCLUDED.message_id, reply_id = EXCLUDED.reply_id,
    quota_plan = EXCLUDED.quota_plan, quota_day = EXCLUDED.quota_day, quota_used = EXCLUDED.quota_used,
    quota_limit = EXCLUDED.quota_limit, title = EXCLUDED.title, created_at = EXCLUDED.created_at
"""
RECALL_REFERENCE = """
SELECT fingerprint, reference FROM idempotency_keys
WHERE user_id = %(user_id)s AND key = %(key)s AND created_at > now() - %(kept_for)s AND reference IS NOT NULL
"""
REMEMBER_REFERENCE = """
INSERT INTO idempotency_keys (user_id, key, fingerprint, reference, created_at)
SELECT id, %(key)s, %(fingerprint)s, %(reference)s, now() FROM users WHERE id = %(user_id)s FOR KEY SHARE
ON CONFLICT (user_id, key) DO UPDATE
SET fingerprint = EXCLUDED.fingerprint, reference = EXCLUDED.reference, created_at = EXCLUDED.created_at
"""
PURGE_EXPIRED = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at <= now() - %(kept_for)s
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""


class SqlIdempotencyKeys(IdempotencyKeys):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def recall(self, user_id: UserId, key: str, *, fingerprint: bytes) -> Accepted | None:
        row = self._recall(RECALL, user_id, key, fingerprint)
        if row is None:
            return None
        message_id, reply_id, title, day, used, limit, plan = row
        return Accepted(message_id, reply_id, DailyQuota(day, used, limit, Plan(plan)), title)

    def remember(self, user_id: UserId, key: str, *, fingerprint: bytes, accepted: Accepted) -> None:
        """Replaces a key that ``recall`` took for new because it is older than 24 hours."""
        self._cursor.execute(
            REMEMBER,
            {
                "user_id": user_id,
                "key": key,
                "fingerprint": fingerprint,
                "message_id": accepted.message_id,
                "reply_id": accepted.reply_id,
                "plan": accepted.quota.plan.value,
                "day": accepted.quota.day,
                "used": accepted.quota.used,
                "limit": accepted.quota.limit,
                "title": accepted.title,
            },
        )

    def recall_reference(self, user_id: UserId, key: str, *, fingerprint: bytes) -> str | None:
        row = self._recall(RECALL_REFERENCE, user_id, key, fingerprint)
        return str(row[0]) if row is not None else None

    def remember_reference(self, user_id: UserId, key: str, *, fingerprint: bytes, reference: str) -> None:
        self._cursor.execute(
            REMEMBER_REFERENCE,
            {"user_id": user_id, "key": key, "fingerprint": fingerprint, "reference": reference},
        )

    def _recall(self, statement: str, user_id: UserId, key: str, fingerprint: bytes) -> Sequence[Any] | None:
        """What the statement selects after the fingerprint."""
        self._cursor.execute(TAKE_TURN, {"user_id": user_id, "key": key})
        turn = self._cursor.fetchone()
        if turn is None or not turn[0]:
            raise IdempotencyKeyInUse
        self._cursor.execute(statement, {"user_id": user_id, "key": key, "kept_for": IDEMPOTENCY_KEYS_KEPT_FOR})
        row = self._cursor.fetchone()
        if row is None:
            return None
        if bytes(row[0]) != fingerprint:
            raise IdempotencyKeyReused
        return row[1:]

    def purge_expired(self, *, limit: int) -> int:
        self._cursor.execute(PURGE_EXPIRED, {"limit": limit, "kept_for": IDEMPOTENCY_KEYS_KEPT_FOR})
        return self._cursor.rowcount
