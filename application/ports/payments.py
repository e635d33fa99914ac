"""The payment provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.accounts import UserId
from domain.billing import Checkout, CheckoutId, CustomerId, ProvidedSubscription, SubscriptionId

# The provider puts the checkout's id in the place of this in a success URL: before it has made the checkout, nobody
# knows the id.
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
        """A customer for a user who has none; the same one when asked again soon."""

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        """The checkout of an order. However many ask for the same order get the same checkout."""

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        """How a checkout stands now; None when there is none."""

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        """Let a checkout be paid no more; one that is not open is left as it is."""

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        """The address of a page on which the customer manages cards, invoices and the subscription."""

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        """All that a customer ever had, as they are now. ``hurry``: an answer within two seconds or none."""

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        """Let a subscription end with its period, or go on after all. ``key``: of this wish, for doing it once."""

    def cancel(self, subscription_id: SubscriptionId, *, refund: bool) -> None:
        """End a subscription at once, and give back what its newest invoice was paid with if ``refund``.

        The refund comes first: whoever is stopped in between finds the subscription still there, and does both again.
        """

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        """Who was charged."""
