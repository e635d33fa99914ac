"""The audit trail: what happened to accounts, for operators."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from domain.accounts import Origin, PhoneNumber, SessionId, UserId


class AuditEventType(StrEnum):
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
    ACCOUNT_LOCKED = "account_locked"
    ACCOUNT_UNLOCKED = "account_unlocked"
    PRO_GRANTED = "pro_granted"
    PRO_WITHDRAWN = "pro_withdrawn"


class AuditEvent(NamedTuple):
    """An event without secrets. ``phone_digest`` allows looking up a number without storing it.

    ``note``: the reason that an operator gave.
    """

    id: UUID
    at: datetime
    what: AuditEventType
    user_id: UserId | None
    session_id: SessionId | None
    phone_digest: str | None
    origin: Origin
    note: str | None = None


class AuditTrail(Protocol):
    """Writes audit events in a unit of work."""

    def add(self, event: AuditEvent) -> None: ...

    def has_logged_in_from(self, user_id: UserId, address: str, *, since: datetime) -> bool:
        """Whether the user has logged in from this address since then."""

    def purge_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` events from before ``moment``, oldest first; returns how many."""


class AuditReader(Protocol):
    """Reads audit events for an operator."""

    def __call__(
        self, *, user_id: UserId | None, phone_digests: Sequence[str], what: AuditEventType | None, limit: int
    ) -> Sequence[AuditEvent]:
        """The newest events, newest first. None or an empty sequence: any."""


class PhoneDigest(Protocol):
    """Makes the digest of a number that the audit trail stores."""

    def __call__(self, phone: PhoneNumber) -> str:
        """A keyed digest, equal for equal numbers."""
