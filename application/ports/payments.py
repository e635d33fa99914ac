"""The payment provider."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

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


class CustomerUnknown(Exception):
    """The provider has no such customer: it was deleted there, or the API key is one of another mode or account."""


class ChangeRefused(Exception):
    """The provider will not make this change, now or later, with the subscription as it is."""


class NamedCustomer(NamedTuple):
    """A customer, and the user whose id we have written into its metadata; None: no such id is there."""

    customer_id: CustomerId
    user_id: UserId | None


class Payments(Protocol):
    """Sells subscriptions. Must not be called inside a unit of work: it waits for the network.

    Every method raises DependencyDown(``name``) when the provider does not answer or cannot be used. Each write has an
    idempotency key: a repeated call, from this process or another one, has one effect. Methods that take a customer
    raise CustomerUnknown.
    """

    @property
    def name(self) -> str:
        """The provider's name as a dependency."""

    @property
    def mode(self) -> Mode:
        """Where its customers exist. Does not ask the provider."""

    def account(self) -> str | None:
        """The id of the account that the API key is of; None where the key may not read it."""

    def new_customer(self, user_id: UserId, *, instead_of: CustomerId | None = None) -> CustomerId:
        """Creates the customer of a user, with the user's id in its metadata.

        A repeated call soon after returns the same one. ``instead_of``: a customer that the provider does not know any
        more, and that this call must not return again.
        """

    def customers_of(self, user_id: UserId) -> Sequence[CustomerId]:
        """The customers whose metadata has the id of the user, oldest first; those of the last minute may be missing.

        Empty also when the provider cannot search.
        """

    def user_of(self, customer_id: CustomerId) -> UserId | None:
        """The user whose id is in the metadata of a customer; None also for a customer that is unknown."""

    def all_customers(self) -> Iterator[NamedCustomer]:
        """Every customer that the provider has, ours or not."""

    def open_checkout(self, order: Order, customer_id: CustomerId) -> Checkout:
        """Opens the checkout of an order. All calls with the same order return the same checkout."""

    def checkout(self, checkout_id: CheckoutId) -> Checkout | None:
        """The present state of a checkout; None if there is no such checkout."""

    def expire_checkout(self, checkout_id: CheckoutId) -> None:
        """Expires an open checkout, so that it cannot be paid. One that is not open is left as it is."""

    def expire_checkouts(self, customer_id: CustomerId) -> None:
        """Expires every open checkout of a customer, as ``expire_checkout`` does."""

    def open_portal(self, customer_id: CustomerId, *, return_url: str) -> str:
        """The URL of a page on which the customer manages cards, invoices and the subscription."""

    def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Sequence[ProvidedSubscription]:
        """All subscriptions of a customer, ended ones included. ``hurry``: fails after two seconds."""

    def renew(self, subscription_id: SubscriptionId, *, renew: bool, key: str) -> None:
        """Cancels a subscription at the end of its period, or undoes that. ``key``: the idempotency key.

        A subscription that a schedule manages is released from it. One that is over or unknown is left as it is.
        Raises ChangeRefused.
        """

    def cancel(self, subscription_id: SubscriptionId) -> None:
        """Cancels a subscription at once. One that is over or unknown is left as it is. Raises ChangeRefused."""

    def refund(self, subscription_id: SubscriptionId) -> RefundOutcome:
        """Refunds what was paid of the newest invoice of a subscription, once."""

    def customer_of_charge(self, charge_id: str) -> CustomerId | None:
        """The customer that was charged; None if there is no such charge."""
