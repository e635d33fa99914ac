"""Statements that a connection plans once, over its life; and steps of one statement."""

from collections.abc import Iterator

import pytest

from adapters.sql.database import Database, PreparedStatement, StatementFailed, make_pool
from domain.errors import DependencyDown

ASK = PreparedStatement("ask_for_things", "SELECT name FROM things WHERE name = %(name)s")
KEEP = PreparedStatement("keep_thing", "INSERT INTO things (name) VALUES (%(name)s)")


@pytest.fixture
def database(clean_database: str) -> Iterator[Database]:
    """One connection, and a table of its own."""
    database = Database(make_pool(clean_database, size=1, application_name="prepared"))
    with database.read() as cursor:
        cursor.execute("DROP TABLE IF EXISTS things")
        cursor.execute("CREATE TABLE things (name varchar(3) PRIMARY KEY)")
    yield database
    with database.read() as cursor:
        cursor.execute("DROP TABLE things")
    database.close()


def kept(database: Database, name: str) -> bool:
    with database.read() as cursor:
        ASK.execute(cursor, {"name": name})
        return cursor.fetchone() is not None


def keep(database: Database, name: str, *, commit: bool = True) -> None:
    with database.transaction() as transaction:
        KEEP.execute(transaction, {"name": name})
        if commit:
            transaction.commit()


def test_it_outlives_the_transaction_in_which_it_was_planned(database: Database):
    keep(database, "a", commit=False)
    assert not kept(database, "a")
    keep(database, "b")
    assert kept(database, "b")


def test_it_outlives_a_failure(database: Database):
    keep(database, "a")
    with pytest.raises(StatementFailed):
        keep(database, "a")
    keep(database, "b")
    assert kept(database, "b")


def test_what_goes_first_is_seen_and_belongs_to_the_same_transaction(database: Database):
    first = "INSERT INTO things (name) VALUES ('f')"
    ask = PreparedStatement("ask_after_first", "SELECT name FROM things WHERE name = %(name)s", first=first)
    keep_too = PreparedStatement("keep_after_first", "INSERT INTO things (name) VALUES (%(name)s)", first=first)
    with pytest.raises(StatementFailed), database.read() as cursor:
        keep_too.execute(cursor, {"name": "f"})
    assert not kept(database, "f")
    with database.read() as cursor:
        ask.execute(cursor, {"name": "f"})
        assert cursor.fetchall() == [("f",)]
    assert kept(database, "f")


@pytest.mark.parametrize("change", ["ALTER TABLE things ALTER name TYPE text", "DEALLOCATE ALL"])
def test_a_plan_that_no_longer_fits_fails_once(database: Database, change: str):
    keep(database, "a")
    assert kept(database, "a")
    with database.read() as cursor:
        cursor.execute(change)
    with pytest.raises((StatementFailed, DependencyDown)):
        kept(database, "a")
    assert kept(database, "a")


def test_one_that_was_planned_already_under_its_name_fails_once(database: Database):
    with database.read() as cursor:
        cursor.execute("PREPARE keep_thing AS SELECT 1")
    with pytest.raises(StatementFailed):
        keep(database, "a")
    keep(database, "a")
    assert kept(database, "a")


def test_a_step_holds_at_once_and_is_one_statement(database: Database):
    with pytest.raises(RuntimeError), database.autocommit() as step:
        KEEP.execute(step, {"name": "a"})
        KEEP.execute(step, {"name": "b"})
    assert [kept(database, name) for name in ("a", "b")] == [True, False]
