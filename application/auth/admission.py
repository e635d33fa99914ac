"""Finds or creates the user of a verified number."""

from datetime import datetime

from application.ports.runtime import NewId
from application.ports.unit_of_work import UnitOfWork
from domain.accounts import PhoneNumber, User, UserId


def admit(work: UnitOfWork, phone: PhoneNumber, *, new_id: NewId, at: datetime) -> User:
    """The user of a number that was just verified by a one-time password; a new one if it had none.

    At the first verification, a password from a sign-up that is too old is removed.
    """
    user = work.users.by_phone(phone)
    if user is None:
        user = User(
            id=UserId(new_id()),
            phone=phone,
            name=None,
            email=None,
            password_hash=None,
            created_at=at,
            verified_at=at,
        )
        work.users.add(user)
        return user
    if user.verified_at is None:
        if not user.may_keep_pending_password(at=at):
            work.users.set_password(user.id, None)
        work.users.mark_verified(user.id, at=at)
    return user
