"""One transaction of PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from adapters.sql.audit import SqlAuditTrail
from adapters.sql.billing import SqlBilling
from adapters.sql.chat import SqlChatrooms, SqlMessages, SqlUsage
from adapters.sql.database import Database
from adapters.sql.erasure import SqlErasure
from adapters.sql.idempotency import SqlIdempotencyKeys
from adapters.sql.refresh_tokens import SqlRefreshChains
from adapters.sql.replies import SqlReplies
from adapters.sql.users import SqlSessions, SqlUsers


class SqlWork:
    """The Work port on an open transaction."""

    def __init__(self, cursor: Cursor, connection: Any) -> None:
        """Let every repository work on the same transaction."""
        self._connection = connection
        self.users = SqlUsers(cursor)
        self.sessions = SqlSessions(cursor)
        self.chatrooms = SqlChatrooms(cursor)
        self.messages = SqlMessages(cursor)
        self.replies = SqlReplies(cursor)
        self.usage = SqlUsage(cursor)
        self.refresh_chains = SqlRefreshChains(cursor)
        self.audit = SqlAuditTrail(cursor)
        self.erasure = SqlErasure(cursor)
        self.idempotency_keys = SqlIdempotencyKeys(cursor)
        self.billing = SqlBilling(cursor)

    def commit(self) -> None:
        """COMMIT."""
        self._connection.commit()


class SqlUnitsOfWork:
    """The Begin port."""

    def __init__(self, database: Database) -> None:
        """Open transactions on ``database``."""
        self._database = database

    @contextmanager
    def __call__(self) -> Iterator[SqlWork]:
        """A unit of work; rolled back unless it was committed."""
        with self._database.transaction() as (cursor, connection):
            yield SqlWork(cursor, connection)
