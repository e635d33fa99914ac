"""Reconciliation with the payment provider, which finds changes whose webhook events were lost."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from application.billing.sync import Synced, SyncSubscription
from application.ports.billing_work import Customer
from application.ports.payments import Payments
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.errors import DependencyDown

# Customers without a subscription who opened no checkout of late.
IDLE_EVERY = timedelta(days=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Correction:
    """A user whose subscription was wrong in our table."""

    user_id: UserId
    synced: Synced


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """``compared``: the number of customers, of which ``failed`` could not be compared for reasons of their own."""

    compared: int
    corrected: tuple[Correction, ...]
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compares our table with the provider, in batches. Concurrent processes take different customers."""

    unit_of_work: UnitOfWorkFactory
    sync: SyncSubscription
    clock: Clock
    every: timedelta
    batch: int = 20

    def __call__(self, *, since: datetime | None = None) -> ReconcileResult:
        """Compares up to ``batch`` customers not compared after ``since`` (None: within ``every``, or a day for those
        without a subscription).

        Call it again until none are left. After DependencyDown, the customer that it failed at and the following ones
        are taken again. One that cannot be compared for another reason costs a line in the log and no other customer.
        """
        now = self.clock()
        with self.unit_of_work() as work:
            customers = work.billing.customers.take_unreconciled(
                since=since or now - self.every,
                idle_since=since or now - max(self.every, IDLE_EVERY),
                mode=self.sync.payments.mode,
                limit=self.batch,
            )
            work.commit()
        corrected, failed = [], 0
        for number, customer in enumerate(customers):
            try:
                synced = self.sync(user_id=customer.user_id, customer_id=customer.customer_id)
            except DependencyDown:
                self._give_back(list(customers[number:]))
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not stop the others
                log.error("%s cannot be compared: %s", customer.customer_id, type(error).__name__)
                failed += 1
                continue
            if synced.changed:
                corrected.append(Correction(customer.user_id, synced))
        return ReconcileResult(len(customers), tuple(corrected), failed)

    def _give_back(self, customers: list[Customer]) -> None:
        with self.unit_of_work() as work:
            for customer in customers:
                work.billing.customers.reconcile_again(customer.user_id)
            work.commit()


@dataclass(frozen=True, slots=True)
class RetireModes:
    """Takes Pro from those whose customers exist only in a mode that the present API key does not have."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments

    def __call__(self) -> int:
        """Returns how many subscriptions were retired. The provider is not asked."""
        with self.unit_of_work() as work:
            retired = work.billing.customers.retire(self.payments.mode)
            work.commit()
        if retired:
            log.warning("%s subscriptions of another mode than %s are retired", retired, self.payments.mode.value)
        return retired
