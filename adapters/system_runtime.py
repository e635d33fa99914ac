"""The system's clock, ids and random numbers."""

import secrets
import time
from datetime import UTC, datetime
from threading import Lock
from uuid import UUID

from uuid_utils import uuid7

from application.ports.runtime import NewId


def system_clock() -> datetime:
    return datetime.now(UTC)


class Uuid7Ids(NewId):
    """UUIDv7 (RFC 9562), strictly ascending within the process even if the clock is set back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0

    def __call__(self) -> UUID:
        with self._lock:
            # The library counts up within a millisecond; after the clock is set back it would give a smaller one.
            self._last = max(uuid7().int, self._last + 1)
            return UUID(int=self._last)


def system_pause(seconds: float) -> None:
    time.sleep(seconds)


def random_code(digits: int) -> str:
    return f"{secrets.randbelow(10**digits):0{digits}d}"
