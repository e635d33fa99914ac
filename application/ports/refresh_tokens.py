"""Refresh tokens, which a client exchanges for new access tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.accounts import Session, SessionId


class RefreshTokens(Protocol):
    """Makes refresh tokens. Only their digests are stored."""

    def first(self) -> str:
        """A random token: the first one of a session."""

    def first_of(self, session_id: SessionId) -> str:
        """The first token of a session: always the same one, which cannot be computed without the server's key."""

    def successors(self, token: str) -> Sequence[str]:
        """What may follow a token: always the same, which cannot be computed without the server's keys.

        The first one is given out; a further one was, where an older key was the first.
        """

    def digest(self, token: str) -> bytes:
        """The digest of any text."""


class KeptRefreshToken(NamedTuple):
    """A stored token with its session."""

    session: Session
    used_at: datetime | None


class RefreshChains(Protocol):
    """The refresh tokens of each session, as a unit of work writes them."""

    def start(self, session_id: SessionId, digest: bytes, *, at: datetime) -> None:
        """Stores the first token of a session."""

    def find(self, digest: bytes) -> KeptRefreshToken | None:
        """A token whose session has not ended, locked until the unit of work ends."""

    def follow(self, digest: bytes, successor: bytes, *, at: datetime) -> None:
        """Marks a token as used, and stores its successor."""

    def is_unused(self, digest: bytes) -> bool:
        """Whether a token is stored and was not used. It stays so in a unit of work that found its session."""

    def purge_used_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` tokens that were used before ``moment``; returns how many."""
