"""Sessions: begun by a login, shown by a token, looked up with each request."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.access_tokens import AccessTokens
from application.ports.reader import Reader
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import Work
from domain.accounts import LoginMethod, Principal, Session, SessionId, User
from domain.errors import TokenInvalid


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A login that succeeded: the user, and a token that works for ``expires_in``."""

    user: User
    token: str
    expires_in: timedelta


@dataclass(frozen=True, slots=True)
class StartSession:
    """The end of every login story, inside its unit of work."""

    access_tokens: AccessTokens
    new_id: NewId
    lifetime: timedelta

    def __call__(self, work: Work, user: User, *, method: LoginMethod, at: datetime) -> LoggedIn:
        """Begin a session and sign its token; both hold once the caller commits."""
        session = Session(
            id=SessionId(self.new_id()),
            user_id=user.id,
            method=method,
            started_at=at,
            expires_at=at + self.lifetime,
        )
        work.sessions.add(session)
        return LoggedIn(user, self.access_tokens.issue(session, at=at), self.lifetime)


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Says who is behind a token. A session that was ended is gone at once, whatever the token says."""

    access_tokens: AccessTokens
    reader: Reader
    clock: Clock

    def __call__(self, token: str) -> Principal:
        """The principal. TokenInvalid, TokenExpired."""
        claims = self.access_tokens.read(token, at=self.clock())
        principal = self.reader.principal(claims.session_id)
        if principal is None or principal.user_id != claims.user_id:
            raise TokenInvalid
        return principal
