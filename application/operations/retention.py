"""Deletes what has been kept long enough, which ``domain.retention`` says, and what users have removed."""

from dataclasses import dataclass
from datetime import timedelta

from application.ports.chatrooms import Purged
from application.ports.reply_stream import ReplyPublisher
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.retention import (
    ENDED_SESSIONS_KEPT_FOR,
    PAYMENT_EVENTS_KEPT_FOR,
    ROWS_PER_BATCH,
    UNPROVEN_SIGN_UPS_KEPT_FOR,
    USED_REFRESH_TOKENS_KEPT_FOR,
)


@dataclass(frozen=True, slots=True)
class PurgeExpired:
    """Deletes old idempotency keys, refresh tokens, sessions, sign-ups, payment and audit events, in batches.

    ``audit_retention``: how long audit events are kept, which the operator sets.
    """

    unit_of_work: UnitOfWorkFactory
    clock: Clock
    audit_retention: timedelta
    batch: int = ROWS_PER_BATCH

    def __call__(self) -> int:
        """Returns how many rows were deleted, at most ``batch`` of each kind. The next call deletes more."""
        now = self.clock()
        with self.unit_of_work() as work:
            purged = (
                work.idempotency_keys.purge_expired(limit=self.batch)
                + work.refresh_chains.purge_used_before(now - USED_REFRESH_TOKENS_KEPT_FOR, limit=self.batch)
                + work.sessions.purge_ended_before(now - ENDED_SESSIONS_KEPT_FOR, limit=self.batch)
                + work.users.purge_unproven_before(now - UNPROVEN_SIGN_UPS_KEPT_FOR, limit=self.batch)
                + work.usage.purge_erased(limit=self.batch)
                + work.billing.inbox.purge_before(now - PAYMENT_EVENTS_KEPT_FOR, limit=self.batch)
                + work.audit.purge_before(now - self.audit_retention, limit=self.batch)
            )
            work.commit()
        return purged


@dataclass(frozen=True, slots=True)
class PurgeRemovedChatrooms:
    """Deletes what is left of chatrooms that their users have removed, or that belonged to erased users."""

    unit_of_work: UnitOfWorkFactory
    publisher: ReplyPublisher
    batch: int = ROWS_PER_BATCH

    def __call__(self) -> Purged:
        """Deletes one batch. The next call deletes more."""
        with self.unit_of_work() as work:
            purged = work.chatrooms.purge_removed(limit=self.batch)
            work.commit()
        self.publisher.forget(purged.with_stream)
        return purged
