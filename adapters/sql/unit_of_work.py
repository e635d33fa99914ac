"""Transactions.

They lock rows in one order, so that they wait for each other and do not deadlock: the user; chatrooms, messages,
unfinished replies; sessions, refresh tokens; the use of a day, idempotency keys; payment events and entries,
checkouts, subscriptions, customers; audit events; the list of chatrooms, which triggers change. A foreign key to the
user locks the user, too, at the end of a statement that adds a row, or updates one that its own transaction has changed
before: so a transaction that does either locks the user before anything else (docs/decisions/0042).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from adapters.sql.acceptance import EverybodysBacklog, KeptMessages, SqlAcceptance
from adapters.sql.audit import SqlAuditTrail
from adapters.sql.billing import SqlBilling
from adapters.sql.chat import SqlChatrooms, SqlMessages
from adapters.sql.database import AutocommitCursor, Database, Transaction
from adapters.sql.erasure import SqlErasure
from adapters.sql.idempotency import SqlIdempotencyKeys
from adapters.sql.refresh_tokens import SqlRefreshChains
from adapters.sql.replies import SqlReplies
from adapters.sql.usage import SqlUsage
from adapters.sql.users import SqlSessions, SqlUsers
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


class SqlUnitOfWork(UnitOfWork):
    """A transaction. All repositories share its cursor; each is built when it is first used."""

    def __init__(
        self,
        transaction: Transaction | AutocommitCursor,
        backlog_of_all: EverybodysBacklog,
        kept_messages: KeptMessages,
    ) -> None:
        self._transaction = transaction
        self._backlog_of_all = backlog_of_all
        self._kept_messages = kept_messages

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
        return SqlAcceptance(self._transaction, self._backlog_of_all, self._kept_messages)

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
        # What the units of work of this process know of it together.
        self._backlog_of_all = EverybodysBacklog()
        self._kept_messages = KeptMessages()

    @contextmanager
    def __call__(self) -> Iterator[SqlUnitOfWork]:
        with self._database.transaction() as transaction:
            yield SqlUnitOfWork(transaction, self._backlog_of_all, self._kept_messages)

    @contextmanager
    def autocommit(self) -> Iterator[SqlUnitOfWork]:
        with self._database.autocommit() as cursor:
            yield SqlUnitOfWork(cursor, self._backlog_of_all, self._kept_messages)
