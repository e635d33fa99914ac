"""The statements that run all the time read what they need and not the whole table."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql import chat, export, feedback, idempotency, reader, replies, reply_files, search
from tests.servers import new_database

FINISHED, UNFINISHED = 50_000, 200

WORDS = "array_to_tsvector(ARRAY[right({}.user_id::text, 4) || 'why'])"
FILL = f"""
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+9198' || lpad(n::text, 8, '0'), now() FROM generate_series(1, 100) n;
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), users.id, 'room', now(), now() FROM users, generate_series(1, 20);
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+9197' || lpad(n::text, 8, '0'), now() FROM generate_series(1, 5000) n;
INSERT INTO messages (id, chatroom_id, content, created_at, words)
    SELECT gen_random_uuid(), room.id, 'why', now(), CASE WHEN number > 1 THEN {WORDS.format("room")} END
    FROM generate_series(1, {FINISHED // 2_000}) number, (SELECT id, user_id FROM chatrooms) room;
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, attempt, available_at, deadline, charged_on, content,
                     created_at, finished_at, words)
    SELECT gen_random_uuid(), m.id, m.chatroom_id, c.user_id, 'done', 1, now() - interval '1 day',
           now() - interval '1 day', current_date, 'because', now(), now(),
           CASE WHEN m.words IS NOT NULL THEN {WORDS.format("c")} END
    FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id;
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, created_at)
    SELECT gen_random_uuid(), m.id, m.chatroom_id, c.user_id, 'queued', now() - interval '1 second',
           now() + interval '5 minutes', current_date, now()
    FROM (SELECT * FROM messages LIMIT {UNFINISHED}) m JOIN chatrooms c ON c.id = m.chatroom_id;
INSERT INTO idempotency_keys (user_id, key, fingerprint, message_id, reply_id, quota_plan, quota_day, quota_used,
                              created_at)
    SELECT user_id, id::text, 'x', message_id, id, 'basic', current_date, 1, now() FROM replies WHERE state = 'done';
