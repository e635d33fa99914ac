"""Whether the database can be worked with, asked on a connection of its own: the pool may be in use to the last."""

import time
from typing import Any

import psycopg2
from psycopg2.errors import InsufficientPrivilege, UndefinedTable

from adapters.sql.database import PingCursor, ServerIsSilent, connector
from adapters.sql.replies import BACKLOG_OF_ALL
from adapters.sql.schema import REVISION
from application.ports.health import Fault, Faults, Part, Probe

STATE = """
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
       ARRAY(SELECT version_num::text FROM alembic_version)
"""
# Settings of a database or a role hold for new sessions only.
KEEP_CONNECTION_SECONDS = 30.0
# A locked table is no reason to take a process out of service.
SESSION_SETTINGS = {"statement_timeout": "800", "lock_timeout": "100"}


class DatabaseProbe(Probe):
    """One caller at a time. ``backlog``: the number of unfinished replies beyond which no message is accepted."""

    def __init__(self, database_url: str, *, backlog: int, sessions_are_shared: bool = False) -> None:
        self._connect = connector(
            database_url,
            application_name="probe",
            connect_timeout=2,
            session_settings=SESSION_SETTINGS,
            sessions_are_shared=sessions_are_shared,
        )
        self._half = backlog // 2
        self._connection: Any = None
        self._connected_at = 0.0

    def __call__(self) -> Faults:
        try:
            [(read_only, revisions)] = self._state()
        except (UndefinedTable, InsufficientPrivilege):
            return {Part.DATABASE: Fault.SCHEMA}
        except psycopg2.Error:
            self.close()
            return {Part.DATABASE: Fault.UNREACHABLE}
        if read_only:
            return {Part.DATABASE: Fault.READ_ONLY}
        if revisions != [REVISION]:
            return {Part.DATABASE: Fault.SCHEMA}
        return {Part.BACKLOG: Fault.HALF_FULL} if self._is_half_full() else {}

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _state(self) -> list[tuple[Any, ...]]:
        if self._connection is not None and time.monotonic() - self._connected_at < KEEP_CONNECTION_SECONDS:
            try:
                return self._rows(STATE)
            except ServerIsSilent:
                raise
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                pass  # the server may have been restarted since the last call
        self.close()
        self._connection = self._connect()
        self._connected_at = time.monotonic()
        return self._rows(STATE)

    def _is_half_full(self) -> bool:
        try:
            [(count,)] = self._rows(BACKLOG_OF_ALL, {"backlog": self._half + 1})
        except psycopg2.Error:
            # Unknown: the table is locked, or counting took too long.
            return False
        return bool(count > self._half)

    def _rows(self, statement: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor(cursor_factory=PingCursor) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())
