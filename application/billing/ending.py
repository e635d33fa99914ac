"""Ending subscriptions, and returning what was paid for them."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from application.ports.billing_work import OwedRefund
from application.ports.payments import ChangeRefused, CustomerUnknown, Payments
from application.ports.runtime import Clock
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.billing import BillingPolicy, CustomerId, OwedState, ProvidedSubscription, RefundOutcome, SubscriptionId
from domain.errors import DependencyDown

# What begins at the provider for an erased customer is looked for daily so long after the erasure, beside its events.
ERASED_WATCHED_FOR = timedelta(days=40)
ERASED_EVERY = timedelta(days=1)
LEAVERS_AGAIN_AFTER = timedelta(minutes=10)
REFUND_AGAIN_AFTER = timedelta(minutes=10)

log = logging.getLogger(__name__)


def running_of(
    customer_id: CustomerId, payments: Payments, policy: BillingPolicy, *, hurry: bool = False
) -> list[ProvidedSubscription]:
    """What was sold here to a customer and is not over; nothing for one that the provider does not know."""
    try:
        return policy.ours_running(payments.subscriptions_of(customer_id, hurry=hurry))
    except CustomerUnknown:
        return []


@dataclass(frozen=True, slots=True)
class EndAndRefund:
    """Ends a subscription first and refunds it then, so that no refusal of a refund keeps it alive.

    The refund is noted as owed before: after a crash in between, ReturnPayments makes it.
    """

    unit_of_work: UnitOfWorkFactory
    payments: Payments

    def __call__(self, subscription_id: SubscriptionId, customer_id: CustomerId, *, refund: bool) -> bool:
        """Returns whether it was ended. A refund that cannot be made now is made later, or left to the operator."""
        if refund:
            self._note(subscription_id, customer_id)
        try:
            self.payments.cancel(subscription_id)
        except (DependencyDown, ChangeRefused):
            # It may have been ended all the same, its answer lost: ReturnPayments looks, and refunds it then.
            log.error("%s of %s is to be ended, and cannot be ended now", subscription_id, customer_id)
            return False
        if refund:
            self.refund(subscription_id, customer_id)
        return True

    def refund(self, subscription_id: SubscriptionId, customer_id: CustomerId | None) -> OwedState:
        """Returns the new state of the refund; DUE: the provider is down, so it is tried again later."""
        try:
            outcome = self.payments.refund(subscription_id)
        except DependencyDown:
            return OwedState.DUE
        state = OwedState.SETTLED
        if outcome is RefundOutcome.REFUSED:
            state = OwedState.REFUSED
            log.error("the refund of %s to %s is refused for good: it is owed", subscription_id, customer_id)
        self._become(subscription_id, state)
        return state

    def _note(self, subscription_id: SubscriptionId, customer_id: CustomerId) -> None:
        with self.unit_of_work() as work:
            work.billing.refunds_owed.note(subscription_id, customer_id)
            work.commit()

    def _become(self, reference: str, state: OwedState) -> None:
        with self.unit_of_work() as work:
            work.billing.refunds_owed.become(reference, state)
            work.commit()


@dataclass(frozen=True, slots=True)
class ReturnPayments:
    """Makes the refunds that are owed and could not be made when their subscriptions were ended."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    end: EndAndRefund
    batch: int = 20

    def __call__(self) -> int:
        """Returns how many were made or refused for good. Raises DependencyDown."""
        with self.unit_of_work() as work:
            due = work.billing.refunds_owed.take_due(limit=self.batch, wait=REFUND_AGAIN_AFTER)
            work.commit()
        return sum(self._return(one) is not OwedState.DUE for one in due)

    def _return(self, owed: OwedRefund) -> OwedState:
        if self._runs(owed):
            # The process died before it was ended. If it is still one too many, it is noted again.
            with self.unit_of_work() as work:
                work.billing.refunds_owed.become(owed.reference, OwedState.SETTLED)
                work.commit()
            return OwedState.SETTLED
        return self.end.refund(SubscriptionId(owed.reference), owed.customer_id)

    def _runs(self, owed: OwedRefund) -> bool:
        if owed.customer_id is None:
            return False
        try:
            found = self.payments.subscriptions_of(owed.customer_id)
        except CustomerUnknown:
            return False
        return any(one.id == owed.reference and not one.ended for one in found)


@dataclass(frozen=True, slots=True)
class EndErased:
    """Ends and refunds what a customer of an erased user still buys."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    policy: BillingPolicy
    end: EndAndRefund
    clock: Clock
    batch: int = 20

    def __call__(self) -> int:
        """Looks after customers whose users were erased lately; returns how many subscriptions were ended."""
        now = self.clock()
        with self.unit_of_work() as work:
            customers = work.billing.customers.take_erased(
                erased_since=now - ERASED_WATCHED_FOR, since=now - ERASED_EVERY, limit=self.batch
            )
            work.commit()
        return sum(self.end_all(customer_id) for customer_id in customers)

    def end_all(self, customer_id: CustomerId) -> int:
        """Returns how many subscriptions were ended. Raises DependencyDown when one could not be.

        Checkouts that are open are expired before.
        """
        with suppress(CustomerUnknown):
            self.payments.expire_checkouts(customer_id)
        running = running_of(customer_id, self.payments, self.policy)
        for one in running:
            log.warning("%s runs for %s, whose user was erased: it is ended", one.id, customer_id)
            if not self.end(one.id, customer_id, refund=True):
                raise DependencyDown(self.payments.name)
        return len(running)


@dataclass(frozen=True, slots=True)
class EndLeavers:
    """Ends what erased users have at the provider, by searching it for customers of theirs after the erasure."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    end_erased: EndErased
    clock: Clock
    batch: int = 20

    def __call__(self) -> int:
        """Returns how many customers were found. Raises DependencyDown; those not searched for are tried again."""
        with self.unit_of_work() as work:
            leavers = work.billing.leavers.take(since=self.clock() - LEAVERS_AGAIN_AFTER, limit=self.batch)
            work.commit()
        found = 0
        for user_id in leavers:
            customers = self.payments.customers_of(user_id)
            with self.unit_of_work() as work:
                work.billing.leavers.found(user_id, customers)
                work.commit()
            for customer_id in customers:
                self.end_erased.end_all(customer_id)
            found += len(customers)
        return found
