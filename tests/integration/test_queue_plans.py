"""What the queue costs grows with the unfinished replies and not with the table, whatever the statistics say, and what
a request costs grows with neither.

PostgreSQL has no say in it: each statement fits one index only (adapters/sql/tables.py).
"""

import pkgutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

import adapters.sql
from adapters.sql import queue_state, removal, replies
from adapters.sql.database import PreparedStatement
from domain.chat import MessageId
from domain.replies import ReplyId
from tests.contract.world import ALLOWANCES, POLICY, a_message, new_id, sql_world
from tests.servers import new_database

ENDED, QUEUED, ROOMS = 100_000, 2_400, 400
OTHERS, ROOMS_OF_ONE = 100_000, 5_000
# A bitmap counts dead entries of an index, too.
ALL_QUEUED = 2 * QUEUED

TABLES = ("users", "sessions", "subscriptions", "daily_usage", "chatrooms", "messages", "replies")
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
# Many users, of whom one has many chatrooms, and another has a chatroom with all messages of the others.
MANY_USERS = f"""
INSERT INTO users (id, phone, created_at)
    SELECT gen_random_uuid(), '+9197' || lpad(n::text, 8, '0'), now() FROM generate_series(1, {OTHERS}) n;
INSERT INTO sessions (id, user_id, method, started_at, expires_at)
    SELECT gen_random_uuid(), id, 'otp', now(), now() + interval '30 days' FROM users;
INSERT INTO subscriptions (user_id, status) SELECT id, 'active' FROM users;
INSERT INTO daily_usage (user_id, day, used) SELECT id, (now() AT TIME ZONE 'utc')::date, 1 FROM users;
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at)
    SELECT gen_random_uuid(), u.id, 'of many', now(), now()
    FROM (SELECT id FROM users LIMIT 1) u, generate_series(1, {ROOMS_OF_ONE});
"""
STATISTICS = {
    "none": (ROOMS_WITH_A_PAST, A_QUEUE, MANY_USERS),
    "of a day without a queue": (ROOMS_WITH_A_PAST, "VACUUM ANALYZE", A_QUEUE, MANY_USERS),
}

Cost = Callable[..., int]
Plan = Callable[..., list[dict[str, Any]]]


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
def plan(cursor: Cursor) -> Plan:
    """Executes a statement and takes it back; the nodes of its plan."""

    def explain(statement: str, *before: str, **values: Any) -> list[dict[str, Any]]:
        cursor.execute("BEGIN")
        for step in before:
            cursor.execute(step)
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
        (document,) = cursor.fetchone() or ([],)
        cursor.execute("ROLLBACK")
        return list(nodes_of(document[0]["Plan"]))

    return explain


@pytest.fixture
def cost(plan: Plan) -> Cost:
    """The most rows that one part of the plan of a statement has looked at."""
    return lambda statement, **values: max(rows_of(node) for node in plan(statement, **values))


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


OUTCOMES: dict[str, dict[str, Any]] = {
    replies.FINISH: {"content": "y", "model": "m", "truncated": False, "input_tokens": 3, "output_tokens": None},
    replies.POSTPONE: {"delay": timedelta(), "uncounted": 0},
    replies.FAIL: {"failure": "model_unreachable"},
    replies.STOP: {"partial": "", "refund": True},
    replies.RENEW_LEASE: {"lease": timedelta(seconds=60)},
}


@pytest.mark.parametrize("statement", OUTCOMES)
def test_storing_what_came_of_a_reply(plan: Plan, cursor: Cursor, statement: str) -> None:
    cursor.execute("SELECT id FROM replies WHERE state = 'queued' LIMIT 1")
    claim = {"id": cursor.fetchone()[0], "lease_token": uuid4()}  # type: ignore[index]
    leased = f"state = 'running', lease_token = '{claim['lease_token']}', lease_until = now() + interval '1 minute'"
    begun = f"UPDATE replies SET {leased} WHERE id = '{claim['id']}'"
    prepared = PreparedStatement("outcome", statement)
    for kind in ("force_custom_plan", "force_generic_plan"):
        cursor.execute("DEALLOCATE ALL")
        steps = (prepared._prepare, f"SET LOCAL plan_cache_mode = {kind}", begun)
        nodes = plan(prepared._execute, *steps, **claim, **OUTCOMES[statement])
        assert {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} == set()
        assert max(map(rows_of, nodes)) <= 2


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


