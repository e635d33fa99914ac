"""One-time passwords: their purposes, and the limits on using and sending them."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from domain.accounts import PhoneNumber
from domain.errors import InvalidValue

# Codes of test numbers may be longer than those that are sent.
_CODE = re.compile("[0-9]{6,10}")

# For so long after a code was used, the same code from the same client gets the session that was begun.
REPEAT_GRACE = timedelta(seconds=30)


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
    # Wrong codes for one number, over all purposes and however many new codes are sent in between: those of one address
    # against the codes that it asked for, and those of all others together against the rest. Guessing at codes that one
    # asked for is bounded by how many are sent, too.
    max_failures: int = 20
    failures_forgotten_after: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SendCaps:
    """How many codes are sent a day. None: no cap.

    ``per_prefix`` counts numbers that differ in their last three digits only: SMS pumping uses blocks of numbers.
    ``per_number`` is for all addresses together from which the number has not logged in lately, and for each of the
    others. ``per_number_and_address``: what one of the former may take of it. ``per_address`` grows with the network:
    see ``domain.networks``.
    """

    per_number: int | None = 20
    per_number_and_address: int | None = None
    per_address: int | None = None
    per_prefix: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class FixedCode:
    """A test number of the operator with a constant code, valid up to and including the UTC day ``until``."""

    phone: PhoneNumber
    code: str = field(repr=False)
    until: date


def read_code(text: str) -> str:
    """The code in ASCII digits, from the digits of any script, without spaces and dashes. InvalidValue when it is none.

    A text that cannot be a code is not a guess, and is not counted as one.
    """
    digits = "".join(str(unicodedata.decimal(char, char)) for char in text if not _separates(char))
    if not _CODE.fullmatch(digits):
        raise InvalidValue("otp", "must be the digits of the code")
    return digits


def _separates(char: str) -> bool:
    """Spaces, dashes, and marks without width that come with copied text."""
    return char.isspace() or unicodedata.category(char) in {"Pd", "Cf"}
