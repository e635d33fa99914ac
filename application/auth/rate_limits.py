"""Rate limits by user and by address."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from application.ports.rate_limiter import Hit, Limit, RateLimiter, WindowStatus
from domain.accounts import UserId
from domain.networks import networks_of


def by_network(limit: Limit, address: str, *, of: str = "") -> list[Hit]:
    """A hit for each network of an address, the narrowest first, at a multiple of ``limit`` (domain.networks).

    ``of``: what is limited there, such as tries for one number.
    """
    return [
        Hit(limit._replace(amount=limit.amount * network.times), f"{of} {network.subject}" if of else network.subject)
        for network in networks_of(address)
    ]


class RequestLimits(NamedTuple):
    """None: no limit."""

    per_user: Limit | None = None
    per_address: Limit | None = None
    logins: Limit | None = None


@dataclass(frozen=True, slots=True)
class LimitRequests:
    rate_limiter: RateLimiter
    limits: RequestLimits

    def __call__(self, *, user_id: UserId | None, address: str | None, is_login: bool = False) -> WindowStatus | None:
        """Counts a request; returns the limit with the fewest requests left, None where there is no limit.

        Raises RateLimited. ``is_login``: attempts to log in have a limit of their own, since they are expensive and
        are what attackers repeat.
        """
        hits = self._hits(user_id, address, is_login=is_login)
        if not hits:
            return None
        nearest = min(self.rate_limiter(hits), key=lambda status: status.limit.amount - status.used)
        if nearest.exceeded:
            raise nearest.refusal()
        return nearest

    def _hits(self, user_id: UserId | None, address: str | None, *, is_login: bool) -> Sequence[Hit]:
        limits, hits = self.limits, []
        if limits.per_user is not None and user_id is not None:
            hits.append(Hit(limits.per_user, str(user_id)))
        if address is not None:
            if limits.per_address is not None:
                hits.append(Hit(limits.per_address, address))
            if is_login and limits.logins is not None:
                hits += by_network(limits.logins, address)
        return hits
