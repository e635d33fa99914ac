"""Daily use of the plans, as a unit of work writes it."""

from collections.abc import Sequence
from typing import Protocol

from domain.accounts import UserId
from domain.plans import Allowances, DailyQuota
from domain.replies import Charge


class Usage(Protocol):
    """Prompts used per user and UTC day. The day is that of the database's clock, so that all processes agree."""

    def spend(self, user_id: UserId, *, allowances: Allowances) -> DailyQuota:
        """Charges one prompt to today; returns the quota after it.

        The user's plan is read at this moment. Raises QuotaExhausted when nothing is left; then nothing was charged.
        Concurrent calls never charge more than the plan allows.
        """

    def restore(self, user_id: UserId, *, phone_digests: Sequence[str]) -> None:
        """Charges a new account with what its number used today before an earlier account of it was erased."""

    def purge_erased(self, *, limit: int) -> int:
        """Deletes up to ``limit`` of what numbers used before today; returns how many."""

    def refund(self, charge: Charge, *, prompts: int = 1) -> None:
        """Refunds prompts to the day they were charged to, and no more than were.

        To be called once for each user and day: an adapter may lock the user when it is called again.
        """
