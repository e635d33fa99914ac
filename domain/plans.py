"""Plans, their allowances, and the daily quota."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from domain.errors import QuotaExhausted


class Plan(StrEnum):
    """A user's plan. The value is the ``tier`` of the API."""

    BASIC = "basic"
    PRO = "pro"


@dataclass(frozen=True, slots=True)
class Allowance:
    """``daily_prompts``: prompts per UTC day; None: no limit."""

    daily_prompts: int | None


Allowances = Mapping[Plan, Allowance]


@dataclass(frozen=True, slots=True)
class DailyQuota:
    """How many prompts of a UTC day are used. ``limit``: what the plan allows; None: no limit."""

    day: date
    used: int
    limit: int | None
    plan: Plan = Plan.BASIC

    @property
    def remaining(self) -> int | None:
        """Prompts left on this day; None: no limit."""
        return None if self.limit is None else max(self.limit - self.used, 0)

    @property
    def resets_at(self) -> datetime:
        """The next midnight in UTC."""
        return datetime.combine(self.day + timedelta(days=1), time(), tzinfo=UTC)

    def exhausted(self) -> QuotaExhausted:
        """The error for one more prompt."""
        return QuotaExhausted(limit=self.limit or 0, used=self.used, resets_at=self.resets_at)
