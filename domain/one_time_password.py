"""One-time passwords: what they are for and how long, how often and how many times they count."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


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
