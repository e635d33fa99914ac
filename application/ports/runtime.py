"""Time, randomness and ids come from outside, so that tests can set them."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    def __call__(self) -> datetime:
        """The present time, timezone-aware, in UTC."""


class NewId(Protocol):
    def __call__(self) -> UUID:
        """A UUIDv7 (RFC 9562), greater than all that this process has made before."""


class NewCode(Protocol):
    def __call__(self, digits: int) -> str:
        """Unpredictable decimal ``digits``."""
