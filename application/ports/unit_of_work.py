"""One transaction, opened and committed by the story that needs it."""

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
    """All that is written together. Leaving without ``commit`` leaves nothing behind."""

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
        """Make it all true. The last thing a story does in its unit of work."""


class UnitOfWorkFactory(Protocol):
    """Opens units of work. DependencyDown("database") when there is no database to open one on."""

    def __call__(self) -> AbstractContextManager[UnitOfWork]: ...

    def autocommit(self) -> AbstractContextManager[UnitOfWork]:
        """For a story that writes with one statement and then commits: all or nothing by itself, and cheaper so.

        What it writes may hold at once, whatever follows: nothing may follow but reading and the commit.
        """
