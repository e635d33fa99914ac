"""``DATABASE_POOLER=transaction``: the contracts hold where each transaction gets another session."""

from collections.abc import Iterator

import pytest
from psycopg2.errors import QueryCanceled

from adapters.sql.database import BoundedCursor, Transaction, connector
from adapters.sql.search import SqlSearch, SqlSearchIndex
from adapters.sql.startup import check_database
from application.operations.startup import CannotStart
from application.ports.search import Search, SearchIndex
from tests.contract.test_acceptance import AcceptanceContract
from tests.contract.test_reply_stopping import StoppingContract
from tests.contract.test_search import SearchContract
from tests.contract.test_users import UsersContract
from tests.contract.world import SqlWorld, World, sql_world
from tests.transaction_pooler import TransactionPooler

pytestmark = pytest.mark.real


@pytest.fixture
def pooled(clean_database: str) -> Iterator[str]:
    """The way through a pooler."""
    pooler = TransactionPooler(clean_database)
    yield pooler.url
    pooler.close()


@pytest.fixture
def pooled_world(pooled: str) -> Iterator[SqlWorld]:
    with sql_world(pooled, sessions_are_shared=True) as world:
        yield world


class TestAcceptance(AcceptanceContract):
    @pytest.fixture
    def world(self, pooled_world: SqlWorld) -> World:
        return pooled_world


class TestStopping(StoppingContract):
    @pytest.fixture
    def world(self, pooled_world: SqlWorld) -> World:
        return pooled_world


class TestSearch(SearchContract):
    @pytest.fixture
    def world(self, pooled_world: SqlWorld) -> World:
        return pooled_world

    @pytest.fixture
    def search(self, pooled_world: SqlWorld) -> Search:
        return SqlSearch(pooled_world.database)

    @pytest.fixture
    def index(self, pooled_world: SqlWorld) -> SearchIndex:
        return SqlSearchIndex(pooled_world.database)


class TestUsers(UsersContract):
    @pytest.fixture
    def world(self, pooled_world: SqlWorld) -> World:
        return pooled_world


@pytest.mark.parametrize("kind", [BoundedCursor, Transaction])
def test_time_limits_go_with_each_transaction(pooled: str, kind: type[BoundedCursor]) -> None:
    connect = connector(
        pooled, application_name="tests", session_settings={"statement_timeout": "50"}, sessions_are_shared=True
    )
    connection = connect()
    with connection.cursor(cursor_factory=kind) as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('timezone')")
        assert cursor.fetchone() == ("3s", "UTC")
        with pytest.raises(QueryCanceled):
            cursor.execute("SELECT pg_sleep(60)")
    connection.close()


def test_nothing_is_left_in_a_session(pooled: str, clean_database: str) -> None:
    connection = connector(pooled, application_name="tests", sessions_are_shared=True)()
    with connection.cursor(cursor_factory=Transaction) as transaction:
        transaction.execute("SELECT 1")
        transaction.commit()
    connection.preamble = ""
    with connection.cursor() as plain:
        plain.execute("SELECT current_setting('statement_timeout'), count(*) FROM pg_prepared_statements")
        assert plain.fetchone() == ("0", 0)
    connection.close()


def test_a_process_that_was_told_starts_and_one_that_was_not_is_told_how(pooled: str) -> None:
    check_database(pooled, sessions_are_shared=True)
    with pytest.raises(CannotStart, match="DATABASE_POOLER=transaction"):
        check_database(pooled)
