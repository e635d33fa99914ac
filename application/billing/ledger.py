"""Daily use for the user, and an explanation of it for the operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.billing_work import OwedRefund
from application.ports.ledger import BillingFile, ChargedPrompt, DayOfUse, Ledger
from application.ports.reader import PlanStatus, Reader
from domain.accounts import UserId
from domain.plans import Allowances


@dataclass(frozen=True, slots=True)
class ShowDays:
    ledger: Ledger

    def __call__(self, *, user_id: UserId, days: int) -> Sequence[DayOfUse]:
        """Returns those of the last ``days`` UTC days on which something was charged, newest first."""
        return self.ledger.days(user_id, days=days)


@dataclass(frozen=True, slots=True)
class ShowOwed:
    ledger: Ledger

    def __call__(self) -> Sequence[OwedRefund]:
        """Returns the refunds that are owed and not made."""
        return self.ledger.refunds_owed()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that determines a user's plan, quota and charges."""

    user_id: UserId
    plan_status: PlanStatus
    days: Sequence[DayOfUse]
    prompts: Sequence[ChargedPrompt]
    billing: BillingFile


@dataclass(frozen=True, slots=True)
class Explain:
    """Tells an operator why a user was refused, charged or refunded, or has the Basic plan."""

    ledger: Ledger
    reader: Reader
    allowances: Allowances

    def __call__(self, *, phone_or_id: str, days: int = 7) -> Explanation | None:
        """Returns None when there is no such user."""
        user_id = self.ledger.user_of(phone_or_id)
        if user_id is None:
            return None
        return Explanation(
            user_id,
            self.reader.plan_status(user_id, allowances=self.allowances),
            self.ledger.days(user_id, days=days),
            self.ledger.prompts(user_id, days=days),
            self.ledger.billing_file(user_id),
        )
