"""Plans, what they allow, and how much of it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from domain.errors import QuotaExhausted


class Plan(StrEnum):
    """What a user has; the value is the ``tier`` of the API."""

    BASIC = "basic"
    PRO = "pro"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a plan allows. ``daily_prompts`` None: no daily limit."""

    daily_prompts: int | None


Allowances = Mapping[Plan, Allowance]


@dataclass(frozen=True, slots=True)
class DailyQuota:
    """How many prompts of a UTC day are used, of how many the plan gives."""

    day: date
    used: int
    limit: int | None
    plan: Plan = Plan.BASIC

    @property
    def remaining(self) -> int | None:
        """How many prompts are left today; None where there is no limit."""
        return None if self.limit is None else max(self.limit - self.used, 0)

    @property
    def resets_at(self) -> datetime:
        """The next midnight, UTC."""
        return datetime.combine(self.day + timedelta(days=1), time(), tzinfo=UTC)

    def exhausted(self) -> QuotaExhausted:
        """The error to raise when one more prompt was asked for."""
        return QuotaExhausted(limit=self.limit or 0, used=self.used, resets_at=self.resets_at)
