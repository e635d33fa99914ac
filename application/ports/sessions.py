"""Sessions, as a unit of work writes them."""

from datetime import datetime
from typing import Protocol

from domain.accounts import Session, SessionId, UserId


class Sessions(Protocol):
    def add(self, session: Session) -> None: ...

    def has(self, session_id: SessionId) -> bool:
        """Whether there is such a session, also when it has ended."""

    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        """Ends every session of a user except ``but``. Their tokens stop working at once."""

    def end(self, session_id: SessionId, *, of: UserId) -> bool:
        """Ends one session; returns False if the user has no such session that has not ended."""

    def prolong(self, session_id: SessionId, *, at: datetime, expires_at: datetime) -> None:
        """Sets when a session was last used, and when it expires."""

    def purge_ended_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` sessions that ended or expired before ``moment``, with their refresh tokens."""
