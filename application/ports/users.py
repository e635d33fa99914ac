"""Users, as a unit of work writes them."""

from datetime import datetime
from typing import Protocol

from domain.accounts import PhoneNumber, User, UserId


class Users(Protocol):
    def add(self, user: User) -> None:
        """Raises PhoneTaken when the number has an account."""

    def by_phone(self, phone: PhoneNumber) -> User | None:
        """The user with this number, locked until the unit of work ends."""

    def get(self, user_id: UserId) -> User | None:
        """The user with this id, locked until the unit of work ends."""

    def mark_verified(self, user_id: UserId, *, at: datetime) -> None:
        """Sets when the number was first verified."""

    def set_password(self, user_id: UserId, password_hash: str | None) -> None:
        """Replaces the password; None removes it."""

    def set_locked(self, user_id: UserId, *, at: datetime | None) -> None:
        """Locks the account; None unlocks it."""

    def grant_pro(self, user_id: UserId, *, until: datetime | None) -> None:
        """Replaces the grant of Pro; None withdraws it."""

    def purge_unproven_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` accounts that were made before ``moment`` and never verified; returns how many."""

    def set_profile(self, user_id: UserId, *, name: str | None, email: str | None) -> None: ...