"""

Plan = Callable[[str, dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def cursor(database_server: str) -> Iterator[Cursor]:
    """A database with much that is finished and little that is not."""
    with new_database(database_server) as url:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(FILL)
            cursor.execute("VACUUM ANALYZE")
            yield cursor
        connection.close()


@pytest.fixture
def plan(cursor: Cursor) -> Plan:
    """All nodes of the plan of a statement."""

    def explain(statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values)
        row = cursor.fetchone()
        assert row is not None
        document = json.loads(row[0]) if isinstance(row[0], str) else row[0]
        return list(nodes_of(document[0]["Plan"]))

    return explain


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes_of(child)


def whole_tables_read(nodes: list[dict[str, Any]]) -> set[str]:
    return {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}


def indexes_read(nodes: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in nodes if "Index Name" in node}


def test_a_conversation_reads_only_its_own(plan: Plan, cursor: Cursor) -> None:
    cursor.execute("SELECT id, user_id FROM chatrooms LIMIT 1")
    row = cursor.fetchone()
    assert row is not None
    values = {"chatroom_id": row[0], "user_id": row[1], "before": None, "limit": 26}
    nodes = plan(reader.CONVERSATION, values)
    assert whole_tables_read(nodes) == set()
    assert "ix_messages_chatroom_id_sequence" in indexes_read(nodes)


def test_a_page_of_newer_entries_starts_in_the_index(plan: Plan, cursor: Cursor) -> None:
    found = new_user(cursor)
    nodes = plan(reader.ENTRIES_AFTER, {**found, "entry_id": found["message_id"], "limit": 50})
    assert {"ix_messages_chatroom_id_sequence", "ix_replies_chatroom_id_sequence"} <= indexes_read(nodes)


def test_a_list_of_rooms_reads_only_its_own(plan: Plan, cursor: Cursor) -> None:
    cursor.execute("SELECT id FROM users LIMIT 1")
    row = cursor.fetchone()
    assert row is not None
    nodes = plan(reader.ROOMS, {"user_id": row[0], "pinned_before": None, "before": None, "limit": 51})
    assert whole_tables_read(nodes) == set()
    assert indexes_read(nodes) == {"ix_chatrooms_pinned", "ix_chatrooms_user_id_id"}


def test_an_archive_reads_only_what_is_in_it(plan: Plan, cursor: Cursor) -> None:
    cursor.execute("SELECT id FROM users LIMIT 1")
    row = cursor.fetchone()
    assert row is not None
    nodes = plan(reader.ARCHIVED_ROOMS, {"user_id": row[0], "before": None, "limit": 51})
    assert whole_tables_read(nodes) == set()
    assert indexes_read(nodes) == {"ix_chatrooms_archived"}


@pytest.mark.parametrize("entry", ["message_id", "reply_id"])
@pytest.mark.parametrize("statement", [reader.ENTRY, reader.ENTRIES_AFTER, reader.REPLIES, chat.LOCK_MESSAGE_OF])
def test_one_entry_reads_only_its_own(plan: Plan, cursor: Cursor, statement: str, entry: str) -> None:
    found = new_user(cursor)
    values = {**found, "entry_id": found[entry], "after": found["reply_id"], "limit": 26}
    assert whole_tables_read(plan(statement, values)) == set()


@pytest.mark.parametrize("entry", ["message_id", "reply_id"])
@pytest.mark.parametrize("statement", [feedback.PUT, feedback.REMOVE])
def test_feedback_reads_only_its_reply(plan: Plan, cursor: Cursor, statement: str, entry: str) -> None:
    found = new_user(cursor)
    given = {"rating": "up", "reasons": ["other"], "comment": None, "given_at": datetime.now(UTC)}
    assert whole_tables_read(plan(statement, {**found, "entry_id": found[entry], **given})) == set()


def test_what_was_rated_is_found_by_its_index(plan: Plan) -> None:
    values = {"rating": "down", "since": datetime.now(UTC), "user_id": None, "limit": 100}
    nodes = plan(reply_files.RATED, values)
    assert whole_tables_read(nodes) == set()
    assert "ix_replies_rated" in indexes_read(nodes)


def test_a_page_of_an_export_starts_in_the_index(plan: Plan, cursor: Cursor) -> None:
    found = new_user(cursor)
    nodes = plan(export.TURNS, {**found, "after": 0, "newest": 1_000, "limit": 50})
    assert whole_tables_read(nodes) == set()
    assert "ix_messages_chatroom_id_sequence" in indexes_read(nodes)


def test_a_history_reads_only_its_own(plan: Plan, cursor: Cursor) -> None:
    found = new_user(cursor)
    nodes = plan(reader.HISTORY, {**found, "before": found["message_id"], "limit": 50})
    assert whole_tables_read(nodes) == set()
    assert "ix_messages_chatroom_id_sequence" in indexes_read(nodes)


def test_looking_for_stops_reads_only_what_is_asked_for(plan: Plan, cursor: Cursor) -> None:
    nodes = plan(replies.TO_BE_STOPPED, {"ids": [new_user(cursor)["reply_id"]]})
    assert indexes_read(nodes) == {"pk_replies"}


def test_forgetting_old_keys_reads_only_those(plan: Plan) -> None:
    nodes = plan(idempotency.PURGE_EXPIRED, {"limit": 100, "kept_for": timedelta(hours=24)})
    assert whole_tables_read(nodes) == set()


def test_a_search_reads_only_what_its_words_are_in(plan: Plan, cursor: Cursor) -> None:
    user_id = new_user(cursor)["user_id"]
    words = f"'{str(user_id)[-4:]}wh':*"
    nodes = plan(search.ENTRIES, {"user_id": user_id, "words": words, "before": user_id, "limit": 21})
    assert whole_tables_read(nodes) == set()
    assert {"ix_messages_words", "ix_replies_words"} <= indexes_read(nodes)


def test_looking_for_what_is_not_searchable_yet_reads_only_that(plan: Plan, cursor: Cursor) -> None:
    for statement in (search.UNSEARCHABLE, search.IS_COMPLETE):
        values = {"limit": 50, "settled_id": new_user(cursor)["user_id"], "settled_after": timedelta(minutes=1)}
        nodes = plan(statement, values)
        assert whole_tables_read(nodes) == set()
        assert {"ix_messages_unsearchable", "ix_replies_unsearchable"} <= indexes_read(nodes)


def test_making_entries_searchable_reads_only_those(plan: Plan, cursor: Cursor) -> None:
    found = new_user(cursor)
    for table, entry in (("messages", "message_id"), ("replies", "reply_id")):
        nodes = plan(search.ADD[table], {"ids": [found[entry]], "words": ["'why'"]})
        assert whole_tables_read(nodes) == set()
        assert f"pk_{table}" in indexes_read(nodes)


def new_user(cursor: Cursor) -> dict[str, Any]:
    """The ids of a turn."""
    cursor.execute("SELECT user_id, chatroom_id, message_id, id AS reply_id FROM replies LIMIT 1")
    row = cursor.fetchone()
    assert row is not None
    return dict(zip(("user_id", "chatroom_id", "message_id", "reply_id"), row, strict=True))


def test_counting_what_a_user_keeps_reads_only_their_own(plan: Plan, cursor: Cursor) -> None:
    values = {"user_id": new_user(cursor)["user_id"], "user_messages": 100_000}
    nodes = plan(chat.MESSAGES_OF_USER, values)
    assert whole_tables_read(nodes) == set()
    assert indexes_read(nodes) == {"ix_chatrooms_user_id_id", "ix_messages_chatroom_id_sequence"}
