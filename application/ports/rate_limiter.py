"""How often something may be done."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from domain.errors import RateLimited


class Limit(NamedTuple):
    """At most ``amount`` in each window of ``per``."""

    name: str
    amount: int
    per: timedelta


class Hit(NamedTuple):
    """One more time, for one subject: a user, an address, a number."""

    limit: Limit
    subject: str


class WindowStatus(NamedTuple):
    """A limit after a charge: how often in this window, and for how many more seconds it lasts."""

    limit: Limit
    used: int
    resets_in: int

    @property
    def exceeded(self) -> bool:
        """Whether that was once too often."""
        return self.used > self.limit.amount

    @property
    def remaining(self) -> int:
        """How often it may still be done in this window."""
        return max(self.limit.amount - self.used, 0)

    def refusal(self) -> RateLimited:
        """The error to raise when it is exceeded."""
        return RateLimited(
            policy=self.limit.name,
            limit=self.limit.amount,
            window=int(self.limit.per.total_seconds()),
            retry_after=self.resets_in,
        )


class RateLimiter(Protocol):
    """Counts, across all processes. Never raises: without its server each process counts for itself."""

    def __call__(self, charges: Sequence[Hit]) -> Sequence[WindowStatus]:
        """Count one for each charge, all in one go, and say how each limit stands."""
