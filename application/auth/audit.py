"""Records audit events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from application.ports.audit import AuditEvent, AuditEventType, PhoneDigest
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, Origin, PhoneNumber, SessionId, UserId
from domain.errors import DependencyDown


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records events in the audit trail. Of a number, an event holds only the digest."""

    unit_of_work: UnitOfWorkFactory
    clock: Clock
    new_id: NewId
    phone_digest: PhoneDigest
    # By the secrets that were replaced and are still configured.
    older_digests: Sequence[PhoneDigest] = ()

    def digests(self, phone: PhoneNumber) -> Sequence[str]:
        """The digests of a number by every key, the present one first."""
        return [digest(phone) for digest in (self.phone_digest, *self.older_digests)]

    def record(
        self,
        work: UnitOfWork,
        what: AuditEventType,
        *,
        at: datetime | None = None,
        user_id: UserId | None = None,
        session_id: SessionId | None = None,
        phone: PhoneNumber | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
        note: str | None = None,
    ) -> None:
        """Records an event in the caller's transaction."""
        digest = self.phone_digest(phone) if phone is not None else None
        work.audit.add(AuditEvent(self.new_id(), at or self.clock(), what, user_id, session_id, digest, origin, note))

    def record_alone(
        self,
        what: AuditEventType,
        *,
        user_id: UserId | None = None,
        phone: PhoneNumber | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> None:
        """Records an event in a transaction of its own. Best effort: DependencyDown is swallowed."""
        try:
            with self.unit_of_work() as work:
                self.record(work, what, user_id=user_id, phone=phone, origin=origin)
                work.commit()
        except DependencyDown:
            return
