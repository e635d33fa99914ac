"""Accepted requests by their Idempotency-Key (draft-ietf-httpapi-idempotency-key-header)."""

from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.chat import MessageId
from domain.plans import DailyQuota
from domain.replies import ReplyId


class Accepted(NamedTuple):
    """The answer to the first request with a key that asked for a reply. ``title``: which its chatroom got from it."""

    message_id: MessageId
    reply_id: ReplyId
    quota: DailyQuota
    title: str | None = None


class IdempotencyKeys(Protocol):
    """Keys are valid for ``IDEMPOTENCY_KEYS_KEPT_FOR``; an older key counts as a new one."""

    def recall(self, user_id: UserId, key: str, *, fingerprint: bytes) -> Accepted | None:
        """Returns what was remembered with the key; None for a new key. It is locked until the unit of work ends.

        ``fingerprint``: a digest of the request. Raises IdempotencyKeyReused when another one was remembered, and
        IdempotencyKeyInUse while another unit of work has locked the key.
        """

    def remember(self, user_id: UserId, key: str, *, fingerprint: bytes, accepted: Accepted) -> None:
        """Stores the answer, in the unit of work that accepts the request."""

    def recall_reference(self, user_id: UserId, key: str, *, fingerprint: bytes) -> str | None:
        """As ``recall``, for what ``remember_reference`` has stored. Whether that is still there is not looked at."""

    def remember_reference(self, user_id: UserId, key: str, *, fingerprint: bytes, reference: str) -> None:
        """As ``remember``; ``reference``: the id of what the request has made. Nothing, of a user who was erased."""

    def purge_expired(self, *, limit: int) -> int:
        """Deletes up to ``limit`` keys that are not valid any more; returns how many."""
