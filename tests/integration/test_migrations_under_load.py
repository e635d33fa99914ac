"""Migrations while the service runs: what they wait for stops no statement of the service for long, and they end whole.

The service's own time-out for locks (3 s) is what tells: a statement that a migration had stopped for longer would have
failed.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from adapters.sql import migrate
from adapters.sql.database import connector
from adapters.sql.schema import REVISIONS
from adapters.system_runtime import Uuid7Ids
from application.operations.startup import CannotStart
from tests.concurrency import eventually
from tests.servers import libpq_url, new_database

ROOT = Path(__file__).resolve().parents[2]
SHORT = timedelta(seconds=1)
ENOUGH_ROUNDS = 20
THREADS = 4
BEFORE_USERS_CHANGE = "0012"

new_id = Uuid7Ids()

# What a release of revision 0005 says, in short: releases before the newest must live with the newest schema.
SIGN_UP = """
INSERT INTO users (id, phone, created_at, verified_at) VALUES (%(user)s, %(phone)s, %(now)s, %(now)s);
INSERT INTO sessions (id, user_id, method, started_at, expires_at)
VALUES (%(session)s, %(user)s, 'otp', %(now)s, %(now)s);
INSERT INTO refresh_tokens (digest, session_id, issued_at) VALUES (%(digest)s, %(session)s, %(now)s);
INSERT INTO audit_events (id, at, what, user_id) VALUES (%(event)s, %(now)s, 'signed_up', %(user)s)
"""
OPEN_ROOM = """
INSERT INTO chatrooms (id, user_id, name, created_at, updated_at) VALUES (%(room)s, %(user)s, 'Room', %(now)s, %(now)s)
"""
SEND = """
UPDATE chatrooms SET updated_at = %(now)s WHERE id = %(room)s;
INSERT INTO daily_usage (user_id, day, used) VALUES (%(user)s, %(now)s, 1)
ON CONFLICT (user_id, day) DO UPDATE SET used = daily_usage.used + 1;
INSERT INTO messages (id, chatroom_id, content, created_at) VALUES (%(message)s, %(room)s, 'Why?', %(now)s);
INSERT INTO replies (id, message_id, chatroom_id, user_id, state, available_at, deadline, charged_on, created_at)
VALUES (%(reply)s, %(message)s, %(room)s, %(user)s, 'queued', %(now)s, %(now)s, %(now)s, %(now)s);
INSERT INTO idempotency_keys (user_id, key, fingerprint, message_id, reply_id, quota_plan, quota_day, quota_used,
                              created_at)
VALUES (%(user)s, %(message)s, %(digest)s, %(message)s, %(reply)s, 'basic', %(now)s, 1, %(now)s)
"""
CLAIM = """
UPDATE replies SET state = 'running', attempt = attempt + 1, lease_token = %(event)s, lease_until = %(now)s
WHERE id = %(reply)s
"""
FINISH = """
UPDATE replies SET state = 'done', content = 'Because.', finished_at = %(now)s, lease_token = NULL, lease_until = NULL
WHERE id = %(reply)s
"""


class Load:
    """Threads that sign up, open rooms, send, claim and finish until ``stop``, on connections like the service's."""

    def __init__(self, database_url: str) -> None:
        self._connect = connector(database_url, application_name="load")
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(THREADS)]
        self.failures: list[str] = []
        self.rounds = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _write(self) -> None:
        with closing(self._connect()) as connection:
            while not self._stopped.is_set():
                person = {"user": new_id(), "room": new_id()}
                self._run(connection, SIGN_UP, person)
                self._run(connection, OPEN_ROOM, person)
                for _ in range(3):
                    turn = person | {"message": new_id(), "reply": new_id()}
                    for statement in (SEND, CLAIM, FINISH):
                        self._run(connection, statement, turn)
                self.rounds += 1

    def _run(self, connection: Any, statement: str, known: dict[str, UUID]) -> None:
        one: UUID = new_id()
        made = {"session": new_id(), "event": one, "phone": str(one), "digest": one.bytes, "now": datetime.now(UTC)}
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, made | known)
        except psycopg2.Error as error:
            self.failures.append(f"{type(error).__name__}: {error}")


@contextmanager
def load_on(database_url: str) -> Iterator[Load]:
    load = Load(database_url)
    load.start()
    try:
        yield load
    finally:
        load.stop()


@contextmanager
def open_transaction(database_url: str, statement: str) -> Iterator[Any]:
    """A transaction that has run ``statement``, and stays open within the block."""
    with closing(psycopg2.connect(libpq_url(database_url))) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        yield connection
        connection.rollback()


def rows(database_url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(libpq_url(database_url))) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def revision_of(database_url: str) -> str:
    [(revision,)] = rows(database_url, "SELECT version_num FROM alembic_version")
    return str(revision)


def waiting_migrations(database_url: str) -> set[int]:
    """Sessions of migrations that wait for a lock just now."""
    waiting = """SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'migrate' AND wait_event_type = 'Lock'"""
    return {pid for (pid,) in rows(database_url, waiting)}


def in_thread(action: Callable[[], None]) -> tuple[threading.Thread, list[Exception]]:
    raised: list[Exception] = []

    def run() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - given to the test
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


@pytest.fixture
def database(database_server: str) -> Iterator[str]:
    """A database whose next migration alters the table of users."""
    with new_database(database_server, migrated=False) as url:
        migrate.upgrade(url, BEFORE_USERS_CHANGE)
        yield url


