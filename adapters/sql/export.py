"""Exports a user's data, or one chatroom, from PostgreSQL, page by page."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from adapters.sql.database import Database
from adapters.sql.reader import FAILURES, SHOWN_FIRST, STATES
from application.ports.export import Export, ExportedRoom, ExportedTurn, Record, RoomExport
from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.errors import ChatroomNotFound

ROWS_PER_PAGE = 500
# As many answers at once as the largest page of a conversation has.
TURNS_PER_PAGE = 50


class Part(NamedTuple):
    """Records of one type: the statement that reads a page of them, and what its columns are called in the export."""

    type: str
    statement: str
    names: tuple[str, ...]


# The first column of each is its key: a page begins after the last key of the previous page.
PARTS = (
    Part(
        "account",
        """
        SELECT id, phone, name, email, created_at, verified_at, pro_until FROM users
        WHERE id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s) LIMIT %(limit)s
        """,
        ("id", "mobileNumber", "name", "email", "createdAt", "verifiedAt", "proGrantedUntil"),
    ),
    Part(
        "subscription",
        """
        SELECT status, current_period_end, cancel_at_period_end FROM subscriptions
        WHERE user_id = %(user_id)s AND %(after)s::text IS NULL LIMIT %(limit)s
        """,
        ("status", "currentPeriodEnd", "cancelAtPeriodEnd"),
    ),
    Part(
        "customer",
        """
        SELECT customer_id FROM customers
        WHERE user_id = %(user_id)s AND %(after)s::text IS NULL LIMIT %(limit)s
        """,
        ("customerId",),
    ),
    Part(
        "payment",
        """
        SELECT event_id, kind, amount, currency, occurred_at FROM payment_entries
        WHERE user_id = %(user_id)s AND (%(after)s::text IS NULL OR event_id > %(after)s)
        ORDER BY event_id LIMIT %(limit)s
        """,
        ("id", "kind", "amount", "currency", "at"),
    ),
    Part(
        "usage",
        """
        SELECT day, used FROM daily_usage
        WHERE user_id = %(user_id)s AND (%(after)s::date IS NULL OR day > %(after)s)
        ORDER BY day LIMIT %(limit)s
        """,
        ("day", "used"),
    ),
    Part(
        "session",
        """
        SELECT id, method, device, started_at, COALESCE(last_used_at, started_at), expires_at, ended_at FROM sessions
        WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)
        ORDER BY id LIMIT %(limit)s
        """,
        ("id", "method", "device", "startedAt", "lastUsedAt", "expiresAt", "endedAt"),
    ),
    Part(
        "securityEvent",
        """
        SELECT id, at, what, address, device FROM audit_events
        WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)
        ORDER BY id LIMIT %(limit)s
        """,
        ("id", "at", "what", "address", "device"),
    ),
    Part(
        "chatroom",
        """
        SELECT id, name, system_prompt, created_at, updated_at, pinned_at, archived_at FROM chatrooms
        WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)
        ORDER BY id LIMIT %(limit)s
        """,
        ("id", "name", "systemPrompt", "createdAt", "updatedAt", "pinnedAt", "archivedAt"),
    ),
    Part(
        "message",
        """
        SELECT m.id, m.chatroom_id, m.content, m.created_at FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id
        WHERE c.user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR m.id > %(after)s)
        ORDER BY m.id LIMIT %(limit)s
        """,
        ("id", "chatroomId", "content", "createdAt"),
    ),
    Part(
        "reply",
        """
        SELECT r.id, r.message_id, r.state, r.content, r.model, r.failure, r.created_at, r.finished_at,
               r.rating, r.rating_reasons, r.rating_comment, r.rated_at
        FROM replies r JOIN messages m ON m.id = r.message_id JOIN chatrooms c ON c.id = m.chatroom_id
        WHERE c.user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR r.id > %(after)s)
        ORDER BY r.id LIMIT %(limit)s
        """,
        (
            *("id", "replyTo", "status", "content", "model", "failure", "createdAt", "finishedAt"),
            *("rating", "ratingReasons", "ratingComment", "ratedAt"),
        ),
    ),
)


class SqlExport(Export):
    def __init__(self, database: Database, *, rows_per_page: int = ROWS_PER_PAGE) -> None:
        self._database = database
        self._rows_per_page = rows_per_page

    def __call__(self, user_id: UserId) -> Iterator[Record]:
        for part in PARTS:
            count = 0
            for row in self._rows(part, user_id):
                yield {"type": part.type, **dict(zip(part.names, row, strict=True))}
                count += 1
            if part.type == "account" and not count:
                return

    def _rows(self, part: Part, user_id: UserId) -> Iterator[tuple[Any, ...]]:
        after = None
        while True:
            values = {"user_id": user_id, "after": after, "limit": self._rows_per_page}
            page = self._database.rows(part.statement, values)
            yield from page
            if len(page) < self._rows_per_page:
                return
            after = page[-1][0]


ROOM = """
SELECT name, system_prompt, created_at, last_sequence AS newest FROM chatrooms
WHERE id = %(chatroom_id)s AND user_id = %(user_id)s
"""
# Of a chatroom that is there, at least one row.
TURNS = f"""
SELECT t.sequence, t.content, t.created_at AS sent_at, r.state AS reply_state, r.content AS reply_content,
       r.finished_at, r.model, r.failure, r.truncated
FROM chatrooms c
LEFT JOIN LATERAL (
    SELECT m.id, m.content, m.created_at, m.sequence FROM messages m
    WHERE m.chatroom_id = c.id AND m.sequence > %(after)s AND m.sequence <= %(newest)s
    ORDER BY m.sequence LIMIT %(limit)s
) t ON true
LEFT JOIN LATERAL (
    SELECT * FROM replies WHERE replies.message_id = t.id AND replies.sequence <= %(newest)s
    ORDER BY {SHOWN_FIRST} LIMIT 1
) r ON true
WHERE c.id = %(chatroom_id)s AND c.user_id = %(user_id)s
ORDER BY t.sequence
"""  # noqa: S608 - an order, no values


class SqlRoomExport(RoomExport):
    def __init__(self, database: Database, *, turns_per_page: int = TURNS_PER_PAGE) -> None:
        self._database = database
        self._turns_per_page = turns_per_page

    def __call__(self, user_id: UserId, chatroom_id: ChatroomId) -> ExportedRoom | None:
        values = {"user_id": user_id, "chatroom_id": chatroom_id}
        rows = self._database.rows(ROOM, values)
        if not rows:
            return None
        name, system_prompt, created_at, newest = rows[0]
        return ExportedRoom(name, system_prompt, created_at, self._turns({**values, "newest": newest}))

    def _turns(self, values: dict[str, Any]) -> Iterator[ExportedTurn]:
        after = 0
        while True:
            page = self._database.rows(TURNS, {**values, "after": after, "limit": self._turns_per_page})
            if not page:
                raise ChatroomNotFound
            for sequence, *columns in page:
                if sequence is None:
                    return
                turn = ExportedTurn._make(columns)
                yield turn._replace(reply_state=STATES[turn.reply_state], failure=FAILURES[turn.failure])
                after = sequence
            if len(page) < self._turns_per_page:
                return
