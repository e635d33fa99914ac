"""One transaction of PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from adapters.sql.acceptance import EverybodysBacklog, SqlAcceptance
from adapters.sql.audit import SqlAuditTrail
from adapters.sql.billing import SqlBilling
from adapters.sql.chat import SqlChatrooms, SqlMessages, SqlUsage
from adapters.sql.database import AutocommitCursor, Database, Transaction
from adapters.sql.erasure import SqlErasure
from adapters.sql.idempotency import SqlIdempotencyKeys
from adapters.sql.refresh_tokens import SqlRefreshChains
from adapters.sql.replies import SqlReplies
from adapters.sql.users import SqlSessions, SqlUsers
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


class SqlUnitOfWork(UnitOfWork):
    """The UnitOfWork port on a transaction: every repository works on the same one, and is made when it is used."""

    def __init__(self, transaction: Transaction | AutocommitCursor, everybodys_backlog: EverybodysBacklog) -> None:
        self._transaction = transaction
        self._everybodys_backlog = everybodys_backlog

    @cached_property
    def users(self) -> SqlUsers:
        return SqlUsers(self._transaction)

    @cached_property
    def sessions(self) -> SqlSessions:
        return SqlSessions(self._transaction)

    @cached_property
    def chatrooms(self) -> SqlChatrooms:
        return SqlChatrooms(self._transaction)

    @cached_property
    def messages(self) -> SqlMessages:
        return SqlMessages(self._transaction)

    @cached_property
    def replies(self) -> SqlReplies:
        return SqlReplies(self._transaction)

    @cached_property
    def usage(self) -> SqlUsage:
        return SqlUsage(self._transaction)

    @cached_property
    def acceptance(self) -> SqlAcceptance:
        return SqlAcceptance(self._transaction, self._everybodys_backlog)

    @cached_property
    def refresh_chains(self) -> SqlRefreshChains:
        return SqlRefreshChains(self._transaction)

    @cached_property
    def audit(self) -> SqlAuditTrail:
        return SqlAuditTrail(self._transaction)

    @cached_property
    def erasure(self) -> SqlErasure:
        return SqlErasure(self._transaction)

    @cached_property
    def idempotency_keys(self) -> SqlIdempotencyKeys:
        return SqlIdempotencyKeys(self._transaction)

    @cached_property
    def billing(self) -> SqlBilling:
        return SqlBilling(self._transaction)

    def commit(self) -> None:
        self._transaction.commit()


class SqlUnitOfWorkFactory(UnitOfWorkFactory):
    def __init__(self, database: Database) -> None:
        self._database = database
        self._everybodys_backlog = EverybodysBacklog()

    @contextmanager
    def __call__(self) -> Iterator[SqlUnitOfWork]:
        with self._database.transaction() as transaction:
            yield SqlUnitOfWork(transaction, self._everybodys_backlog)

    @contextmanager
    def autocommit(self) -> Iterator[SqlUnitOfWork]:
        with self._database.autocommit() as cursor:
            yield SqlUnitOfWork(cursor, self._everybodys_backlog)
