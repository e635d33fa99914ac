"""Users manage their subscription."""

import logging
from contextlib import suppress
from dataclasses import dataclass

from application.billing.ending import EndAndRefund, running_of
from application.billing.subscribe import ReturnUrls
from application.billing.sync import SyncSubscription
from application.ports.payments import ChangeRefused, CustomerUnknown, Payments
from application.ports.runtime import Clock, NewId
from application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import NOT_PAID, BillingPolicy, CheckoutId, CheckoutState, CustomerId, Mode, ProvidedSubscription
from domain.errors import DependencyDown, NotSubscribed
from domain.plans import Plan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenPortal:
    """Opens the provider's page for cards, invoices and the subscription."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    return_urls: ReturnUrls

    def __call__(self, *, user_id: UserId, return_url: str | None = None) -> str:
        """Returns its URL. Raises NotSubscribed for a user who never was a customer, DependencyDown or InvalidValue."""
        back = self.return_urls.portal(return_url)
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id, mode=self.payments.mode)
        if customer_id is None:
            raise NotSubscribed
        try:
            return self.payments.open_portal(customer_id, return_url=back)
        except CustomerUnknown:
            raise NotSubscribed from None


@dataclass(frozen=True, slots=True)
class SetRenewal:
    """Cancels the subscription at the end of the paid period, or undoes that."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription
    policy: BillingPolicy
    new_id: NewId

    def __call__(self, *, user_id: UserId, renew: bool) -> None:
        """Succeeds also when it was so before. Raises NotSubscribed without a subscription that has not ended.

        Cancelling ends all that was sold here and would renew. What was not paid for ends at once, so that the provider
        does not go on trying to charge it. Raises DependencyDown when the wish could not be made true.
        """
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id, mode=self.payments.mode)
        if customer_id is None:
            raise NotSubscribed
        # The provider is asked, since our table may be stale, and asked again afterwards, whatever it has answered.
        running = self.policy.ours_running(self.sync(user_id=user_id, customer_id=customer_id).found)
        if not running:
            raise NotSubscribed
        if not renew and self.policy.duplicates(running):
            # One was bought twice and could not be ended. Set to end, it would pass for one that the user wants to keep
            # till then, and its payment would not be returned.
            raise DependencyDown(self.payments.name)
        counts = self.policy.current(running)
        for one in running:
            if one == counts or not renew:
                self._change(one, renew=renew)
        left = self.policy.ours_running(self.sync(user_id=user_id, customer_id=customer_id).found)
        if renew:
            if not left:
                raise NotSubscribed
            if counts is not None and any(one.id == counts.id and one.cancel_at_period_end for one in left):
                raise DependencyDown(self.payments.name)
        elif any(not one.cancel_at_period_end for one in left):
            raise DependencyDown(self.payments.name)

    def _change(self, one: ProvidedSubscription, *, renew: bool) -> None:
        try:
            if not renew and one.status in NOT_PAID:
                self.payments.cancel(one.id)
            elif one.cancel_at_period_end is renew:
                # A key of its own for each wish: the answer to an older one must not be replayed.
                self.payments.renew(one.id, renew=renew, key=f"renewal-{one.id}-{self.new_id()}")
        except ChangeRefused:
            return  # how things are is looked at afterwards


@dataclass(frozen=True, slots=True)
class SyncCheckout:
    """Syncs the subscription of a buyer who returns from a checkout, perhaps before its webhook event arrives."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription
    clock: Clock

    def __call__(self, *, checkout_id: str) -> bool:
        """Returns whether the buyer is Pro. For an id that is not one of our checkouts the provider is not asked.

        The provider's answer is about the buyer, so it does not matter who sends the request.
        """
        with self.unit_of_work() as work:
            user_id = work.billing.checkouts.buyer(CheckoutId(checkout_id))
            customer_id = work.billing.customers.of(user_id, mode=self.payments.mode) if user_id else None
        if user_id is None or customer_id is None:
            return False
        checkout = self.payments.checkout(CheckoutId(checkout_id))
        if checkout is None or checkout.state is not CheckoutState.COMPLETE:
            return False

        synced = self.sync(user_id=user_id, customer_id=customer_id)
        with self.unit_of_work() as work:
            work.billing.checkouts.close(checkout.id)
            work.commit()
        return synced.after is not None and synced.after.at(self.clock()).plan is Plan.PRO


@dataclass(frozen=True, slots=True)
class EndBilling:
    """Ends everything that could still charge a user. Called before the account is erased.

    Between that and the erasure the user may still buy, and our rows of that may be lost, as when a backup is restored.
    So workers search the provider once more afterwards.
    """

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    policy: BillingPolicy
    end: EndAndRefund

    def __call__(self, *, user_id: UserId) -> None:
        """Returns when no checkout is open and no subscription of ours is active. Raises DependencyDown.

        What the provider's metadata says of the user counts, too. A checkout that is just being opened is expired by
        the one who opens it.
        """
        with self.unit_of_work() as work:
            work.billing.checkouts.abandon(user_id)
            kept = work.billing.customers.of(user_id, mode=self.payments.mode)
            work.commit()
        for customer_id in self._customers(user_id, kept):
            self._end(customer_id)

    def note_erased(self, work: UnitOfWork, *, user_id: UserId) -> None:
        """For EndLeavers. Without a provider there is nothing to search."""
        if self.payments.mode is not Mode.NONE:
            work.billing.leavers.note(user_id)

    def _customers(self, user_id: UserId, kept: CustomerId | None) -> list[CustomerId]:
        try:
            named = self.payments.customers_of(user_id)
        except DependencyDown:
            if kept is not None:
                raise
            # Hardly any of them ever bought something: they may leave now, and EndLeavers searches once it can.
            if self.payments.mode is not Mode.NONE:
                log.warning("%s leaves while the payment provider cannot be searched for customers of theirs", user_id)
            return []
        if kept is None and named:
            # So that the erasure remembers it.
            with self.unit_of_work() as work:
                work.billing.customers.add(user_id, named[0], mode=self.payments.mode)
                work.commit()
        return list(dict.fromkeys([*([kept] if kept else []), *named]))

    def _end(self, customer_id: CustomerId) -> None:
        with suppress(CustomerUnknown):
            self.payments.expire_checkouts(customer_id)
        if not self._cancel_all(customer_id):
            return
        if self._cancel_all(customer_id):  # look again, whatever was answered
            raise DependencyDown(self.payments.name)

    def _cancel_all(self, customer_id: CustomerId) -> bool:
        """Returns whether there was something to cancel. What was bought twice is refunded, as always."""
        running = running_of(customer_id, self.payments, self.policy)
        twice = {one.subscription.id for one in self.policy.duplicates(running) if one.refund}
        # Those first: once one of the two is ended, nothing shows that the other was bought twice.
        for one in sorted(running, key=lambda one: one.id not in twice):
            if not self.end(one.id, customer_id, refund=one.id in twice) and one.id in twice:
                raise DependencyDown(self.payments.name)
        return bool(running)
