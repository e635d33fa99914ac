"""Requests that were accepted, by the key the client gave them (draft-ietf-httpapi-idempotency-key-header)."""

from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import MessageId
from domain.plans import DailyQuota
from domain.replies import ReplyId


class Accepted(NamedTuple):
    """What an earlier request with the key was answered."""

    message_id: MessageId
    reply_id: ReplyId
    quota: DailyQuota


class IdempotencyKeys(Protocol):
    """Keys of the last 24 hours."""

    def recall(self, user_id: UserId, key: str, *, fingerprint: bytes) -> Accepted | None:
        """What the key was accepted with; None when it is new: then it is this unit of work's alone until it ends.

        IdempotencyKeyReused when it came with another fingerprint; IdempotencyKeyInUse while another unit of work has
        it.
        """

    def remember(self, user_id: UserId, key: str, *, fingerprint: bytes, accepted: Accepted) -> None:
        """Keep what was accepted, together with it."""

    def purge_expired(self, *, limit: int) -> int:
        """Forget up to ``limit`` keys older than 24 hours; how many."""
