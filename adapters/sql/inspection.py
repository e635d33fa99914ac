"""PostgreSQL, as an operator's examination sees it."""

from contextlib import closing
from typing import Any

import psycopg2

from adapters.sql.database import connector
from adapters.sql.startup import (
    PARAMETERS_REFUSED,
    SETTINGS_DROPPED,
    check_prepared_statements,
    check_session_settings,
    revision_of,
)
from application.operations.startup import CannotStart
from application.ports.inspection import LOOPBACK, DatabaseFacts, InspectDatabase, NotInspected

STATE = """
SELECT current_setting('server_version'), current_setting('server_encoding'),
       current_setting('default_transaction_isolation'),
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       current_setting('log_min_error_statement') NOT IN ('panic', 'fatal'),
       clock_timestamp()
"""


class SqlInspection(InspectDatabase):
    def __init__(self, database_url: str, *, sessions_are_shared: bool = False) -> None:
        self._connect = connector(database_url, application_name="doctor", sessions_are_shared=sessions_are_shared)
        self._sessions_are_shared = sessions_are_shared

    def __call__(self) -> DatabaseFacts:
        try:
            with closing(self._connect()) as connection, closing(self._connect()) as another:
                fault = None if self._sessions_are_shared else _pooler_fault(connection, another)
                return _facts(connection, fault)
        except psycopg2.Error as error:
            # The driver's first line names host, port, user and database. Others say the same of other addresses.
            reason, *_ = str(error).strip().splitlines() or [type(error).__name__]
            raise NotInspected(SETTINGS_DROPPED if PARAMETERS_REFUSED in reason else reason) from None


def _facts(connection: Any, pooler_fault: str | None) -> DatabaseFacts:
    revision = revision_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(STATE)
        [(version, encoding, isolation, read_only, superuser, logs_values, clock)] = cursor.fetchall()
    host = connection.info.host
    return DatabaseFacts(
        server=f"PostgreSQL {version}",
        local=host.startswith("/") or host in LOOPBACK,
        encrypted=connection.info.ssl_in_use,
        encoding=encoding,
        revision=revision,
        isolation=isolation,
        read_only=read_only,
        superuser=superuser,
        logs_values=logs_values,
        pooler_fault=pooler_fault,
        clock=clock,
    )


def _pooler_fault(connection: Any, another: Any) -> str | None:
    try:
        check_session_settings(connection)
        check_prepared_statements(connection, another)
    except CannotStart as fault:
        return str(fault)
    return None
