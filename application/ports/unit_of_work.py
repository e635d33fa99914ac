"""Unit of work (Fowler, Percival and Gregory): one transaction, opened and committed by a use case."""

from contextlib import AbstractContextManager
from typing import Protocol

from application.ports.acceptance import Acceptance
from application.ports.audit import AuditTrail
from application.ports.billing_work import BillingWork
from application.ports.chatrooms import Chatrooms
from application.ports.erasure import Erasure
from application.ports.idempotency import IdempotencyKeys
from application.ports.messages import Messages
from application.ports.refresh_tokens import RefreshChains
from application.ports.replies import Replies
from application.ports.sessions import Sessions
from application.ports.usage import Usage
from application.ports.users import Users


class UnitOfWork(Protocol):
    """The repositories of one transaction. Without ``commit`` nothing is stored."""

    @property
    def users(self) -> Users: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def chatrooms(self) -> Chatrooms: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def replies(self) -> Replies: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def acceptance(self) -> Acceptance: ...
    @property
    def refresh_chains(self) -> RefreshChains: ...
    @property
    def audit(self) -> AuditTrail: ...
    @property
    def erasure(self) -> Erasure: ...
    @property
    def idempotency_keys(self) -> IdempotencyKeys: ...
    @property
    def billing(self) -> BillingWork: ...

    def commit(self) -> None:
        """Stores everything that was written. The last call of a use case in its unit of work."""


class UnitOfWorkFactory(Protocol):
    """Opens units of work. DependencyDown("database") when there is no database to open one on."""

    def __call__(self) -> AbstractContextManager[UnitOfWork]:
        """A transaction, which is rolled back unless it was committed."""

    def autocommit(self) -> AbstractContextManager[UnitOfWork]:
        """A unit of work with a single write, which is atomic by itself and stored as soon as it succeeds.

        ``commit`` is not needed. A second write raises RuntimeError: the two would not be all or nothing.
        """
