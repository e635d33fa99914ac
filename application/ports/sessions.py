"""The sessions, as a unit of work writes them."""

from datetime import datetime
from typing import Protocol

from domain.accounts import Session, SessionId, UserId


class Sessions(Protocol):
    """Logins that are going on."""

    def add(self, session: Session) -> None:
        """Begin a session."""

    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        """End every session of a user, except ``but`` where given. Their tokens stop working at once."""

    def end(self, session_id: SessionId, *, of: UserId) -> bool:
        """End one session of a user; False when the user has no such session going on."""

    def prolong(self, session_id: SessionId, *, at: datetime, expires_at: datetime) -> None:
        """Note that a session was used, and when it will be over."""

    def purge_ended_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` sessions that ended or expired before ``moment``, with their refresh tokens."""
