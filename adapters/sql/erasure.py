"""Erasing a user from PostgreSQL.

ERASURES names every table with data of users, children before their parents; a test fails when a new table is missing
(tests/contract/test_erasure.py).
"""

from adapters.sql.database import BoundedCursor
from adapters.sql.replies import MAY_HAVE_STREAM
from application.ports.erasure import Erased, Erasure
from application.ports.reply_stream import STREAM_GONE_AFTER
from domain.accounts import UserId
from domain.replies import ReplyId

# Lock order: chatrooms first, then messages, replies and daily use, as sending, retrying and cancelling do. So there is
# no deadlock, and nothing can be added that a cascade would then delete uncounted.
LOCK_CHATROOMS = "SELECT 1 FROM chatrooms WHERE user_id = %(user_id)s ORDER BY id FOR UPDATE"
# Then the user, so that no customer can be added that a cascade would delete and nobody would remember.
LOCK_USER = "SELECT 1 FROM users WHERE id = %(user_id)s FOR UPDATE"
STREAMS_OF_USER = f"""
SELECT replies.id FROM replies
JOIN messages ON messages.id = replies.message_id JOIN chatrooms ON chatrooms.id = messages.chatroom_id
WHERE chatrooms.user_id = %(user_id)s AND {MAY_HAVE_STREAM}
"""  # noqa: S608 - parts of statements, no values

# A statement for each table, since rows that a cascade deletes are not counted.
ERASURES = {
    "idempotency_keys": "DELETE FROM idempotency_keys WHERE user_id = %(user_id)s",
    "replies": """
        DELETE FROM replies USING messages, chatrooms
        WHERE replies.message_id = messages.id AND messages.chatroom_id = chatrooms.id
          AND chatrooms.user_id = %(user_id)s
    """,
    "messages": """
        DELETE FROM messages USING chatrooms
        WHERE messages.chatroom_id = chatrooms.id AND chatrooms.user_id = %(user_id)s
    """,
    "chatrooms": "DELETE FROM chatrooms WHERE user_id = %(user_id)s",
    "daily_usage": "DELETE FROM daily_usage WHERE user_id = %(user_id)s",
    "checkouts": "DELETE FROM checkouts WHERE user_id = %(user_id)s",
    # The provider's id stays, keyed to nothing: what still begins at the provider for it is ended there.
    "customers": """
        WITH gone AS (DELETE FROM customers WHERE user_id = %(user_id)s RETURNING customer_id)
        INSERT INTO erased_customers (customer_id, erased_at) SELECT customer_id, now() FROM gone
        ON CONFLICT (customer_id) DO NOTHING
    """,
    "subscriptions": "DELETE FROM subscriptions WHERE user_id = %(user_id)s",
    "refresh_tokens": """
        DELETE FROM refresh_tokens USING sessions
        WHERE refresh_tokens.session_id = sessions.id AND sessions.user_id = %(user_id)s
    """,
    "sessions": "DELETE FROM sessions WHERE user_id = %(user_id)s",
    # Payments stay in the books, without the user.
    "payment_events": """
        UPDATE payment_events SET user_id = NULL, named_user = NULL
        WHERE user_id = %(user_id)s OR named_user = %(user_id)s
    """,
    "payment_entries": "UPDATE payment_entries SET user_id = NULL WHERE user_id = %(user_id)s",
    # Events stay in the audit trail, without user, address and device; also those that name only the number.
    "audit_events": """
        UPDATE audit_events SET user_id = NULL, session_id = NULL, phone_digest = NULL, address = NULL, device = NULL
        WHERE user_id = %(user_id)s OR phone_digest = %(phone_digest)s
    """,
    "users": "DELETE FROM users WHERE id = %(user_id)s",
}


class SqlErasure(Erasure):
    def __init__(self, cursor: BoundedCursor) -> None:
        self._cursor = cursor

    def erase(self, user_id: UserId, *, phone_digest: str) -> Erased:
        self._cursor.take_longer()
        self._cursor.execute(LOCK_CHATROOMS, {"user_id": user_id})
        self._cursor.execute(LOCK_USER, {"user_id": user_id})
        replies = self._streams_of(user_id)
        rows: dict[str, int] = {}
        for table, statement in ERASURES.items():
            self._cursor.execute(statement, {"user_id": user_id, "phone_digest": phone_digest})
            rows[table] = self._cursor.rowcount
        return Erased(rows, replies)

    def _streams_of(self, user_id: UserId) -> list[ReplyId]:
        self._cursor.execute(STREAMS_OF_USER, {"user_id": user_id, "stream_gone_after": STREAM_GONE_AFTER})
        return [row[0] for row in self._cursor.fetchall()]
