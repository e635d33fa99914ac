"""The trail of what happened to accounts, for the operator."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from domain.accounts import Origin, PhoneNumber, SessionId, UserId


class AuditEventType(StrEnum):
    """What happened."""

    SIGNED_UP = "signed_up"
    LOGGED_IN = "logged_in"
    LOGIN_FAILED = "login_failed"
    LOGIN_LIMITED = "login_limited"
    CODE_SENT = "code_sent"
    CODE_NOT_SENT = "code_not_sent"
    CODE_LOCKED = "code_locked"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event, not a secret
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of an event, not a secret
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105 - the name of an event, not a secret
    LOGGED_OUT = "logged_out"
    SESSIONS_ENDED = "sessions_ended"
    PROFILE_CHANGED = "profile_changed"
    EXPORTED = "exported"
    ACCOUNT_ERASED = "account_erased"


class AuditEvent(NamedTuple):
    """One event. Holds no secret, and of a number only a digest that the number can be looked up with."""

    id: UUID
    at: datetime
    what: AuditEventType
    user_id: UserId | None
    session_id: SessionId | None
    phone_digest: str | None
    origin: Origin


class AuditTrail(Protocol):
    """Events, as a unit of work writes them."""

    def add(self, event: AuditEvent) -> None:
        """Keep an event."""

    def purge_before(self, moment: datetime, *, limit: int) -> int:
        """Forget those from before ``moment``, up to ``limit``, the oldest first; how many."""


class AuditReader(Protocol):
    """Events, as an operator reads them."""

    def __call__(
        self, *, user_id: UserId | None, phone_digests: Sequence[str], what: AuditEventType | None, limit: int
    ) -> Sequence[AuditEvent]:
        """The newest events of a user or a number, of a kind, or of all; newest first."""


class PhoneDigest(Protocol):
    """What may be kept of a number."""

    def __call__(self, phone: PhoneNumber) -> str:
        """A keyed digest: the same for the same number, and of no use without the key."""
