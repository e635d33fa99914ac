"""Stories note what happened to an account."""

from dataclasses import dataclass
from datetime import datetime

from application.ports.audit import AuditEvent, AuditEventType, PhoneDigest
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, Origin, PhoneNumber, SessionId, UserId
from domain.errors import DependencyDown


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes events into the audit trail: no secrets, and of a number only its digest."""

    unit_of_work: UnitOfWorkFactory
    clock: Clock
    new_id: NewId
    phone_digest: PhoneDigest

    def note(
        self,
        work: UnitOfWork,
        what: AuditEventType,
        *,
        at: datetime | None = None,
        user_id: UserId | None = None,
        session_id: SessionId | None = None,
        phone: PhoneNumber | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> None:
        """What happened in a unit of work; true if that is."""
        digest = self.phone_digest(phone) if phone is not None else None
        work.audit.add(AuditEvent(self.new_id(), at or self.clock(), what, user_id, session_id, digest, origin))

    def note_alone(
        self,
        what: AuditEventType,
        *,
        user_id: UserId | None = None,
        phone: PhoneNumber | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> None:
        """What changed nothing else. Best effort: that it cannot be noted changes no answer."""
        try:
            with self.unit_of_work() as work:
                self.note(work, what, user_id=user_id, phone=phone, origin=origin)
                work.commit()
        except DependencyDown:
            return
