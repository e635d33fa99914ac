"""How many requests one user and one address may send."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from application.ports.rate_limiter import Hit, Limit, RateLimiter, WindowStatus
from domain.accounts import UserId


class RequestLimits(NamedTuple):
    """How many requests. None: as many as are sent."""

    per_user: Limit | None = None
    per_address: Limit | None = None
    logins: Limit | None = None


@dataclass(frozen=True, slots=True)
class LimitRequests:
    """Counts requests by user and by address."""

    rate_limiter: RateLimiter
    limits: RequestLimits

    def __call__(self, *, user_id: UserId | None, address: str | None, is_login: bool = False) -> WindowStatus | None:
        """The limit that is nearest, after this request; None where there is no limit. RateLimited.

        ``is_login``: it asks to be let in, which costs much and is what is tried by force.
        """
        charges = self._charges(user_id, address, is_login=is_login)
        if not charges:
            return None
        charged = self.rate_limiter(charges)
        nearest = min(charged, key=lambda one: one.limit.amount - one.used)
        if nearest.exceeded:
            raise nearest.refusal()
        return nearest

    def _charges(self, user_id: UserId | None, address: str | None, *, is_login: bool) -> Sequence[Hit]:
        limits = self.limits
        subjects = [
            (limits.per_user, str(user_id) if user_id is not None else None),
            (limits.per_address, address),
            (limits.logins if is_login else None, address),
        ]
        return [Hit(limit, subject) for limit, subject in subjects if limit is not None and subject is not None]
