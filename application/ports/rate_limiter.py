"""Rate limits in fixed windows of time."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from domain.errors import RateLimited


class Limit(NamedTuple):
    """At most ``amount`` hits of one subject in each window of length ``per``."""

    name: str
    amount: int
    per: timedelta


class Hit(NamedTuple):
    """One hit of a limit by a subject, such as a user, an address or a phone number."""

    limit: Limit
    subject: str


class WindowStatus(NamedTuple):
    """A limit after a hit. ``used``: hits in this window, this one included. ``resets_in``: seconds."""

    limit: Limit
    used: int
    resets_in: int

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit.amount

    @property
    def remaining(self) -> int:
        return max(self.limit.amount - self.used, 0)

    def refusal(self) -> RateLimited:
        return RateLimited(
            policy=self.limit.name,
            limit=self.limit.amount,
            window=int(self.limit.per.total_seconds()),
            retry_after=self.resets_in,
        )


class RateLimiter(Protocol):
    """Counts for all processes together. Never raises: without its server each process counts for itself."""

    def __call__(self, hits: Sequence[Hit]) -> Sequence[WindowStatus]:
        """Counts all hits in one round trip, and returns the status of each."""

    def give_back(self, hits: Sequence[Hit]) -> None:
        """Undoes a call with these hits a moment ago. Only for limits below a hundred and one. Best effort."""
