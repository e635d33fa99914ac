"""The account at the payment provider: customers of one are unknown under the key of another."""

from dataclasses import dataclass

from application.ports.payments import Payments
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.billing import Mode


@dataclass(frozen=True, slots=True)
class RememberAccount:
    """Stores the account of the first key of a mode."""

    unit_of_work: UnitOfWorkFactory

    def __call__(self, mode: Mode, account: str) -> str:
        """Returns the stored account, which is another one when the key was exchanged for that of another account."""
        with self.unit_of_work() as work:
            kept = work.billing.accounts.remember(mode, account)
            work.commit()
        return kept


@dataclass(frozen=True, slots=True)
class KeyAccount:
    """The account that the key is of, and the one that our customers are of. None: the key may not read it."""

    of_key: str | None
    ours: str | None


@dataclass(frozen=True, slots=True)
class ShowAccount:
    """Tells an operator of which account the key is, and takes another account as ours."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments

    def __call__(self, *, accept: bool = False) -> KeyAccount:
        """``accept``: the account of the key is ours from now on. Raises DependencyDown."""
        account = self.payments.account()
        if account is None:
            return KeyAccount(None, None)
        with self.unit_of_work() as work:
            if accept:
                work.billing.accounts.change(self.payments.mode, account)
            ours = work.billing.accounts.remember(self.payments.mode, account)
            work.commit()
        return KeyAccount(account, ours)
