"""Users look at their plan and how much of it is used."""

from dataclasses import dataclass

from application.ports.reader import PlanStatus, Reader
from domain.accounts import UserId
from domain.plans import Allowances


@dataclass(frozen=True, slots=True)
class ShowPlanStatus:
    """Plan, subscription and today's use, read from our own tables at this moment."""

    reader: Reader
    allowances: Allowances

    def __call__(self, *, user_id: UserId) -> PlanStatus:
        """The plan_status; a user who never subscribed has the Basic plan."""
        return self.reader.plan_status(user_id, allowances=self.allowances)
