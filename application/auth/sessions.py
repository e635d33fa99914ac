"""Sessions: started by a login, and looked up by the access token of each request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from application.auth.audit import Recorder
from application.ports.access_tokens import AccessTokens
from application.ports.audit import AuditEventType
from application.ports.reader import Reader
from application.ports.refresh_tokens import RefreshTokens
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork
from domain.accounts import (
    DEVICE_MAX_LENGTH,
    UNKNOWN_ORIGIN,
    LoginMethod,
    Origin,
    Principal,
    Session,
    SessionId,
    User,
    UserId,
    end_of_session,
)
from domain.errors import AccountLocked, OtpInvalid, TokenInvalid

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A successful login: the user, an access token that is valid for ``expires_in``, and a refresh token."""

    user: User
    token: str
    expires_in: timedelta
    refresh_token: str


@dataclass(frozen=True, slots=True)
class StartSession:
    """The last step of every use case that logs in, inside its unit of work."""

    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    recorder: Recorder
    new_id: NewId
    token_lifetime: timedelta
    longest_session: timedelta

    def __call__(
        self,
        work: UnitOfWork,
        user: User,
        *,
        method: LoginMethod,
        at: datetime,
        origin: Origin = UNKNOWN_ORIGIN,
        session_id: SessionId | None = None,
    ) -> LoggedIn:
        """Starts a session and signs its tokens, which are valid once the caller commits.

        With a ``session_id`` its first refresh token follows from it, so that ``resume`` can give it again.
        """
        session = Session(
            id=session_id or SessionId(self.new_id()),
            user_id=user.id,
            method=method,
            started_at=at,
            expires_at=end_of_session(at, used_at=at, longest=self.longest_session),
            device=(origin.device or "")[:DEVICE_MAX_LENGTH] or None,
        )
        refresh_token = self.refresh_tokens.first_of(session_id) if session_id else self.refresh_tokens.first()
        work.sessions.add(session)
        work.refresh_chains.start(session.id, self.refresh_tokens.digest(refresh_token), at=at)
        self.recorder.record(
            work, AuditEventType.LOGGED_IN, at=at, user_id=user.id, session_id=session.id, origin=origin
        )
        token = self.access_tokens.issue(session, at=at, lifetime=self.token_lifetime)
        return LoggedIn(user, token, self.token_lifetime, refresh_token)

    def resume(self, work: UnitOfWork, user: User, session_id: SessionId, *, at: datetime) -> LoggedIn | None:
        """The tokens of a session that was begun with this id, again; None when there is no such session.

        Raises OtpInvalid when it has ended, is another user's, or its refresh token was used: the answer has come then.
        """
        if not work.sessions.has(session_id):
            return None
        refresh_token = self.refresh_tokens.first_of(session_id)
        kept = work.refresh_chains.find(self.refresh_tokens.digest(refresh_token))
        if kept is None or kept.used_at is not None or kept.session.user_id != user.id:
            raise OtpInvalid(attempts_left=0)
        token = self.access_tokens.issue(kept.session, at=at, lifetime=self.token_lifetime)
        return LoggedIn(user, token, self.token_lifetime, refresh_token)


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Finds the principal of an access token. A token of an ended session is refused, even before it expires."""

    access_tokens: AccessTokens
    reader: Reader
    clock: Clock

    def __call__(self, token: str) -> Principal:
        """Raises TokenInvalid, TokenExpired or AccountLocked."""
        claims = self.access_tokens.read(token, at=self.clock())
        principal = self.reader.principal(claims.session_id)
        if principal is None or principal.user_id != claims.user_id:
            raise _refusal(self.reader, claims.user_id)
        return principal


@dataclass(frozen=True, slots=True)
class AuthenticateWith(Generic[T]):
    """Authenticate, and something of the user's, in one query: ``read``, by the session's id and what is asked for."""

    access_tokens: AccessTokens
    reader: Reader
    clock: Clock
    read: Callable[..., tuple[Principal, T] | None]

    def __call__(self, token: str, **asked: Any) -> tuple[Principal, T]:
        """Raises TokenInvalid, TokenExpired or AccountLocked."""
        claims = self.access_tokens.read(token, at=self.clock())
        found = self.read(claims.session_id, **asked)
        if found is None or found[0].user_id != claims.user_id:
            raise _refusal(self.reader, claims.user_id)
        return found


def _refusal(reader: Reader, user_id: UserId) -> AccountLocked | TokenInvalid:
    """Why a good token of a user is refused. Asked once its session has ended, so that other requests cost no more."""
    return AccountLocked() if reader.is_locked(user_id) else TokenInvalid()
