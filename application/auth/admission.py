"""What happens to an account when its number is proven."""

from datetime import datetime

from application.ports.runtime import NewId
from application.ports.unit_of_work import UnitOfWork
from domain.accounts import PhoneNumber, User, UserId


def admit(work: UnitOfWork, phone: PhoneNumber, *, new_id: NewId, at: datetime) -> User:
    """The account of a number that was just proven by a one-time password; a new one if it had none.

    A password that was left waiting on the number since a sign-up too long ago is taken away.
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
