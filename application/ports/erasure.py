"""Erasing a user, as a unit of work does it."""

from collections.abc import Mapping
from typing import Protocol

from domain.accounts import UserId


class Erasure(Protocol):
    """Takes everything that is a user's out of every table."""

    def erase(self, user_id: UserId, *, phone_digest: str) -> Mapping[str, int]:
        """Rows erased by table. Events of the audit trail, also those of the number alone, stay without their owner."""
