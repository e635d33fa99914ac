"""Time, chance and ids: they come from outside, so that a test can say what they are."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Says what time it is."""

    def __call__(self) -> datetime:
        """The time now, aware, in UTC."""


class NewId(Protocol):
    """Makes ids."""

    def __call__(self) -> UUID:
        """A UUIDv7 (RFC 9562), greater than all that this process made before."""


class NewCode(Protocol):
    """Makes one-time passwords."""

    def __call__(self, digits: int) -> str:
        """``digits`` decimal digits nobody can predict."""
