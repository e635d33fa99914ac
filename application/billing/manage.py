"""Users manage the subscription that they have."""

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
    """The provider's page for cards, invoices and the subscription."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    return_urls: ReturnUrls

    def __call__(self, *, user_id: UserId, return_url: str | None = None) -> str:
        """Its address. NotSubscribed for somebody who never was a customer, DependencyDown, InvalidValue."""
        back = self.return_urls.portal(return_url)
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id)
        if customer_id is None:
            raise NotSubscribed
        return self.payments.open_portal(customer_id, return_url=back)


@dataclass(frozen=True, slots=True)
class SetRenewal:
    """Lets the subscription end with the period that is paid for, or go on after all."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription

    def __call__(self, *, user_id: UserId, renew: bool) -> None:
        """Done, also where it was so before. NotSubscribed where there is nothing to end, or it has ended."""
        with self.unit_of_work() as work:
            customer_id = work.billing.customers.of(user_id)
            record, version = work.billing.subscriptions.get(user_id)
        if customer_id is None or record is None or record.ended:
            raise NotSubscribed
        # Even if our table says that it is so: it may be behind. The version makes it one wish: asked twice at once it
        # is done once, and next month it can be done again.
        wish = "renew" if renew else "end"
        self.payments.renew(record.subscription_id, renew=renew, key=f"{wish}-{record.subscription_id}-{version}")
        after = self.sync(user_id=user_id, customer_id=customer_id).after
        if after is None or after.ended:
            raise NotSubscribed


@dataclass(frozen=True, slots=True)
class SyncCheckout:
    """The buyer comes back from paying, perhaps before the news of it: look, instead of waiting for it."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments
    sync: SyncSubscription

    def __call__(self, *, checkout_id: str) -> bool:
        """Whether it was paid. An id of no checkout of ours changes nothing, and the provider is not even asked.

        It says what the provider says of the buyer, so it does not matter who asks.
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
    """Somebody leaves for good: nothing may be charged any more. To be called before the account is erased."""

    unit_of_work: UnitOfWorkFactory
    payments: Payments

    def __call__(self, *, user_id: UserId) -> None:
        """No checkout is open and no subscription runs. DependencyDown("stripe"): do not erase the account yet."""
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
