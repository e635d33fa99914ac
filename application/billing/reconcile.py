"""Reconciliation with the payment provider, which finds changes whose webhook events were lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.billing.sync import Synced, SyncSubscription
from application.ports.billing_work import Customer
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.errors import DependencyDown


@dataclass(frozen=True, slots=True)
class Correction:
    """A user whose subscription was wrong in our table."""

    user_id: UserId
    synced: Synced


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """``compared``: the number of customers."""

    compared: int
    corrected: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compares our table with the provider, in batches. Concurrent processes take different customers."""

    unit_of_work: UnitOfWorkFactory
    sync: SyncSubscription
    clock: Clock
    every: timedelta
    batch: int = 20

    def __call__(self, *, since: datetime | None = None) -> ReconcileResult:
        """Compares up to ``batch`` customers not compared after ``since`` (None: within ``every``).

        Call it again until none are left. After DependencyDown, the customer that it failed at and the following ones
        are taken again.
        """
        with self.unit_of_work() as work:
            customers = work.billing.customers.take_unreconciled(
                since=since or self.clock() - self.every, limit=self.batch
            )
            work.commit()
        corrected = []
        for number, customer in enumerate(customers):
            try:
                synced = self.sync(user_id=customer.user_id, customer_id=customer.customer_id)
            except DependencyDown:
                self._give_back(list(customers[number:]))
                raise
            if synced.changed:
                corrected.append(Correction(customer.user_id, synced))
        return ReconcileResult(len(customers), tuple(corrected))

    def _give_back(self, customers: list[Customer]) -> None:
        with self.unit_of_work() as work:
            for customer in customers:
                work.billing.customers.reconcile_again(customer.user_id)
            work.commit()
