"""Erasing a user, as a unit of work does it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.replies import ReplyId


class Erased(NamedTuple):
    """What is gone: rows by table, and of the replies those that may still have a stream."""

    rows: Mapping[str, int]
    replies: Sequence[ReplyId]


class Erasure(Protocol):
    """Takes everything that is a user's out of every table."""

    def erase(self, user_id: UserId, *, phone_digest: str) -> Erased:
        """What was erased. Events of the audit trail, also those of the number alone, stay without their owner."""
