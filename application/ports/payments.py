"""The payment provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.accounts import UserId
from domain.billing import Checkout, CheckoutId, CustomerId, ProvidedSubscription, SubscriptionId

# In a success URL, stands for the id of the checkout, which is known only once the provider has made it.
CHECKOUT_ID = "{CHECKOUT_ID}"


@dataclass(frozen=True, slots=True)
class Order:
    """What a checkout is made from. ``success_url`` may contain ``CHECKOUT_ID``."""

    attempt_id: UUID
    user_id: UserId
    price_id: str
    success_url: str
    cancel_url: str


class Payments(Protocol):
    """Sells subscriptions. Must not be called inside a unit of work: it waits for the network.

    Every method raises DependencyDown(``name``) when the provider does not answer or cannot be used. Each write has an
    idempotency key: a repeated call, from this process or another one, has one effect.
    """

    @property
    def name(self) -> str:
        """The provider's name as a dependency."""

    def new_customer(self, user_id: UserId) -> CustomerId:
        """Creates the customer of a user. A repeated call soon after returns the same one."""

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        """Opens the checkout of an order. All calls with the same order return the same checkout."""

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        """The present state of a checkout; None if there is no such checkout."""

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        """Expires an open checkout, so that it cannot be paid. One that is not open is left as it is."""

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        """The URL of a page on which the customer manages cards, invoices and the subscription."""

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        """All subscriptions of a customer, ended ones included. ``hurry``: fails after two seconds."""

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        """Cancels a subscription at the end of its period, or undoes that. ``key``: the idempotency key."""

    def cancel(self, subscription_id: SubscriptionId, *, refund: bool) -> None:
        """Cancels a subscription at once; with ``refund``, refunds the payment of its newest invoice.

        The refund comes first: after a crash in between, the subscription is still there and both are repeated.
        """

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        """The customer that was charged; None if there is no such charge."""
