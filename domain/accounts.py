"""Users, their mobile numbers and their passwords."""

import re
import unicodedata
from collections.abc import Collection
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

# A session that is not refreshed for so long expires.
SESSION_LIFETIME = timedelta(days=30)

# Responses with a new refresh token may get lost, and tabs may share a token: the old one is accepted for so long.
REFRESH_GRACE = timedelta(seconds=30)

# For so long after an OTP login a password may be set without the old one (the flow forgot -> verify -> change).
FRESH_LOGIN = timedelta(minutes=10)

# What is said at sign-up comes from a client that has not proven the number yet. It counts only if the number is
# verified this soon after, so that an attacker cannot plant a password or a name on another person's number.
PENDING_PASSWORD_LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A mobile number in the form of ITU-T E.164: ``+``, country code, subscriber number."""

    e164: str

    def __post_init__(self) -> None:
        if not _E164.fullmatch(self.e164):
            raise InvalidValue("mobileNumber", "not a phone number")

    @property
    def masked(self) -> str:
        """All but the last two digits are hidden."""
        return f"…{self.e164[-2:]}"

    def __repr__(self) -> str:
        """Masked, so that a traceback does not carry numbers into the log."""
        return f"PhoneNumber({self.masked})"


@dataclass(frozen=True, slots=True)
class User:
    """An account. ``verified_at``: when the number was first verified by a one-time password.

    ``locked_at``: when an operator locked it; None: it is not locked. ``pro_until``: until when an operator has granted
    the Pro plan.
    """

    id: UserId
    phone: PhoneNumber
    name: str | None
    email: str | None
    password_hash: str | None
    created_at: datetime
    verified_at: datetime | None
    locked_at: datetime | None = None
    pro_until: datetime | None = None

    def may_keep_sign_up(self, *, at: datetime) -> bool:
        """Whether name, email and password from sign-up are kept at the first verification of the number."""
        return at - self.created_at <= PENDING_PASSWORD_LIFETIME


@dataclass(frozen=True, slots=True)
class Origin:
    """The address a request comes from, and the name the client gives itself. Neither proves anything."""

    address: str | None
    device: str | None


UNKNOWN_ORIGIN = Origin(address=None, device=None)


class LoginMethod(StrEnum):
    """What a session began with."""

    OTP = "otp"
    PASSWORD = "password"  # noqa: S105 - the name of a method, not a secret


@dataclass(frozen=True, slots=True)
class Session:
    id: SessionId
    user_id: UserId
    method: LoginMethod
    started_at: datetime
    expires_at: datetime
    device: str | None = None


def end_of_session(started_at: datetime, *, used_at: datetime, longest: timedelta) -> datetime:
    """When a session ends that is not used again: ``longest`` after its start at the latest."""
    return min(used_at + SESSION_LIFETIME, started_at + longest)


@dataclass(frozen=True, slots=True)
class Principal:
    """The user and the session behind a valid access token."""

    user_id: UserId
    session_id: SessionId
    method: LoginMethod
    started_at: datetime

    def proved_the_number_lately(self, *, at: datetime) -> bool:
        """Whether the session began with a one-time password at most ``FRESH_LOGIN`` ago."""
        return self.method is LoginMethod.OTP and at - self.started_at <= FRESH_LOGIN


def check_password(password: str, *, field: str) -> str:
    """Returns ``password``. Raises InvalidValue for ``field`` when it is too short or too long."""
    if len(password) not in PASSWORD_LENGTH:
        raise InvalidValue(field, f"must have {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters")
    return password


# Of the service itself: what is tried first at any service.
SERVICE_NAMES = ("gemini", "gemini chat", "gemini chat backend", "chat")


def is_guessable(password: str, *, phone: PhoneNumber, names: Collection[str | None] = ()) -> bool:
    """Whether the password is one repeated character, the number, or nothing but names of the user or the service.

    NIST SP 800-63B calls these context-specific words. What is added to them must make a password of its own.
    """
    plain = _plain(password)
    if len(set(plain)) <= 1:
        return True
    digits, national = phone.e164[1:], plain.lstrip("0")
    if national.isdecimal() and len(national) >= 6 and (national.endswith(digits) or digits.endswith(national)):
        return True
    words = {_plain(word) for name in (*names, *SERVICE_NAMES) if name for word in _words(name)} - {""}
    rest = plain
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != plain and not rest


def _words(name: str) -> list[str]:
    """A name, its parts, and the part of an email address before the @."""
    return [name, *re.split(r"[\s@._-]+", name), name.partition("@")[0]]


def _plain(text: str) -> str:
    """Letters and digits only, in lower case, digits of every script as ASCII."""
    return "".join(str(unicodedata.decimal(char, char)) for char in text.lower() if char.isalnum()) or text
