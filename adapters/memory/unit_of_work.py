"""One transaction: every repository works on the same copy of the tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from adapters.memory.acceptance import MemoryAcceptance
from adapters.memory.audit import MemoryAuditTrail
from adapters.memory.billing import MemoryBilling
from adapters.memory.chat import MemoryChatrooms, MemoryMessages
from adapters.memory.erasure import MemoryErasure
from adapters.memory.idempotency import MemoryIdempotencyKeys
from adapters.memory.refresh_tokens import MemoryRefreshChains
from adapters.memory.replies import MemoryReplies
from adapters.memory.tables import MemoryDatabase
from adapters.memory.transaction import Transaction
from adapters.memory.usage import MemoryUsage
from adapters.memory.users import MemorySessions, MemoryUsers
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


class MemoryUnitOfWork(UnitOfWork):
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    @cached_property
    def users(self) -> MemoryUsers:
        return MemoryUsers(self._transaction)

    @cached_property
    def sessions(self) -> MemorySessions:
        return MemorySessions(self._transaction)

    @cached_property
    def chatrooms(self) -> MemoryChatrooms:
        return MemoryChatrooms(self._transaction)

    @cached_property
    def messages(self) -> MemoryMessages:
        return MemoryMessages(self._transaction)

    @cached_property
    def replies(self) -> MemoryReplies:
        return MemoryReplies(self._transaction)

    @cached_property
    def usage(self) -> MemoryUsage:
        return MemoryUsage(self._transaction)

    @cached_property
    def acceptance(self) -> MemoryAcceptance:
        return MemoryAcceptance(self, self._transaction)

    @cached_property
    def refresh_chains(self) -> MemoryRefreshChains:
        return MemoryRefreshChains(self._transaction)

    @cached_property
    def audit(self) -> MemoryAuditTrail:
        return MemoryAuditTrail(self._transaction)

    @cached_property
    def erasure(self) -> MemoryErasure:
        return MemoryErasure(self._transaction)

    @cached_property
    def idempotency_keys(self) -> MemoryIdempotencyKeys:
        return MemoryIdempotencyKeys(self._transaction)

    @cached_property
    def billing(self) -> MemoryBilling:
        return MemoryBilling(self._transaction)

    def commit(self) -> None:
        self._transaction.commit()


class MemoryUnitOfWorkFactory(UnitOfWorkFactory):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    @contextmanager
    def __call__(self) -> Iterator[MemoryUnitOfWork]:
        with self._database.one_at_a_time:
            yield MemoryUnitOfWork(Transaction(self._database))

    @contextmanager
    def autocommit(self) -> Iterator[MemoryUnitOfWork]:
        with self._database.one_at_a_time:
            yield MemoryUnitOfWork(Transaction(self._database, autocommit=True))
