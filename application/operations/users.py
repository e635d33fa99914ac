"""Operators look after accounts. What they change is recorded in the audit trail, with the reason that they give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.auth.audit import Recorder
from application.ports.audit import AuditEvent, AuditEventType, AuditReader
from application.ports.ledger import Ledger
from application.ports.phone_numbers import ReadPhoneNumber
from application.ports.reader import PlanStatus, Reader, SessionSummary
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
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
class ChangeAccount:
    """Changes an account and records why, in one transaction."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(
        self, user_id: UserId, change: Callable[[UnitOfWork], None], *, what: AuditEventType, note: str
    ) -> bool:
        """Returns False when there is no such account."""
        with self.unit_of_work() as work:
            # Held until the commit: a login under way has either begun its session before, or finds the change.
            if work.users.get(user_id) is None:
                return False
            change(work)
            self.recorder.record(work, what, user_id=user_id, note=note)
            work.commit()
        return True


@dataclass(frozen=True, slots=True)
class LockUser:
    """Locks an account: its sessions end, and none begins until it is unlocked. What it has stays."""

    change_account: ChangeAccount
    clock: Clock

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""

        def lock(work: UnitOfWork) -> None:
            work.users.set_locked(user_id, at=self.clock())
            work.sessions.end_all(user_id)

        return self.change_account(user_id, lock, what=AuditEventType.ACCOUNT_LOCKED, note=reason)


@dataclass(frozen=True, slots=True)
class UnlockUser:
    change_account: ChangeAccount

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""

        def unlock(work: UnitOfWork) -> None:
            work.users.set_locked(user_id, at=None)

        return self.change_account(user_id, unlock, what=AuditEventType.ACCOUNT_UNLOCKED, note=reason)


@dataclass(frozen=True, slots=True)
class EndSessions:
    """Ends every session of an account: its user logs in again everywhere."""

    change_account: ChangeAccount

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""

        def end_sessions(work: UnitOfWork) -> None:
            work.sessions.end_all(user_id)

        return self.change_account(user_id, end_sessions, what=AuditEventType.SESSIONS_ENDED, note=reason)


@dataclass(frozen=True, slots=True)
class GrantPro:
    """Gives an account the Pro plan until a moment, in place of an earlier grant. It ends by itself.

    A subscription is neither needed nor touched: a user who has both is Pro as long as either holds.
    """

    change_account: ChangeAccount
    clock: Clock

    def __call__(self, user_id: UserId, *, until: datetime, reason: str) -> bool:
        """Returns False when there is no such account. Raises InvalidValue unless ``until`` is in the future."""
        if until <= self.clock():
            raise InvalidValue("until", "must be in the future")

        def grant(work: UnitOfWork) -> None:
            work.users.grant_pro(user_id, until=until)

        note = f"until {until.isoformat(timespec='seconds')}: {reason}"
        return self.change_account(user_id, grant, what=AuditEventType.PRO_GRANTED, note=note)


@dataclass(frozen=True, slots=True)
class WithdrawPro:
    """Ends a grant of Pro before its time. A subscription goes on."""

    change_account: ChangeAccount

    def __call__(self, user_id: UserId, *, reason: str) -> bool:
        """Returns False when there is no such account."""

        def withdraw(work: UnitOfWork) -> None:
            work.users.grant_pro(user_id, until=None)

        return self.change_account(user_id, withdraw, what=AuditEventType.PRO_WITHDRAWN, note=reason)
