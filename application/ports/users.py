"""The users, as a unit of work writes them."""

from datetime import datetime
from typing import Protocol

from domain.accounts import PhoneNumber, User, UserId


class Users(Protocol):
    """Users by id and by mobile number."""

    def add(self, user: User) -> None:
        """Keep a new user. PhoneTaken when the number has an account."""

    def by_phone(self, phone: PhoneNumber) -> User | None:
        """The user with this number, locked until the unit of work ends."""

    def get(self, user_id: UserId) -> User | None:
        """The user with this id, locked until the unit of work ends."""

    def mark_verified(self, user_id: UserId, *, at: datetime) -> None:
        """Note that the number was proven."""

    def set_password(self, user_id: UserId, password_hash: str | None) -> None:
        """Replace the password; None takes it away."""

    def set_profile(self, user_id: UserId, *, name: str | None, email: str | None) -> None:
        """Replace what a user says of themselves."""
