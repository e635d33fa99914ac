"""Access tokens: what a client shows with each request."""

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from domain.accounts import Session, SessionId, UserId


class TokenClaims(NamedTuple):
    """What a genuine token says."""

    user_id: UserId
    session_id: SessionId


class AccessTokens(Protocol):
    """Signs and reads tokens."""

    def issue(self, session: Session, *, at: datetime, lifetime: timedelta | None = None) -> str:
        """A token for the session that expires with it, or after ``lifetime`` where that is sooner."""

    def read(self, token: str, *, at: datetime) -> TokenClaims:
        """What the token says. TokenExpired, or TokenInvalid for anything that is not exactly one of ours."""
