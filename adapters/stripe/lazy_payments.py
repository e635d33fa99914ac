"""Payments that are built when there is something to pay."""

from collections.abc import Callable, Iterator, Sequence

from application.ports.payments import NamedCustomer, Order, Payments
from domain.accounts import UserId
from domain.billing import (
    Checkout,
    CheckoutId,
    CustomerId,
    Mode,
    ProvidedSubscription,
    RefundOutcome,
    SubscriptionId,
)


class LazyPayments(Payments):
    """Builds the adapter it stands for at the first call.

    Most processes never call the payment provider, whose library takes 6 MB.
    """

    def __init__(self, payments: Callable[[], Payments], mode: Mode) -> None:
        # Gives the same adapter each time.
        self._payments = payments
        self._mode = mode

    @property
    def name(self) -> str:
        return self._payments().name

    @property
    def mode(self) -> Mode:
        return self._mode

    def account(self) -> str | None:
        return self._payments().account()

    def new_customer(self, user_id: UserId, *, instead_of: CustomerId | None = None) -> CustomerId:
        return self._payments().new_customer(user_id, instead_of=instead_of)

    def customers_of(self, user_id: UserId) -> Sequence[CustomerId]:
        return self._payments().customers_of(user_id)

    def user_of(self, customer_id: CustomerId) -> UserId | None:
        return self._payments().user_of(customer_id)

    def all_customers(self) -> Iterator[NamedCustomer]:
        return self._payments().all_customers()

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        return self._payments().open_checkout(order, customer_id)

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        return self._payments().checkout(checkout_id)

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        self._payments().expire_checkout(checkout_id)

    def expire_checkouts(self, customer_id: CustomerId) -> None:
        self._payments().expire_checkouts(customer_id)

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        return self._payments().open_portal(customer_id, return_url=return_url)

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        return self._payments().subscriptions_of(customer_id, hurry=hurry)

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        self._payments().renew(subscription_id, renew=renew, key=key)

    def cancel(self, subscription_id: SubscriptionId) -> None:
        self._payments().cancel(subscription_id)

    def refund(self, subscription_id: SubscriptionId) -> RefundOutcome:
        return self._payments().refund(subscription_id)

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        return self._payments().customer_of_charge(charge_id)
