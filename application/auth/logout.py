"""Users list their sessions, and end them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from application.auth.audit import Recorder
from application.ports.audit import AuditEventType
from application.ports.reader import Reader, SessionSummary
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UNKNOWN_ORIGIN, Origin, Principal, SessionId, UserId
from domain.errors import SessionNotFound


class Scope(StrEnum):
    """Which of a user's sessions to end."""

    THIS = "this"
    OTHERS = "others"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class LogOut:
    """Ends the present session, the user's other ones, or all. Access and refresh tokens stop working at once."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(self, *, principal: Principal, scope: Scope = Scope.THIS, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Succeeds also when the sessions had ended before."""
        user_id, session_id = principal.user_id, principal.session_id
        with self.unit_of_work() as work:
            if scope is Scope.THIS:
                work.sessions.end(session_id, of=user_id)
            else:
                work.sessions.end_all(user_id, but=session_id if scope is Scope.OTHERS else None)
            what = AuditEventType.LOGGED_OUT if scope is Scope.THIS else AuditEventType.SESSIONS_ENDED
            self.recorder.record(work, what, user_id=user_id, session_id=session_id, origin=origin)
            work.commit()


@dataclass(frozen=True, slots=True)
class EndSession:
    """Ends one of a user's sessions, on any device."""

    unit_of_work: UnitOfWorkFactory
    recorder: Recorder

    def __call__(self, *, principal: Principal, session_id: SessionId, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Raises SessionNotFound unless it is the user's own and has not ended."""
        with self.unit_of_work() as work:
            if not work.sessions.end(session_id, of=principal.user_id):
                raise SessionNotFound
            self.recorder.record(
                work, AuditEventType.SESSIONS_ENDED, user_id=principal.user_id, session_id=session_id, origin=origin
            )
            work.commit()


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Lists a user's sessions that have not ended, newest first."""

    reader: Reader

    def __call__(self, *, user_id: UserId) -> Sequence[SessionSummary]:
        return self.reader.sessions(user_id)
