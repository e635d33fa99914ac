"""Users manage their subscription."""

from dataclasses import dataclass

from application.billing.subscribe import ReturnUrls
from application.billing.sync import SyncSubscription
from application.ports.payments import Payments
from application.ports.unit_of_work import UnitOfWorkFactory
from domain.accounts import UserId
from domain.billing import ENDED, CheckoutId, CheckoutState
from domain.errors import NotSubscribed


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
            customer_id = work.billing.customers.of(user_id)
        if customer_id is None:
            raise NotSubscribed
        return self.payments.open_portal(customer_id, return_url=back)


@dataclass(frozen=True, slots=True)
class SetRenewal:
    """Cancels the subscription at the end of the paid period, or undoes that."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription

    def __call__(self, *, user_id: UserId, renew: bool) -> None:
        """Succeeds also when it was so before. Raises NotSubscribed without a subscription that has not ended."""
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id)
            record, version = work.billing.subscriptions.get(user_id)
        if customer_id is None or record is None or record.ended:
            raise NotSubscribed
        # The provider is called even if our table says that it is so, since the table may be stale. The version is in
        # the key, so that concurrent requests have one effect, and a request of next month has one of its own.
        action = "renew" if renew else "end"
        self.payments.renew(record.subscription_id, renew=renew, key=f"{action}-{record.subscription_id}-{version}")
        after = self.sync(user_id=user_id, customer_id=customer_id).after
        if after is None or after.ended:
            raise NotSubscribed


@dataclass(frozen=True, slots=True)
class SyncCheckout:
    """Syncs the subscription of a buyer who returns from a checkout, perhaps before its webhook event arrives."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription

    def __call__(self, *, checkout_id: str) -> bool:
        """Returns whether it was paid. For an id that is not one of our checkouts the provider is not asked.

        The provider's answer is about the buyer, so it does not matter who sends the request.
        """
        with self.unit_of_work() as work:
            user_id = work.billing.checkouts.buyer(CheckoutId(checkout_id))
            customer_id = work.billing.customers.of(user_id) if user_id else None
        if user_id is None or customer_id is None:
            return False
        checkout = self.payments.checkout(CheckoutId(checkout_id))
        if checkout is None or checkout.state is not CheckoutState.COMPLETE:
            return False

        synced = self.sync(user_id=user_id, customer_id=customer_id)
        with self.unit_of_work() as work:
            work.billing.checkouts.close(checkout.id)
            work.commit()
        return synced.after is not None and not synced.after.ended


@dataclass(frozen=True, slots=True)
class EndBilling:
    """Ends everything that could still charge a user. Called before the account is erased."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments

    def __call__(self, *, user_id: UserId) -> None:
        """Returns when no checkout is open and no subscription is active. Raises DependencyDown."""
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id)
            checkout = work.billing.checkouts.current(user_id)
        if checkout is not None and checkout.checkout_id is not None:
            self.payments.expire_checkout(checkout.checkout_id)
        if customer_id is None:
            return
        for subscription in self.payments.subscriptions_of(customer_id):
            if subscription.status not in ENDED:
                self.payments.cancel(subscription.id, refund=False)
