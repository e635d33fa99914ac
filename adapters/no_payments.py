"""A service that sells nothing."""

from typing import NoReturn

from application.ports.payments import Order, Payments
from domain.accounts import UserId
from domain.billing import CheckoutId, CustomerId, Mode, SubscriptionId
from domain.errors import DependencyDown


class NoPayments(Payments):
    """For a service without a payment provider: nothing can be bought, and nothing was.

    Every method raises DependencyDown("payments").
    """

    name = "payments"
    mode = Mode.NONE

    def account(self) -> NoReturn:
        _refuse()

    def new_customer(self, user_id: UserId, *, instead_of: CustomerId | None = None) -> NoReturn:
        _refuse()

    def customers_of(self, user_id: UserId) -> NoReturn:
        _refuse()

    def user_of(self, customer_id: CustomerId) -> NoReturn:
        _refuse()

    def all_customers(self) -> NoReturn:
        _refuse()

    def open_checkout(self, order: Order, customer_id: CustomerId) -> NoReturn:
        _refuse()

    def checkout(self, checkout_id: CheckoutId) -> NoReturn:
        _refuse()

    def expire_checkout(self, checkout_id: CheckoutId) -> NoReturn:
        _refuse()

    def expire_checkouts(self, customer_id: CustomerId) -> NoReturn:
        _refuse()

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> NoReturn:
        _refuse()

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> NoReturn:
        _refuse()

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> NoReturn:
        _refuse()

    def cancel(self, subscription_id: SubscriptionId) -> NoReturn:
        _refuse()

    def refund(self, subscription_id: SubscriptionId) -> NoReturn:
        _refuse()

    def customer_of_charge(self, charge_id: str) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise DependencyDown(NoPayments.name, retry_after=3600)
