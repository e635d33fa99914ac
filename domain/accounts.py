"""Users, their mobile numbers and their passwords."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType
from uuid import UUID

from domain.errors import InvalidValue

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")

PASSWORD_LENGTH = range(8, 129)
NAME_MAX_LENGTH = 100
DEVICE_MAX_LENGTH = 200

# A session nobody refreshes for so long is over.
SESSION_LIFETIME = timedelta(days=30)

# An answer that carried a new refresh token may be lost: the old one is good once more for so long.
REFRESH_GRACE = timedelta(seconds=30)

# How long after an OTP login a password may be set without the old one (the flow forgot -> verify -> change).
FRESH_LOGIN = timedelta(minutes=10)

# A password given at sign-up was chosen by somebody who had not shown that the number is theirs. It counts only if
# the number is verified this soon after, so that nobody can leave a password waiting on another person's number.
PENDING_PASSWORD_LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A mobile number in E.164 form (ITU-T E.164): ``+``, country code, subscriber number."""

    e164: str

    def __post_init__(self) -> None:
        if not _E164.fullmatch(self.e164):
            raise InvalidValue("mobileNumber", "not a phone number")

    def __repr__(self) -> str:
        """Hides all but the last two digits: numbers must not reach logs through a traceback."""
        return f"PhoneNumber(…{self.e164[-2:]})"


@dataclass(frozen=True, slots=True)
class User:
    """A person with an account. ``verified_at`` is when the number was first proven by a one-time password."""

    id: UserId
    phone: PhoneNumber
    name: str | None
    email: str | None
    password_hash: str | None
    created_at: datetime
    verified_at: datetime | None

    def may_keep_pending_password(self, *, at: datetime) -> bool:
        """Whether a password from sign-up survives the first verification of the number."""
        return at - self.created_at <= PENDING_PASSWORD_LIFETIME


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: an address, and what the client calls itself. Neither is proof of anything."""

    address: str | None
    device: str | None


UNKNOWN_ORIGIN = Origin(address=None, device=None)


class LoginMethod(StrEnum):
    """How a session was proven when it began."""

    OTP = "otp"
    PASSWORD = "password"  # noqa: S105 - the name of a method, not a secret


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device."""

    id: SessionId
    user_id: UserId
    method: LoginMethod
    started_at: datetime
    expires_at: datetime
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: the user and the session behind a valid access token."""

    user_id: UserId
    session_id: SessionId
    method: LoginMethod
    started_at: datetime

    def proved_the_number_lately(self, *, at: datetime) -> bool:
        """Whether the session began with a one-time password at most ``FRESH_LOGIN`` ago."""
        return self.method is LoginMethod.OTP and at - self.started_at <= FRESH_LOGIN


def check_password(password: str, *, field: str) -> str:
    """Return ``password`` if its length is acceptable; InvalidValue otherwise."""
    if len(password) not in PASSWORD_LENGTH:
        raise InvalidValue(field, f"must have {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters")
    return password
