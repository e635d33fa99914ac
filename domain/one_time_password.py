"""One-time passwords: their purposes, and the limits on using and sending them."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from domain.accounts import PhoneNumber


class Purpose(StrEnum):
    """What a code is for. Codes of different purposes do not replace each other."""

    LOGIN = "login"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose, not a secret


@dataclass(frozen=True, slots=True)
class OtpPolicy:
    """How long and how often a code may be tried (OWASP: short-lived, few attempts, single use)."""

    digits: int = 6
    lifetime: timedelta = timedelta(minutes=5)
    max_attempts: int = 5
    resend_after: timedelta = timedelta(seconds=30)
    # Wrong codes for one number, over all purposes and however many new codes are sent in between. With six digits, so
    # many guesses a day make a chance of one in fifty thousand.
    max_failures: int = 20
    failures_forgotten_after: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SendCaps:
    """How many codes are sent a day. None: no cap.

    ``per_prefix`` counts numbers that differ in their last three digits only: SMS pumping uses blocks of numbers.
    """

    per_number: int | None = 20
    per_address: int | None = None
    per_prefix: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class FixedCode:
    """A test number of the operator with a constant code, valid up to and including the UTC day ``until``."""

    phone: PhoneNumber
    code: str = field(repr=False)
    until: date
