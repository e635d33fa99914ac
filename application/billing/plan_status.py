"""A user's plan and quota."""

from dataclasses import dataclass

from application.ports.reader import PlanStatus, Reader
from domain.accounts import UserId
from domain.plans import Allowances


@dataclass(frozen=True, slots=True)
class ShowPlanStatus:
    """Reads plan, subscription and today's use from our own tables."""

    reader: Reader
    allowances: Allowances

    def __call__(self, *, user_id: UserId) -> PlanStatus:
        """A user who never subscribed has the Basic plan."""
        return self.reader.plan_status(user_id, allowances=self.allowances)
