"""Refresh tokens: what a client shows for a new access token."""

from datetime import datetime
from typing import NamedTuple, Protocol

from domain.accounts import Session, SessionId


class RefreshTokens(Protocol):
    """Makes refresh tokens. Only digests of them are kept."""

    def first(self) -> str:
        """A token nobody can predict."""

    def after(self, token: str) -> str:
        """The token that follows ``token``: the same each time, and not to be worked out from it by anybody else."""

    def digest(self, token: str) -> bytes:
        """What is kept of a token. Takes any text."""


class KeptRefreshToken(NamedTuple):
    """A refresh token as it is kept, with the session it belongs to."""

    session: Session
    used_at: datetime | None
    forgiven: bool


class RefreshChains(Protocol):
    """The refresh tokens of each session, as a unit of work writes them. A session's tokens are one family."""

    def start(self, session_id: SessionId, digest: bytes, *, at: datetime) -> None:
        """Keep the first token of a session."""

    def find(self, digest: bytes) -> KeptRefreshToken | None:
        """The token, if its session is going on; locked until the unit of work ends."""

    def follow(self, digest: bytes, successor: bytes, *, at: datetime) -> None:
        """Note that a token was used, and keep the one that follows it."""

    def forgive(self, digest: bytes, successor: bytes) -> bool:
        """Note that a used token was good once more. False, and nothing noted, when ``successor`` was used itself."""

    def purge_used_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` tokens that were used before ``moment``; returns how many."""
