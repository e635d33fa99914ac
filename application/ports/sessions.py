"""The sessions, as a unit of work writes them."""

from typing import Protocol

from domain.accounts import Session, SessionId, UserId


class Sessions(Protocol):
    """Logins that are going on."""

    def add(self, session: Session) -> None:
        """Begin a session."""

    def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> None:
        """End every session of a user, except ``but`` where given. Their tokens stop working at once."""
