"""Finds or creates the user of a verified number."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from application.ports.runtime import NewId
from application.ports.unit_of_work import UnitOfWork
from domain.accounts import Origin, PhoneNumber, User, UserId
from domain.errors import AccountLocked, PhoneTaken

# For so long after a login from an address, that address is known for the number.
KNOWN_FOR = timedelta(days=90)


def admit(
    work: UnitOfWork, phone: PhoneNumber, *, new_id: NewId, at: datetime, phone_digests: Sequence[str] = ()
) -> User:
    """The user of a number that was just verified by a one-time password; a new one if it had none.

    At the first verification, what a sign-up said that is too old is removed: name, email and password. What the number
    used today in an account that was erased counts on (``phone_digests``: by every key). Raises AccountLocked.
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
        try:
            work.users.add(user)
        except PhoneTaken:  # a sign-up or another login was faster
            user = work.users.by_phone(phone)
            if user is None:
                raise
        else:
            work.usage.restore(user.id, phone_digests=phone_digests)
            return user
    if user.locked_at is not None:
        raise AccountLocked
    if user.verified_at is None:
        if not user.may_keep_sign_up(at=at):
            user = forget_sign_up(work, user)
        work.users.mark_verified(user.id, at=at)
        work.usage.restore(user.id, phone_digests=phone_digests)
        user = replace(user, verified_at=at)
    return user


def forget_sign_up(work: UnitOfWork, user: User) -> User:
    """Removes what an unproven sign-up said: it may be another person's word than the owner's."""
    work.users.set_password(user.id, None)
    work.users.set_profile(user.id, name=None, email=None)
    return replace(user, password_hash=None, name=None, email=None)


def is_known(work: UnitOfWork, user: User | None, origin: Origin, *, at: datetime) -> bool:
    """Whether the owner of the account has logged in from this address lately, so that it is no stranger's."""
    if user is None or user.verified_at is None or origin.address is None:
        return False
    return work.audit.has_logged_in_from(user.id, origin.address, since=at - KNOWN_FOR)
