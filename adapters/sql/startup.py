"""What is looked at once, when a process starts: would it work with this database?"""

from contextlib import closing
from typing import Any

import psycopg2
import structlog
from psycopg2.errors import DuplicatePreparedStatement, InsufficientPrivilege, InvalidSqlStatementName, UndefinedTable

from adapters.sql.database import SESSION_SETTINGS, connector
from adapters.sql.schema import REVISIONS
from application.operations.startup import CannotStart

log = structlog.get_logger(__name__)

ENCODING = "UTF8"
# Of a connection that has set it, if it may.
QUOTES_STATEMENTS = "SELECT current_setting('log_min_error_statement') NOT IN ('panic', 'fatal')"
# What PgBouncer says to a client that sets parameters of its session, unless it was told to drop or to track them.
PARAMETERS_REFUSED = "unsupported startup parameter"

NOT_UTF8 = "The database's encoding is {encoding}; it must be UTF8, which CREATE DATABASE … ENCODING 'UTF8' gives it."
SCHEMA_OF_TOMORROW = (
    "The database's schema is of version {revision}, which this release does not know: it is newer. Start that release."
)
SETTINGS_DROPPED = (
    "The session settings of this service do not reach the database, so its statements would run without time limits: "
    "a pooler drops them. Connect without it, set DATABASE_POOLER=transaction if it shares sessions, or let it ignore "
    "`options` and give the role these settings: "
    "ALTER ROLE … SET statement_timeout = '5s'; ALTER ROLE … SET lock_timeout = '3s'."
)
TRANSACTION_POOLER = (
    "There is a pooler before the database that gives each transaction another session (transaction mode), where "
    "prepared statements break: set DATABASE_POOLER=transaction, use its session mode, or connect without it."
)

# In milliseconds, as the settings are given.
SETTING = "SELECT setting FROM pg_settings WHERE name = %(name)s"


def check_database(database_url: str, *, sessions_are_shared: bool = False) -> None:
    """Raises CannotStart when the service cannot work with the database. ``sessions_are_shared``: as for ``connector``.

    One that is not there yet is no reason: processes wait for it.
    """
    connect = connector(database_url, application_name="startup", sessions_are_shared=sessions_are_shared)
    try:
        with closing(connect()) as connection, closing(connect()) as another:
            check_encoding(value_of(connection, "SHOW server_encoding"))
            check_revision(revision_of(connection))
            _warn_of_quoted_statements(connection)
            if not sessions_are_shared:
                check_session_settings(connection)
                check_prepared_statements(connection, another)
    except psycopg2.OperationalError as error:
        if PARAMETERS_REFUSED in str(error):
            raise CannotStart(SETTINGS_DROPPED) from None


def check_encoding(encoding: str) -> None:
    """Raises CannotStart for another one than UTF-8: not every message could be stored."""
    if encoding != ENCODING:
        raise CannotStart(NOT_UTF8.format(encoding=encoding))


def check_revision(revision: str | None) -> None:
    """Raises CannotStart for a schema newer than this code. None: there is no schema yet."""
    if revision is not None and revision not in REVISIONS:
        raise CannotStart(SCHEMA_OF_TOMORROW.format(revision=revision))


def check_session_settings(connection: Any) -> None:
    """Raises CannotStart when our time limits do not reach the session: a pooler drops them."""
    for name in ("statement_timeout", "lock_timeout"):
        if value_of(connection, SETTING, {"name": name}) != SESSION_SETTINGS[name]:
            raise CannotStart(SETTINGS_DROPPED)


def _warn_of_quoted_statements(connection: Any) -> None:
    if value_of(connection, QUOTES_STATEMENTS):
        log.warning(
            "postgresql_logs_values",
            reason="PostgreSQL's own log quotes statements that fail, prompts and phone numbers among their values",
            remedy="GRANT SET ON PARAMETER log_min_error_statement, log_error_verbosity TO the role of DATABASE_URL; "
            "where sessions are shared, ALTER ROLE … SET log_min_error_statement = 'panic'",
        )


def check_prepared_statements(connection: Any, another: Any) -> None:
    """Raises CannotStart when the two connections do not have a session each: a pooler shares them."""
    with closing(another.cursor()) as transaction:
        try:
            value_of(connection, "PREPARE startup_probe AS SELECT 1; SELECT 1")
            # A pooler would hand the session that was used last to this transaction.
            transaction.execute("BEGIN; SELECT 1")
            value_of(connection, "EXECUTE startup_probe")
        except (InvalidSqlStatementName, DuplicatePreparedStatement):
            raise CannotStart(TRANSACTION_POOLER) from None
        finally:
            transaction.execute("ROLLBACK")


def schema_of(database_url: str, *, sessions_are_shared: bool = False) -> str | None:
    """The version of the schema; None where there is none, or no database."""
    try:
        connect = connector(database_url, application_name="version", sessions_are_shared=sessions_are_shared)
        with closing(connect()) as connection:
            return revision_of(connection)
    except psycopg2.OperationalError:
        return None


def revision_of(connection: Any) -> str | None:
    try:
        revision: str | None = value_of(connection, "SELECT max(version_num) FROM alembic_version")
    except (UndefinedTable, InsufficientPrivilege):
        return None
    return revision


def value_of(connection: Any, statement: str, values: dict[str, str] | None = None) -> Any:
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement, values)
        [(value,)] = cursor.fetchall()
        return value
