"""The daily use of the plans, as a unit of work writes it."""

from typing import Protocol

from domain.accounts import UserId
from domain.plans import Allowances, DailyQuota
from domain.replies import Charge


class Usage(Protocol):
    """Prompts used per user and UTC day. The day is the database's, so that all processes agree on it."""

    def spend(self, user_id: UserId, *, allowances: Allowances) -> DailyQuota:
        """Charge one prompt to today and say how the quota stands after it.

        The plan is read at this moment. QuotaExhausted when nothing is left: then nothing was charged. However many
        do this at once, never more are charged than the plan allows.
        """

    def refund(self, charge: Charge) -> None:
        """Give one prompt back to the day it was charged to."""