def test_from_an_old_revision_to_the_newest_no_write_fails(database_server: str) -> None:
    with new_database(database_server, migrated=False) as url:
        migrate.upgrade(url, "0005")
        with load_on(url) as load:
            for revision in REVISIONS[REVISIONS.index("0005") + 1 :]:
                written = load.rounds
                migrate.upgrade(url, revision)
                assert eventually(lambda written=written: load.rounds >= written + ENOUGH_ROUNDS)  # type: ignore[misc]
        assert load.failures == []
        assert revision_of(url) == REVISIONS[-1]
        # Every entry was written, and each chatroom numbers its own without a gap.
        [(rooms, messages, replies)] = rows(
            url,
            "SELECT (SELECT count(*) FROM chatrooms), (SELECT count(*) FROM messages),"
            " (SELECT count(*) FROM replies WHERE state = 'done')",
        )
        assert rooms >= load.rounds >= ENOUGH_ROUNDS
        assert messages == replies == 3 * rooms
        assert rows(
            url,
            "SELECT DISTINCT array_agg(sequence ORDER BY sequence) FROM (SELECT chatroom_id, sequence FROM messages"
            " UNION ALL SELECT chatroom_id, sequence FROM replies) AS entries GROUP BY chatroom_id",
        ) == [([1, 2, 3, 4, 5, 6],)]


def test_a_migration_that_waits_stops_no_write_for_long_and_ends_once_the_lock_goes(database: str) -> None:
    with load_on(database) as load:
        with open_transaction(database, "LOCK TABLE users IN ROW EXCLUSIVE MODE"):
            migration, raised = in_thread(lambda: migrate.upgrade(database))
            tries: set[int] = set()

            def tried_again() -> bool:
                tries.update(waiting_migrations(database))
                return len(tries) > 1

            assert eventually(tried_again)
            written = load.rounds
            assert eventually(lambda: load.rounds > written)
            assert revision_of(database) == BEFORE_USERS_CHANGE
        migration.join(60)
    assert raised == []
    assert load.failures == []
    assert revision_of(database) == REVISIONS[-1]


def test_one_that_is_never_let_in_gives_up_and_leaves_the_schema_whole(database_server: str) -> None:
    with new_database(database_server, migrated=False) as url:
        migrate.upgrade(url, "0007")
        with (
            open_transaction(url, "LOCK TABLE customers IN ACCESS SHARE MODE"),  # what 0009 alters
            pytest.raises(CannotStart) as refusal,
        ):
            migrate.upgrade(url, patience=SHORT)
        assert "at revision 0008" in str(refusal.value)
        assert revision_of(url) == "0008"
        assert rows(url, "SELECT to_regclass('erased_usage') IS NULL, to_regclass('refunds_owed') IS NULL") == [
            (False, True)
        ]
        migrate.upgrade(url)
        assert revision_of(url) == REVISIONS[-1]


def test_the_command_says_so_in_one_sentence_and_fails(database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "entrypoints.cli", "migrate", "--patience", "1"]
    environment = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path), "DATABASE_URL": database, "JWT_SECRET": "x" * 40}
    with open_transaction(database, "LOCK TABLE users IN ACCESS SHARE MODE"):
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert re.fullmatch(r"Error: A migration needs a lock .+ within 1 s.+ at revision \d{4}.+", last)
    assert "Traceback" not in ended.stderr


def test_an_index_whose_build_failed_is_made_again(database_server: str) -> None:
    invalid = """SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                 WHERE NOT i.indisvalid AND i.indrelid = 'replies'::regclass"""
    with new_database(database_server, migrated=False) as url:
        migrate.upgrade(url, "0009")
        # Building one concurrently waits for every transaction that has written to the table.
        with open_transaction(url, "LOCK TABLE replies IN ROW EXCLUSIVE MODE"):
            with load_on(url) as load, pytest.raises(CannotStart):
                migrate.upgrade(url, "0010", patience=SHORT)
            assert load.failures == []
            assert revision_of(url) == "0009"
            assert rows(url, invalid) == [("ix_replies_unfinished_by_room",)]
        migrate.upgrade(url, "0010")
        assert rows(url, invalid) == []
        assert rows(url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_replies_unfinished_by_room'::regclass")


def test_a_database_that_goes_away_is_said_in_one_sentence(database: str) -> None:
    with open_transaction(database, "LOCK TABLE users IN ACCESS SHARE MODE"):
        migration, raised = in_thread(lambda: migrate.upgrade(database))
        end_it = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(%s)"
        assert eventually(lambda: bool(rows(database, end_it, list(waiting_migrations(database)))))
        migration.join(60)
    [error] = raised
    assert isinstance(error, CannotStart)
    assert f"at revision {BEFORE_USERS_CHANGE}" in str(error)


def test_time_limits_of_the_role_do_not_end_a_migration(database_server: str) -> None:
    # As docs/settings.md has them for roles behind a pooler, only shorter.
    with new_database(database_server, migrated=False) as url, closing(psycopg2.connect(libpq_url(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            name = url.rpartition("/")[2].partition("?")[0]
            cursor.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 1')
            migrate.upgrade(url)
            # This session began before the limit was set.
            cursor.execute("SELECT version_num FROM alembic_version")
            assert cursor.fetchall() == [(REVISIONS[-1],)]
