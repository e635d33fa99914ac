"""What is asked with each request, or by strangers, reads what it needs and not the whole table."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql import audit, reader, refresh_tokens, removal, users
from adapters.sql.erasure import ERASE_USER, ERASURES, LOCK_CHATROOMS
from application.ports.reply_stream import STREAM_GONE_AFTER
from tests.servers import new_database

FILL = """
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+9198' || lpad(n::text, 8, '0'), now() FROM generate_series(1, 2000) n;
INSERT INTO sessions (id, user_id, method, started_at, expires_at, ended_at)
    SELECT gen_random_uuid(), users.id, 'otp', now(), now() + interval '30 days', CASE WHEN n > 2 THEN now() END
    FROM users, generate_series(1, 10) n;
INSERT INTO refresh_tokens (digest, session_id, issued_at)
    SELECT sha256(id::text::bytea), id, now() FROM sessions;
INSERT INTO audit_events (id, at, what, user_id, phone_digest)
    SELECT gen_random_uuid(), now(), 'logged_in', users.id, md5(users.phone) FROM users, generate_series(1, 10);
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), users.id, 'room', now(), now() FROM users, generate_series(1, 5);
INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), room.id, 'why', now() FROM chatrooms room, generate_series(1, 2);
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, content,
                     created_at, finished_at)
    SELECT gen_random_uuid(), m.id, m.chatroom_id, c.user_id, 'done', now(), now(), current_date, 'because', now(),
           now()
    FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id;
"""


@pytest.fixture(scope="module")
def cursor(database_server: str) -> Iterator[Cursor]:
    with new_database(database_server) as url:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(FILL)
            cursor.execute("VACUUM ANALYZE")
            yield cursor
        connection.close()


def whole_tables_read(cursor: Cursor, statement: str, **values: Any) -> set[str]:
    cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
    (document,) = cursor.fetchone() or ("[]",)
    plan = json.loads(document) if isinstance(document, str) else document

    def walk(node: dict[str, Any]) -> Iterator[str]:
        if node["Node Type"] == "Seq Scan":
            yield node["Relation Name"]
        for child in node.get("Plans", []):
            yield from walk(child)

    return set(walk(plan[0]["Plan"]))


def new_user(cursor: Cursor) -> tuple[Any, ...]:
    cursor.execute("SELECT s.id, s.user_id, md5(u.phone) FROM sessions s JOIN users u ON u.id = s.user_id LIMIT 1")
    row = cursor.fetchone()
    assert row is not None
    return row


def test_who_is_asking(cursor: Cursor) -> None:
    session_id, user_id, _ = new_user(cursor)
    assert whole_tables_read(cursor, reader.PRINCIPAL, id=session_id) == set()
    assert whole_tables_read(cursor, reader.SESSIONS, user_id=user_id) == set()
    assert whole_tables_read(cursor, users.END_SESSION, id=session_id, user_id=user_id) == set()
    assert whole_tables_read(cursor, users.END_SESSIONS, user_id=user_id, but=None) == set()


def test_refreshing(cursor: Cursor) -> None:
    for statement in (refresh_tokens.FIND, refresh_tokens.FOLLOW, refresh_tokens.IS_UNUSED):
        values = {"digest": b"x", "successor": b"y", "at": "2026-01-01"}
        assert whole_tables_read(cursor, statement, **values) == set()


def test_the_trail(cursor: Cursor) -> None:
    _, user_id, digest = new_user(cursor)
    nothing = {"user_id": None, "phone_digests": None, "what": None, "limit": 100}
    for asked in ({}, {"user_id": user_id}, {"phone_digests": [digest]}):
        assert whole_tables_read(cursor, audit.NEWEST, **{**nothing, **asked}) == set()


def test_forgetting_old_events(cursor: Cursor) -> None:
    assert whole_tables_read(cursor, audit.PURGE_BEFORE, before="2026-01-01", limit=100) == set()


def test_purging(cursor: Cursor) -> None:
    old = {"moment": "2026-01-01", "limit": 100}
    assert whole_tables_read(cursor, users.PURGE_SESSIONS, **old) == set()
    assert whole_tables_read(cursor, refresh_tokens.PURGE_USED, **old) == set()


def test_removing_chatrooms(cursor: Cursor) -> None:
    _, user_id, _ = new_user(cursor)
    assert whole_tables_read(cursor, LOCK_CHATROOMS, user_id=user_id, limit=1_000) == set()
    assert whole_tables_read(cursor, removal.REMOVED_ROOMS, limit=1_000) == set()
    cursor.execute("SELECT array_agg(id) FROM chatrooms WHERE user_id = %s", (user_id,))
    [(rooms,)] = cursor.fetchall()
    cursor.execute(removal.NEWEST_MESSAGES, {"rooms": rooms, "limit": 1_000})
    messages = [row[0] for row in cursor.fetchall()]
    values = {"rooms": rooms, "messages": messages, "limit": 1_000, "stream_gone_after": STREAM_GONE_AFTER}
    for statement in (
        removal.DETACH,
        removal.DELETE_UNFINISHED,
        removal.NEWEST_MESSAGES,
        removal.DELETE_REPLIES,
        removal.DELETE_MESSAGES,
        removal.DELETE_EMPTY_ROOMS,
    ):
        assert whole_tables_read(cursor, statement, **values) == set(), statement


@pytest.mark.parametrize("table", [*ERASURES, "users"])
def test_leaving(cursor: Cursor, table: str) -> None:
    _, user_id, digest = new_user(cursor)
    # A table that is empty here may be read as a whole.
    empty = {"daily_usage", "subscriptions", "idempotency_keys", "customers", "checkouts"}
    empty |= {"payment_events", "payment_entries"}
    statement = ERASURES.get(table, ERASE_USER)
    assert whole_tables_read(cursor, statement, user_id=user_id, phone_digests=[digest], limit=1_000) <= empty
