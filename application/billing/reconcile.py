"""What news never brought is found by looking."""

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
    """A user of whom our table said something else than the provider."""

    user_id: UserId
    synced: Synced


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """How many customers were compared, and what was corrected."""

    compared: int
    corrected: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compares our table with the provider, a batch at a time. Any number of processes may: each customer is one's."""

    unit_of_work: UnitOfWorkFactory
    sync: SyncSubscription
    clock: Clock
    every: timedelta
    batch: int = 20

    def __call__(self, *, since: datetime | None = None) -> ReconcileResult:
        """Compare some that were not compared ``since`` then (None: for ``every``); call again until there are none.

        DependencyDown: the customer it failed at, and those after, are still to be compared.
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
