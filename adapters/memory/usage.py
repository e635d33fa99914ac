"""The daily use of the plans."""

from collections.abc import Sequence
from datetime import UTC

from adapters.memory.billing import granted_until, subscription_at
from adapters.memory.transaction import Repository, writes
from application.ports.usage import Usage
from domain.accounts import UserId
from domain.billing import plan_of
from domain.plans import Allowances, DailyQuota
from domain.replies import Charge


class MemoryUsage(Repository, Usage):
    @writes
    def spend(self, user_id: UserId, *, allowances: Allowances) -> DailyQuota:
        granted = granted_until(self._tables, user_id, self._now) is not None
        plan = plan_of(subscription_at(self._tables, user_id, self._now), granted=granted)
        limit = allowances[plan].daily_prompts
        today = self._now.astimezone(UTC).date()
        key = (user_id, today)
        used = self._tables.daily_usage.get(key, 0)
        if limit is not None and used >= limit:
            raise DailyQuota(today, used, limit, plan).exhausted()
        self._tables.daily_usage[key] = used + 1
        return DailyQuota(today, used + 1, limit, plan)

    @writes
    def restore(self, user_id: UserId, *, phone_digests: Sequence[str]) -> None:
        today = self._now.astimezone(UTC).date()
        used = max((self._tables.erased_usage.get((digest, today), 0) for digest in phone_digests), default=0)
        if used:
            self._tables.daily_usage[(user_id, today)] = max(self._tables.daily_usage.get((user_id, today), 0), used)

    @writes
    def purge_erased(self, *, limit: int) -> int:
        today = self._now.astimezone(UTC).date()
        old = [key for key in self._tables.erased_usage if key[1] < today][:limit]
        for key in old:
            del self._tables.erased_usage[key]
        return len(old)

    @writes
    def refund(self, charge: Charge, *, prompts: int = 1) -> None:
        key = (charge.user_id, charge.day)
        used = self._tables.daily_usage.get(key, 0)
        if used > 0:
            given_back = min(prompts, used)
            self._tables.daily_usage[key] = used - given_back
            self._tables.daily_refunds[key] = self._tables.daily_refunds.get(key, 0) + given_back
