"""A PostgreSQL that is silent, or refuses to work: bounded waits, a refusal, and a line in the log that says why."""

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import psycopg2
import pytest
from structlog.testing import capture_logs

from adapters.sql.database import BoundedCursor, Database, PingCursor, connector, make_pool
from domain.errors import DependencyDown
from tests.proxy import FreezableProxy

pytestmark = pytest.mark.real

PATIENCE_SECONDS = 30.0


@pytest.fixture
def proxy(clean_database: str) -> Iterator[FreezableProxy]:
    proxy = FreezableProxy(clean_database, default_port=5432)
    yield proxy
    proxy.close()


@pytest.fixture
def database(proxy: FreezableProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Through the proxy; deadlines are shorter, so that a test does not wait for seven seconds."""
    monkeypatch.setattr(BoundedCursor, "seconds", 0.5)
    monkeypatch.setattr(PingCursor, "seconds", 0.5)
    database = Database(make_pool(proxy.url, size=4, application_name="silent"))
    yield database
    database.close()


def select(database: Database, sql: str = "SELECT 1") -> None:
    with database.read() as cursor:
        cursor.execute(sql)


def select_until_it_works(database: Database) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return select(database)
        except DependencyDown:
            assert time.monotonic() < until, "the database did not come back"
            time.sleep(0.05)


def test_a_statement_that_gets_no_answer_ends_with_a_refusal(database: Database, proxy: FreezableProxy) -> None:
    select(database)
    proxy.freeze()
    with pytest.raises(DependencyDown), database.read() as cursor:
        cursor.execute("SELECT 2")


def test_a_commit_that_gets_no_answer_ends_with_a_refusal(database: Database, proxy: FreezableProxy) -> None:
    with pytest.raises(DependencyDown), database.transaction() as cursor:
        cursor.execute("SELECT 1")
        proxy.freeze()
        cursor.commit()


def test_while_it_is_silent_callers_are_refused_without_asking_it(
    database: Database, proxy: FreezableProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    select(database)
    proxy.freeze()
    with pytest.raises(DependencyDown):
        select(database)
    asked = []
    monkeypatch.setattr(database.pool, "take", lambda: asked.append(1))
    for _ in range(100):
        with pytest.raises(DependencyDown):
            select(database)
    assert asked == []


def test_it_is_found_again_and_both_changes_are_logged_once(database: Database, proxy: FreezableProxy) -> None:
    select(database)
    with capture_logs() as logs:
        proxy.freeze()
        for _ in range(3):
            with pytest.raises(DependencyDown):
                select(database)
        proxy.thaw()
        select_until_it_works(database)
    down, up = [line for line in logs if line["event"].startswith("dependency")]
    assert (down["event"], down["dependency"], down["error"]) == ("dependency_down", "database", "ServerIsSilent")
    assert (up["event"], up["dependency"]) == ("dependency_up_again", "database")


def test_a_refused_connection_is_logged_with_its_sqlstate_or_class(clean_database: str) -> None:
    nowhere = clean_database.rpartition("/")[0] + "/no_such_database"
    database = Database(make_pool(nowhere, size=1, application_name="nowhere"))
    with capture_logs() as logs, pytest.raises(DependencyDown):
        select(database)
    [line] = [line for line in logs if line["event"] == "dependency_down"]
    assert line["dependency"] == "database"
    assert "no_such_database" not in repr(line)


def test_a_host_that_is_silent_or_refuses_is_passed_over_for_the_next(
    proxy: FreezableProxy, clean_database: str
) -> None:
    scheme, _, rest = clean_database.partition("://")
    account, _, server = rest.rpartition("@")
    proxy.freeze()
    silent = proxy.url.rpartition("@")[2].partition("/")[0]
    connect = connector(f"{scheme}://{account}@127.0.0.1:1,{silent},{server}", application_name="t", connect_timeout=1)
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    ("sqlstate", "sql"),
    [
        ("25006", "SET LOCAL default_transaction_read_only = on; SET TRANSACTION READ ONLY; DELETE FROM users"),
        ("42501", "SET LOCAL ROLE pg_read_all_stats; DELETE FROM users"),
        ("42P01", "SELECT * FROM a_table_of_tomorrow"),
        ("53400", "DO $$ BEGIN RAISE SQLSTATE '53400'; END $$"),
        ("57P03", "DO $$ BEGIN RAISE SQLSTATE '57P03'; END $$"),
    ],
)
def test_a_database_that_refuses_to_work_is_a_refusal_and_no_fault(database: Database, sqlstate: str, sql: str) -> None:
    for _ in range(6):  # more often than there are connections
        with pytest.raises(DependencyDown), database.transaction() as cursor:
            cursor.execute(sql)
    select(database)


def test_a_locked_table_stops_no_statement_that_does_not_need_it(database: Database, clean_database: str) -> None:
    other = psycopg2.connect(clean_database)
    try:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")

        def wait_for_the_lock() -> None:
            with pytest.raises(DependencyDown):
                select(database, "SELECT 1 FROM messages")

        waiting = Thread(target=wait_for_the_lock)
        waiting.start()
        select(database, "SELECT 1 FROM users")
        waiting.join(PATIENCE_SECONDS)
        assert not waiting.is_alive()
    finally:
        other.close()


def test_sessions_have_the_settings_that_the_service_relies_on(clean_database: str) -> None:
    owner = psycopg2.connect(clean_database)
    owner.autocommit = True
    name = clean_database.rpartition("/")[2].partition("?")[0]
    database = Database(make_pool(clean_database, size=1, application_name="settings"))
    try:
        with owner.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" SET client_encoding = latin1')
            cursor.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable'")
            cursor.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Kolkata'")
        for setting, value in {
            "client_encoding": "UTF8",
            "default_transaction_isolation": "read committed",
            "TimeZone": "UTC",
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }.items():
            with database.read() as cursor:
                cursor.execute("SELECT current_setting(%s)", (setting,))
                assert cursor.fetchone() == (value,)
    finally:
        database.close()
        with owner.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" RESET ALL')
        owner.close()
