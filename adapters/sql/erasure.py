"""Erasing a user from PostgreSQL.

ERASURES names every table with data of users, children before their parents; a test fails when a new table is missing
(tests/contract/test_erasure.py). The version of the list of chatrooms goes with the user: until then triggers keep it,
which lock it after the user.
"""

from collections.abc import Collection

from adapters.sql.database import BoundedCursor
from adapters.sql.removal import DETACH, delete_contents, delete_unfinished
from adapters.sql.usage import TODAY
from application.ports.erasure import Erased, Erasure
from domain.accounts import UserId
from domain.replies import ReplyId
from domain.retention import ROWS_PER_BATCH

# In the lock order of adapters/sql/unit_of_work.py. From these locks on nothing can be added that a cascade would
# delete uncounted: what is added locks the user, too, or its session.
LOCK_USER = "SELECT 1 FROM users WHERE id = %(user_id)s FOR UPDATE"
LOCK_CHATROOMS = "SELECT id FROM chatrooms WHERE user_id = %(user_id)s ORDER BY id LIMIT %(limit)s FOR UPDATE"
LOCK_SESSIONS = "SELECT 1 FROM sessions WHERE user_id = %(user_id)s ORDER BY id FOR UPDATE"

# The number begins the rest of the day with what it has used, if it signs up again.
KEEP_USE_OF_TODAY = f"""
INSERT INTO erased_usage (phone_digest, day, used)
SELECT %(phone_digest)s, day, used FROM daily_usage WHERE user_id = %(user_id)s AND day = {TODAY} AND used > 0
ON CONFLICT (phone_digest, day) DO UPDATE SET used = GREATEST(erased_usage.used, EXCLUDED.used)
"""  # noqa: S608 - parts of statements, no values

# A statement for each table, before that of what it refers to, since rows that a cascade deletes are not counted. Those
# of chatrooms, messages and replies are in adapters/sql/removal.py, and come after these. In the order of locks.
ERASURES = {
    "refresh_tokens": """
        DELETE FROM refresh_tokens WHERE digest = ANY(ARRAY(
            SELECT digest FROM refresh_tokens JOIN sessions ON sessions.id = refresh_tokens.session_id
            WHERE sessions.user_id = %(user_id)s LIMIT %(limit)s))
    """,
    "sessions": """
        DELETE FROM sessions WHERE id = ANY(ARRAY(
            SELECT id FROM sessions WHERE user_id = %(user_id)s
              AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE session_id = sessions.id) LIMIT %(limit)s))
    """,
    "daily_usage": "DELETE FROM daily_usage WHERE user_id = %(user_id)s",
    "idempotency_keys": """
        DELETE FROM idempotency_keys WHERE (user_id, key) IN (
            SELECT user_id, key FROM idempotency_keys WHERE user_id = %(user_id)s LIMIT %(limit)s)
    """,
    # Payments stay in the books, without the user.
    "payment_events": """
        UPDATE payment_events SET user_id = NULL, named_user = NULL WHERE event_id = ANY(ARRAY(
            SELECT event_id FROM payment_events WHERE user_id = %(user_id)s OR named_user = %(user_id)s
            LIMIT %(limit)s))
    """,
    "payment_entries": """
        UPDATE payment_entries SET user_id = NULL WHERE event_id = ANY(ARRAY(
            SELECT event_id FROM payment_entries WHERE user_id = %(user_id)s LIMIT %(limit)s))
    """,
    "checkouts": "DELETE FROM checkouts WHERE user_id = %(user_id)s",
    "subscriptions": "DELETE FROM subscriptions WHERE user_id = %(user_id)s",
    # The provider's id stays, keyed to nothing: what still begins at the provider for it is ended there.
    "customers": """
        WITH gone AS (DELETE FROM customers WHERE user_id = %(user_id)s RETURNING customer_id)
        INSERT INTO erased_customers (customer_id, erased_at) SELECT customer_id, now() FROM gone
        ON CONFLICT (customer_id) DO NOTHING
    """,
    # Events stay in the audit trail, without user, address, device and note; also those that name only the number.
    "audit_events": """
        UPDATE audit_events
        SET user_id = NULL, session_id = NULL, phone_digest = NULL, address = NULL, device = NULL, note = NULL
        WHERE id = ANY(ARRAY(
            SELECT id FROM audit_events WHERE user_id = %(user_id)s OR phone_digest = ANY(%(phone_digests)s)
            LIMIT %(limit)s))
    """,
}
ERASE_USER = "DELETE FROM users WHERE id = %(user_id)s"


class SqlErasure(Erasure):
    def __init__(self, cursor: BoundedCursor) -> None:
        self._cursor = cursor

    def erase(
        self,
        user_id: UserId,
        *,
        phone_digest: str,
        older_digests: Collection[str] = (),
        limit: int = ROWS_PER_BATCH,
        leave_messages: bool = False,
    ) -> Erased:
        digests = [phone_digest, *older_digests]
        values = {"user_id": user_id, "phone_digest": phone_digest, "phone_digests": digests, "limit": limit}
        self._cursor.execute(LOCK_USER, values)
        self._cursor.execute(LOCK_CHATROOMS, values)
        rooms = [row[0] for row in self._cursor.fetchall()]
        unfinished: list[ReplyId] = delete_unfinished(self._cursor, rooms)
        self._cursor.execute(LOCK_SESSIONS, values)
        self._cursor.execute(KEEP_USE_OF_TODAY, values)
        rows: dict[str, int] = {}
        for table, statement in ERASURES.items():
            self._cursor.execute(statement, values)
            rows[table] = self._cursor.rowcount
        purged, left = delete_contents(self._cursor, rooms, limit=limit)
        removed = left if leave_messages else set()
        if removed:
            self._cursor.execute(DETACH, {"rooms": list(removed)})
        rows["replies"] = purged.replies + len(unfinished)
        rows["messages"] = purged.messages
        rows["chatrooms"] = purged.chatrooms + len(removed)
        finished = left == removed and len(rooms) < limit and all(rows[table] < limit for table in ERASURES)
        rows["users"] = self._erase_user(user_id) if finished else 0
        return Erased(rows, [*unfinished, *purged.with_stream], len(removed), finished)

    def _erase_user(self, user_id: UserId) -> int:
        self._cursor.execute(ERASE_USER, {"user_id": user_id})
        return self._cursor.rowcount
