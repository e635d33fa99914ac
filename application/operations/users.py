"""Operators look after accounts. What they change is recorded in the audit trail, with the reason that they give."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.auth.audit import Recorder
from application.ports.audit import AuditEvent, AuditEventType, AuditReader
from application.ports.ledger import Ledger
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.reader import PlanStatus, Reader, SessionSummary
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import User, UserId
from domain.errors import InvalidValue
from domain.plans import Allowances

LAST_EVENTS = 10


@dataclass(frozen=True, slots=True)
class FindUser:
    """Finds an account by its mobile number, as people write it, or by its id."""

    ledger: Ledger
    read_phone_number: ReadPhoneNumber

    def __call__(self, phone_or_id: str) -> UserId | None:
        """Returns None when there is no such account. Raises InvalidValue when it is neither a number nor an id."""
        try:
            return self.ledger.user_of(str(UUID(phone_or_id)))
        except ValueError:
            return self.ledger.user_of(self.read_phone_number(phone_or_id).e164)


@dataclass(frozen=True, slots=True)
class UserFile:
    """What an operator sees of an account."""

    user: User
    plan_status: PlanStatus
    sessions: Sequence[SessionSummary]
    events: Sequence[AuditEvent]


@dataclass(frozen=True, slots=True)
class ShowUser:
    unit_of_work: UnitOfWorkFactory
    reader: Reader
    audit_reader: AuditReader
    allowances: Allowances

    def __call__(self, user_id: UserId) -> UserFile | None:
        """Returns None when there is no such account."""
        with self.unit_of_work() as work:
            user = work.users.get(user_id)
        if user is None:
            return None
        return UserFile(
            user,
            self.reader.plan_status(user_id, allowances=self.allowances),
            self.reader.sessions(user_id),
            self.audit_reader(user_id=user_id, phone_digests=(), what=None, limit=LAST_EVENTS),
        )


@dataclass(frozen=True, slots=True)
class LockUser:
    """Locks an account: its sessions end, and none begins until it is unlocked. What it has stays."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder
    clock: Clock

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""
        with self.unit_of_work() as work:
            # Held until the commit: a login under way has either begun its session before, or finds the lock.
            if work.users.get(user_id) is None:
                return False
            work.users.set_locked(user_id, at=self.clock())
            work.sessions.end_all(user_id)
            self.recorder.record(work, AuditEventType.ACCOUNT_LOCKED, user_id=user_id, note=reason)
            work.commit()
        return True


@dataclass(frozen=True, slots=True)
class UnlockUser:
    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""
        with self.unit_of_work() as work:
            if work.users.get(user_id) is None:
                return False
            work.users.set_locked(user_id, at=None)
            self.recorder.record(work, AuditEventType.ACCOUNT_UNLOCKED, user_id=user_id, note=reason)
            work.commit()
        return True


@dataclass(frozen=True, slots=True)
class EndSessions:
    """Ends every session of an account: its user logs in again everywhere."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""
        with self.unit_of_work() as work:
            if work.users.get(user_id) is None:
                return False
            work.sessions.end_all(user_id)
            self.recorder.record(work, AuditEventType.SESSIONS_ENDED, user_id=user_id, note=reason)
            work.commit()
        return True


@dataclass(frozen=True, slots=True)
class GrantPro:
    """Gives an account the Pro plan until a moment, in place of an earlier grant. It ends by itself.

    A subscription is neither needed nor touched: a user who has both is Pro as long as either holds.
    """

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder
    clock: Clock

    def __call__(self, user_id: UserId, *, until: datetime, reason: str) -> bool:
        """Returns False when there is no such account. Raises InvalidValue unless ``until`` is in the future."""
        if until <= self.clock():
            raise InvalidValue("until", "must be in the future")
        with self.unit_of_work() as work:
            if work.users.get(user_id) is None:
                return False
            work.users.grant_pro(user_id, until=until)
            note = f"until {until.isoformat(timespec='seconds')}: {reason}"
            self.recorder.record(work, AuditEventType.PRO_GRANTED, user_id=user_id, note=note)
            work.commit()
        return True


@dataclass(frozen=True, slots=True)
class WithdrawPro:
    """Ends a grant of Pro before its time. A subscription goes on."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""
        with self.unit_of_work() as work:
            if work.users.get(user_id) is None:
                return False
            work.users.grant_pro(user_id, until=None)
            self.recorder.record(work, AuditEventType.PRO_WITHDRAWN, user_id=user_id, note=reason)
            work.commit()
        return True
