"""What the queue costs grows with the unfinished replies and not with the table, whatever the statistics say.

PostgreSQL has no say in it: each statement fits one index only (adapters/sql/tables.py).
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql import queue_state, removal, replies
from adapters.sql.database import PreparedStatement
from tests.servers import new_database

ENDED, QUEUED, ROOMS = 100_000, 2_400, 400
# A bitmap counts dead entries of an index, too.
ALL_QUEUED = 2 * QUEUED

TABLES = ("users", "chatrooms", "messages", "replies")
NO_AUTOVACUUM = ";".join(f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in TABLES)
ROOMS_WITH_A_PAST = f"""
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+9198' || lpad(n::text, 8, '0'), now() FROM generate_series(1, 100) n;
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at, last_sequence)
    SELECT gen_random_uuid(), users.id, 'room', now(), now(), {2 * ENDED // ROOMS}
    FROM users, generate_series(1, {ROOMS // 100});
ALTER TABLE messages DISABLE TRIGGER number_entry;
ALTER TABLE replies DISABLE TRIGGER number_entry;
INSERT INTO messages (id, chatroom_id, content, created_at, sequence)
    SELECT gen_random_uuid(), room.id, 'why', now(), 2 * n - 1
    FROM generate_series(1, {ENDED // ROOMS}) n, (SELECT id FROM chatrooms) room;
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, available_at, deadline, charged_on, content,
                     created_at, finished_at, sequence)
    SELECT gen_random_uuid(), m.id, m.chatroom_id, c.user_id, 'done', 1, now() - interval '1 day',
           now() - interval '1 day', current_date, 'because', now(), now(), m.sequence + 1
    FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id;
ALTER TABLE messages ENABLE TRIGGER number_entry;
ALTER TABLE replies ENABLE TRIGGER number_entry;
"""
# One in each of those rooms, and one in each of many new rooms of new users.
A_QUEUE = f"""
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+9199' || lpad(n::text, 8, '0'), now() FROM generate_series(1, {QUEUED - ROOMS}) n;
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), users.id, 'new', now(), now() FROM users WHERE phone LIKE '+9199%';
INSERT INTO messages (id, chatroom_id, content, created_at)
    SELECT gen_random_uuid(), id, 'and now?', now() FROM chatrooms;
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, priority, available_at, deadline, charged_on,
                     created_at)
    SELECT gen_random_uuid(), m.id, c.id, c.user_id, 'queued', row_number() OVER () % 2, now() - interval '1 second',
           now() + interval '5 minutes', current_date, now()
    FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id WHERE m.content = 'and now?';
"""
STATISTICS = {
    "none": (ROOMS_WITH_A_PAST, A_QUEUE),
    "of a day without a queue": (ROOMS_WITH_A_PAST, "VACUUM ANALYZE", A_QUEUE),
}

Cost = Callable[..., int]


@pytest.fixture(scope="module", params=STATISTICS)
def cursor(database_server: str, request: pytest.FixtureRequest) -> Iterator[Cursor]:
    with new_database(database_server) as url, closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(NO_AUTOVACUUM)
            for step in STATISTICS[request.param]:
                cursor.execute(step)
            yield cursor


@pytest.fixture
def cost(cursor: Cursor) -> Cost:
    """Executes a statement and takes it back; the most rows that one part of its plan has looked at."""

    def measure(statement: str, **values: Any) -> int:
        cursor.execute("BEGIN")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
        (document,) = cursor.fetchone() or ([],)
        cursor.execute("ROLLBACK")
        return max(rows_of(node) for node in nodes_of(document[0]["Plan"]))

    return measure


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes_of(child)


def rows_of(node: dict[str, Any]) -> int:
    removed = sum(rows for key, rows in node.items() if key.startswith("Rows Removed by"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def a_room(cursor: Cursor) -> dict[str, Any]:
    """A room with a past and something queued."""
    cursor.execute("SELECT id, user_id FROM chatrooms WHERE name = 'room' LIMIT 1")
    row = cursor.fetchone()
    assert row is not None
    return {"chatroom_id": row[0], "rooms": [row[0]], "user_id": row[1]}


CLAIMING = {"basic_first": 20, "max_attempts": 3, "user_concurrency": 2, "lease": timedelta(seconds=60)}


def test_claiming(cost: Cost) -> None:
    assert cost(replies.CLAIM_DUE, limit=100, window=500, **CLAIMING) <= 2 * 500
    assert cost(replies.CLAIM_DUE, limit=1, window=104, **CLAIMING) <= 2 * 104


def test_claiming_with_a_plan_that_was_made_for_any_values(cost: Cost, cursor: Cursor) -> None:
    claim = PreparedStatement("claim_for_any_values", replies.CLAIM_DUE)
    cursor.execute("SET plan_cache_mode = force_generic_plan")
    cursor.execute(claim._prepare)
    assert cost(claim._execute, limit=100, window=500, **CLAIMING) <= 2 * 500
    assert cost(claim._execute, limit=1, window=104, **CLAIMING) <= 2 * 104
    cursor.execute(f"DEALLOCATE {claim.name}; RESET plan_cache_mode")


def test_sweeping(cost: Cost) -> None:
    values = {"max_attempts": 3, "deadline_exceeded": "x", "attempts_exhausted": "y"}
    assert cost(replies.FAIL_EXPIRED, limit=100, **values) <= ALL_QUEUED


def test_looking_for_what_is_overdue_where_a_backlog_is_full(cost: Cost, cursor: Cursor) -> None:
    assert cost(replies.OVERDUE, limit=100) <= ALL_QUEUED
    assert cost(replies.OVERDUE_OF, user_id=a_room(cursor)["user_id"]) <= 100


def test_looking_at_the_backlogs(cost: Cost, cursor: Cursor) -> None:
    user_id = a_room(cursor)["user_id"]
    assert cost(replies.BACKLOGS, user_id=user_id, user_backlog=100, backlog=10_000) <= ALL_QUEUED
    assert cost(f"SELECT ({replies.BACKLOG_OF_USER})", user_id=user_id, user_backlog=100) <= 100


def test_telling_the_state_of_the_queue(cost: Cost) -> None:
    assert cost(queue_state.STATE, user_concurrency=2) <= ALL_QUEUED


def test_what_is_unfinished_in_a_room(cost: Cost, cursor: Cursor) -> None:
    room = a_room(cursor)
    assert cost(replies.LOCK_UNFINISHED_IN, **room) <= 2
    assert cost(removal.DELETE_UNFINISHED, **room) <= 2
