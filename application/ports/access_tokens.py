"""Access tokens: what a client sends with each request."""

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from domain.accounts import Session, SessionId, UserId


class TokenClaims(NamedTuple):
    user_id: UserId
    session_id: SessionId


class AccessTokens(Protocol):
    def issue(self, session: Session, *, at: datetime, lifetime: timedelta | None = None) -> str:
        """A signed token that expires with the session, or after ``lifetime`` if that is sooner."""

    def read(self, token: str, *, at: datetime) -> TokenClaims:
        """Verifies a token. Raises TokenExpired, or TokenInvalid for anything that was not issued here."""

    def read_expired(self, token: str) -> TokenClaims:
        """As ``read``, but takes a token that has expired: good for ending its session, and for nothing else."""