# By the statement of a request: values, but for the ids, and the rows that it may look at.
NOW = datetime.now(UTC)
A_PAGE, TURNS, OWN_QUEUE = 51, 26, 100
# Those that the tests before have left a dead entry of in the index count, too.
OWN_ROOMS = ROOMS_OF_ONE + 100
ACCEPTED = {
    "message_id": uuid4(),
    "reply_id": uuid4(),
    "content": "and now?",
    "title": "and now?",
    "created_at": NOW,
    "answer_within": timedelta(minutes=5),
    "user_backlog": OWN_QUEUE,
    "backlog": 10_000,
    "user_messages": 100_000,
    "kept": 7,
    "count_all": False,
    "basic_limit": 5,
    "pro_limit": None,
}
NEW_ROOM = {"id": uuid4(), "name": "new", "system_prompt": None, "created_at": NOW, "updated_at": NOW}
REQUESTS: dict[str, tuple[dict[str, Any], int]] = {
    "principal": ({}, 1),
    "profile": ({}, 1),
    "principal_with_profile": ({}, 1),
    "principal_with_list_version": ({}, 1),
    "rooms": ({"before": None, "pinned_before": None, "limit": A_PAGE}, A_PAGE),
    "principal_with_conversation": ({"before": None, "limit": TURNS}, 2 * TURNS),
    "add_chatroom": ({**NEW_ROOM, "limit": 2 * ROOMS_OF_ONE}, 1),
    "accept_message": (ACCEPTED, OWN_QUEUE),
}
# The first five times a connection plans by the statistics. Without any, PostgreSQL reads all chatrooms of the user
# and sorts them.
BY_STATISTICS = {"rooms": OWN_ROOMS}
# What only workers ask has tests of its own.
OF_WORKERS = {"claim_due", "finish", "history"}


def prepared_statements() -> dict[str, PreparedStatement]:
    """Every statement of which there are many a second."""
    modules = [import_module(f"adapters.sql.{one.name}") for one in pkgutil.iter_modules(adapters.sql.__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, PreparedStatement)]
    return {statement.name: statement for statement in found}


def test_every_prepared_statement_of_a_request_is_looked_at() -> None:
    assert prepared_statements().keys() - OF_WORKERS == REQUESTS.keys()


def asked_by(cursor: Cursor, name: str) -> dict[str, Any]:
    """The ids of whom it costs most."""
    room = "room" if name in ("principal_with_conversation", "accept_message") else "of many"
    cursor.execute(
        "SELECT c.user_id, s.id, c.id FROM chatrooms c JOIN sessions s ON s.user_id = c.user_id WHERE c.name = %s"
        " ORDER BY c.last_sequence DESC LIMIT 1",
        (room,),
    )
    user_id, session_id, chatroom_id = cursor.fetchone() or ()
    return {"user_id": user_id, "chatroom_id": chatroom_id, "id": user_id if name == "profile" else session_id}


# PostgreSQL chooses between the two by itself, after some executions.
@pytest.mark.parametrize("kind", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_looks_at_what_it_needs(plan: Plan, cursor: Cursor, name: str, kind: str) -> None:
    statement = prepared_statements()[name]
    values, most = REQUESTS[name]
    cursor.execute("DEALLOCATE ALL")
    steps = (statement._prepare, f"SET LOCAL plan_cache_mode = {kind}")
    nodes = plan(statement._execute, *steps, **{**asked_by(cursor, name), **values})
    assert {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} == set()
    assert max(map(rows_of, nodes)) <= (BY_STATISTICS.get(name, most) if kind == "force_custom_plan" else most)


def test_no_statement_is_planned_for_the_values_at_hand(clean_database: str) -> None:
    with sql_world(clean_database) as world:
        room = world.room()
        for _ in range(3):
            with world.unit_of_work.autocommit() as work:
                work.acceptance.accept(a_message(room), ReplyId(new_id()), allowances=ALLOWANCES, policy=POLICY)
            world.reader.history(room.id, before=MessageId(new_id()), turns=5)
            world.claim()
        plans = world._rows(
            "SELECT name, custom_plans FROM pg_prepared_statements WHERE generic_plans > 1 ORDER BY name"
        )
        assert plans == [("accept_message", 0), ("claim_due", 0), ("history", 0)]


def test_counting_the_backlog_and_the_messages_of_a_user_now_and_then(cost: Cost, cursor: Cursor) -> None:
    statement = prepared_statements()["accept_message"]._unprepared
    counting = {**ACCEPTED, "count_all": True, "kept": None, "user_messages": 200}
    assert cost(statement, **{**asked_by(cursor, "accept_message"), **counting}) <= ALL_QUEUED
