"""What the probe finds out about a real PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.database import PingCursor
from adapters.sql.migrate import downgrade
from adapters.sql.probe import DatabaseProbe
from adapters.sql.schema import REVISIONS
from application.ports.health import Fault, Part, Probe
from tests.concurrency import eventually
from tests.contract.world import sql_world
from tests.proxy import FreezableProxy
from tests.servers import new_database

pytestmark = pytest.mark.real

BACKLOG = 4


@pytest.fixture
def probe(clean_database: str) -> Iterator[Probe]:
    with probe_of(clean_database) as probe:
        yield probe


@contextmanager
def probe_of(database_url: str) -> Iterator[Probe]:
    with closing(DatabaseProbe(database_url, backlog=BACKLOG)) as probe:
        yield probe


@contextmanager
def owner(database_url: str) -> Iterator[Cursor]:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def name_of(database_url: str) -> str:
    return database_url.rpartition("/")[2].partition("?")[0]


def test_a_database_that_works_has_no_fault(probe: Probe) -> None:
    assert probe() == {}


def test_a_read_only_database(database_server: str) -> None:
    with new_database(database_server) as url:
        with owner(url) as cursor:
            cursor.execute(f'ALTER DATABASE "{name_of(url)}" SET default_transaction_read_only = on')
        with probe_of(url) as probe:
            assert probe() == {Part.DATABASE: Fault.READ_ONLY}


def test_a_database_without_a_schema_with_an_old_one_and_with_one_of_tomorrow(database_server: str) -> None:
    with new_database(database_server, migrated=False) as url, probe_of(url) as probe:
        assert probe() == {Part.DATABASE: Fault.SCHEMA}
    with new_database(database_server) as url, probe_of(url) as probe:
        downgrade(url, REVISIONS[-2])
        assert probe() == {Part.DATABASE: Fault.SCHEMA}
        with owner(url) as cursor:
            cursor.execute("UPDATE alembic_version SET version_num = '9999'")
        assert probe() == {Part.DATABASE: Fault.SCHEMA}


def test_a_backlog_beyond_half_its_limit(clean_database: str, probe: Probe) -> None:
    with sql_world(clean_database) as world:
        for _ in range(BACKLOG // 2):
            world.ask(world.room())
        assert probe() == {}
        world.ask(world.room())
    assert probe() == {Part.BACKLOG: Fault.HALF_FULL}


def test_a_locked_table_is_no_fault_of_the_database(clean_database: str, probe: Probe) -> None:
    connection = psycopg2.connect(clean_database)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE replies IN ACCESS EXCLUSIVE MODE")
        assert probe() == {}
    finally:
        connection.close()


def test_a_database_that_is_not_there(clean_database: str) -> None:
    nowhere = clean_database.replace(name_of(clean_database), "no_such_database")
    with probe_of(nowhere) as probe:
        assert probe() == {Part.DATABASE: Fault.UNREACHABLE}


def test_a_silent_database_and_that_it_is_found_again(clean_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PingCursor, "seconds", 0.2)
    proxy = FreezableProxy(clean_database, default_port=5432)
    try:
        with probe_of(proxy.url) as probe:
            assert probe() == {}
            proxy.freeze()
            assert probe() == {Part.DATABASE: Fault.UNREACHABLE}
            proxy.thaw()
            assert eventually(lambda: probe() == {})
    finally:
        proxy.close()


def test_a_connection_that_was_cut_is_replaced_without_a_fault(clean_database: str, probe: Probe) -> None:
    assert probe() == {}
    with owner(clean_database) as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'probe'")
    assert probe() == {}
