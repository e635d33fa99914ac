"""The migrations: up, down and up again, to exactly the tables that the code knows."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.pool import NullPool

from adapters.sql import migrate
from adapters.sql.database import SESSION_SETTINGS, connection_arguments
from adapters.sql.tables import metadata
from entrypoints.cli.commands import cli
from tests.servers import new_database

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ScriptDirectory(str(migrate.SCRIPTS))
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]

# All that PostgreSQL knows of our tables, as text that two databases have in common.
SCHEMA = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "types": "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')",
    "settings": "SELECT relname, unnest(reloptions) FROM pg_class WHERE relkind = 'r'",
    "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
}


def engine_of(database_url: str) -> Engine:
    return create_engine("postgresql+psycopg2://", connect_args=connection_arguments(database_url), poolclass=NullPool)


def rows(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    with engine_of(database_url).connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def schema_of(database_url: str) -> dict[str, set[tuple[Any, ...]]]:
    return {
        what: {row for row in rows(database_url, statement) if "alembic_version" not in str(row)}
        for what, statement in SCHEMA.items()
    }


def revision_of(database_url: str) -> str | None:
    with engine_of(database_url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@pytest.fixture
def empty_database(database_server: str) -> Iterator[str]:
    with new_database(database_server, migrated=False) as url:
        yield url


@pytest.fixture(scope="module")
def migrated_database(database_server: str) -> Iterator[str]:
    """A database at the newest revision, of this file alone."""
    with new_database(database_server) as url:
        yield url


def test_there_is_one_line_of_revisions() -> None:
    assert SCRIPTS.get_heads() == [REVISIONS[-1]]
    assert SCRIPTS.get_bases() == [REVISIONS[0]]


def test_each_step_goes_up_and_down_and_up_again(empty_database: str) -> None:
    below = "base"
    for revision in REVISIONS:
        before = schema_of(empty_database)
        migrate.upgrade(empty_database, revision)
        after = schema_of(empty_database)
        assert revision_of(empty_database) == revision
        migrate.downgrade(empty_database, below)
        assert schema_of(empty_database) == before
        migrate.upgrade(empty_database, revision)
        assert schema_of(empty_database) == after
        below = revision


def test_all_the_way_down_leaves_nothing(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    migrate.downgrade(empty_database, "base")
    assert inspect(engine_of(empty_database)).get_table_names() == ["alembic_version"]
    assert not any(schema_of(empty_database).values())
    migrate.upgrade(empty_database)
    assert revision_of(empty_database) == REVISIONS[-1]


def test_a_second_upgrade_changes_nothing(migrated_database: str) -> None:
    before = schema_of(migrated_database)
    migrate.upgrade(migrated_database)
    assert schema_of(migrated_database) == before


def test_a_migration_written_now_would_be_empty(migrated_database: str) -> None:
    with engine_of(migrated_database).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_exactly_the_tables_of_the_code(migrated_database: str, empty_database: str) -> None:
    # What Alembic does not compare as well: CHECK constraints, conditions of indexes, ON DELETE, names.
    metadata.create_all(engine_of(empty_database))
    assert schema_of(migrated_database) == schema_of(empty_database)


def test_every_constraint_and_index_follows_the_naming_convention(migrated_database: str) -> None:
    schema = schema_of(migrated_database)
    prefixes = {"p": "pk_", "f": "fk_", "u": "uq_", "c": "ck_"}
    kinds = rows(
        migrated_database,
        "SELECT conname, contype FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        " AND contype IN ('p', 'f', 'u', 'c') AND conname NOT LIKE 'alembic%%'",
    )
    assert kinds
    assert [name for name, kind in kinds if not name.startswith(prefixes[kind])] == []
    names = {index for _table, index, _definition in schema["indexes"]}
    assert {name for name in names if not name.startswith(("pk_", "uq_", "ix_"))} == set()


def test_every_foreign_key_has_an_index(migrated_database: str) -> None:
    # Without one, deleting a user reads the whole of each table that refers to users.
    missing = rows(
        migrated_database,
        """
        SELECT c.conrelid::regclass::text, c.conname FROM pg_constraint c
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indpred IS NULL
              AND i.indkey[0] = c.conkey[1])
        """,
    )
    assert missing == []


def test_migrations_read_the_url_as_the_service_does(migrated_database: str) -> None:
    """libpq knows of several hosts, as SQLAlchemy does not."""
    scheme, _, rest = migrated_database.partition("://")
    account, at, server = rest.rpartition("@")
    migrate.upgrade(f"{scheme}://{account}{at}127.0.0.1:1,{server}")


def test_four_processes_may_migrate_at_once(empty_database: str) -> None:
    code = "import sys; from adapters.sql.migrate import upgrade; upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_database], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
    assert revision_of(empty_database) == REVISIONS[-1]


def test_a_migration_goes_on_alone_and_waits_for_locks_less_long_than_the_service(migrated_database: str) -> None:
    with migrate._config(migrated_database) as config:
        connection = config.attributes["connection"]
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "2s"
        assert int(SESSION_SETTINGS["lock_timeout"]) > migrate.LOCK_TIMEOUT.total_seconds() * 1_000
        assert connection.exec_driver_sql("SHOW timezone").scalar_one() == "UTC"
        (held,) = rows(
            migrated_database,
            f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            f" AND ((classid::bigint << 32) | objid::bigint) = {migrate.LOCK}",
        )
        assert held == (1,)


def test_no_migration_has_a_time_limit_for_locks_of_its_own() -> None:
    # adapters.sql.migrate.concurrently lifts the limit for what blocks no writer.
    texts = {path.name: path.read_text(encoding="utf-8") for path in (migrate.SCRIPTS / "versions").glob("0*.py")}
    assert len(texts) == len(REVISIONS)
    assert [name for name, text in texts.items() if "lock_timeout" in text] == []


def test_the_command_has_the_patience_that_the_rest_has() -> None:
    (patience,) = (one for one in cli.commands["migrate"].params if one.name == "patience")
    assert patience.default == migrate.PATIENCE.total_seconds()
