"""The machine's clock, its ids and its chance."""

import secrets
import time
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID

from uuid_utils import uuid7

from application.ports.runtime import NewId


def system_clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class Uuid7Ids(NewId):
    """UUIDv7 (RFC 9562), ascending within the process whatever the clock does in the same millisecond."""

    def __init__(self) -> None:
        """Begin below every id."""
        self._lock = Lock()
        self._last = 0

    def __call__(self) -> UUID:
        """An id greater than every earlier one of this process."""
        with self._lock:
            # The library counts within a millisecond; a clock that is set back would still give a smaller one.
            self._last = max(uuid7().int, self._last + 1)
            return UUID(int=self._last)


def system_pause(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


def random_code(digits: int) -> str:
    """``digits`` decimal digits from the operating system's generator."""
    return f"{secrets.randbelow(10**digits):0{digits}d}"
