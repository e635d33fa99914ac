"""What makes requests beyond a limit cheap."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from threading import Lock

from application.ports.runtime import Clock
from domain.errors import RateLimited

KEPT = 10_000


class RefusedTokens:
    """Remembers tokens whose requests from an address were refused, until their window ends.

    So a client that goes on beyond the limit costs neither a query nor a count. Of more than ``kept`` the oldest are
    forgotten.
    """

    def __init__(self, clock: Clock, *, kept: int = KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._lock = Lock()
        # The oldest first.
        self._refused: dict[tuple[str, str | None], tuple[RateLimited, datetime]] = {}

    def check(self, token: str, address: str | None) -> None:
        """Raises RateLimited for one that is remembered."""
        found = self._refused.get((token, address))
        if found is None:
            return
        refusal, until = found
        left = (until - self._clock()).total_seconds()
        if left > 0:
            raise replace(refusal, retry_after=ceil(left))

    def remember(self, token: str, address: str | None, refusal: RateLimited) -> None:
        """For as long as ``refusal`` says."""
        now = self._clock()
        # A copy: what was raised holds the request, and the page that was read for it.
        kept = replace(refusal), now + timedelta(seconds=refusal.retry_after)
        with self._lock:
            self._refused.pop((token, address), None)
            self._refused[token, address] = kept
            while len(self._refused) > self._kept or self._oldest_until() <= now:
                del self._refused[next(iter(self._refused))]

    def _oldest_until(self) -> datetime:
        return next(iter(self._refused.values()))[1]
