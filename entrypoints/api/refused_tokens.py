"""What makes requests beyond a limit cheap."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil

from application.ports.runtime import Clock
from domain.errors import RateLimited

KEPT = 10_000


class RefusedTokens:
    """Remembers tokens whose requests from an address were refused, until their window ends.

    So a client that goes on beyond the limit costs neither a query nor a count.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
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
        if len(self._refused) >= KEPT:
            self._refused.clear()
        self._refused[token, address] = refusal, self._clock() + timedelta(seconds=refusal.retry_after)
