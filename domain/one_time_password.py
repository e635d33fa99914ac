"""One-time passwords: what they are for and how long, how often and how many times they count."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from domain.accounts import PhoneNumber


class Purpose(StrEnum):
    """What a code was sent for. A code of one purpose has its own life beside a code of the other."""

    LOGIN = "login"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose, not a secret


@dataclass(frozen=True, slots=True)
class OtpPolicy:
    """The life of a code (OWASP: short, few attempts, single use)."""

    digits: int = 6
    lifetime: timedelta = timedelta(minutes=5)
    max_attempts: int = 5
    resend_after: timedelta = timedelta(seconds=30)
    # Wrong codes for one number, whatever they were sent for and however many new codes are asked for in between: six
    # digits and this many guesses a day make one chance in fifty thousand.
    max_failures: int = 20
    failures_forgotten_after: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SendCaps:
    """How many codes are sent a day. None: as many as are asked for.

    ``per_prefix`` is about numbers that differ in their last three digits only: those whom sending codes to pays are
    paid by the block (SMS pumping).
    """

    per_number: int | None = 20
    per_address: int | None = None
    per_prefix: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class FixedCode:
    """A number of the operator's own whose code is always the same, up to and with a day (UTC); nothing is sent."""

    phone: PhoneNumber
    code: str = field(repr=False)
    until: date
