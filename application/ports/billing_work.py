"""Customers, checkouts, subscriptions and payment events, as a unit of work reads and writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from application.ports.payments import Order
from domain.accounts import UserId
from domain.billing import (
    CheckoutId,
    CustomerId,
    InboxState,
    PaymentEvent,
    RetryEvents,
    SubscriptionRecord,
)


class Customer(NamedTuple):
    """A user and their customer id at the payment provider."""

    user_id: UserId
    customer_id: CustomerId


class Customers(Protocol):
    """Customer ids at the payment provider: each user has at most one."""

    def of(self, user_id: UserId) -> CustomerId | None: ...

    def owner(self, customer_id: CustomerId) -> UserId | None: ...

    def add(self, user_id: UserId, customer_id: CustomerId) -> CustomerId:
        """Stores the customer of a user who has none; returns the stored one, which may be an earlier one."""

    def take_unreconciled(self, *, since: datetime, limit: int) -> Sequence[Customer]:
        """Takes up to ``limit`` customers not reconciled after ``since``, and marks them as reconciled now.

        Those that a concurrent unit of work takes are skipped. The longest waiting come first.
        """

    def reconcile_again(self, user_id: UserId) -> None:
        """Undoes ``take_unreconciled`` after a failure."""


@dataclass(frozen=True, slots=True)
class KeptCheckout:
    """An order and its checkout. ``checkout_id`` None: the provider has not made it yet."""

    order: Order
    begun_at: datetime
    checkout_id: CheckoutId | None
    closed: bool


class Checkouts(Protocol):
    """Each user has at most one checkout at a time."""

    def current(self, user_id: UserId) -> KeptCheckout | None:
        """The newest checkout of a user, open or not."""

    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout:
        """Stores a new order in place of the attempt ``instead_of``; None: the user must not have one.

        Returns the stored checkout, which may be that of a concurrent caller: of all callers with the same
        ``instead_of`` the first one's order is stored, and all get that one.
        """

    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> None:
        """Stores the id of the checkout that the provider has made for an order."""

    def close(self, checkout_id: CheckoutId) -> None:
        """Marks a checkout as paid or expired."""

    def buyer(self, checkout_id: CheckoutId) -> UserId | None:
        """The user of a checkout; None unless it was opened here."""


class Versioned(NamedTuple):
    """A record and its version, for optimistic locking. ``version`` 0: there is no record."""

    record: SubscriptionRecord | None
    version: int


class Subscriptions(Protocol):
    """The subscription of each user, as the provider last reported it."""

    def get(self, user_id: UserId) -> Versioned: ...

    def put(self, user_id: UserId, record: SubscriptionRecord, *, over: int) -> bool:
        """Writes the record and increments the version, if that is still ``over``; returns whether it was written."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    event: PaymentEvent
    state: InboxState
    attempts: int
    failure: str | None


class PaymentInbox(Protocol):
    """Stores every event that arrived from the provider, once."""

    def find(self, event_id: str) -> KeptEvent | None: ...

    def settle(self, event: PaymentEvent, state: InboxState, *, user_id: UserId | None) -> bool:
        """Stores the final ``state`` of an event that is new, pending or failed.

        Returns False when the event was settled before; it must not take effect again then. Call it in the transaction
        of the effect: of all concurrent callers with the same event, one gets True.
        """

    def postpone(self, event: PaymentEvent, *, failure: str, retry: RetryEvents) -> None:
        """Stores an event that has just arrived as pending. A known event is left as it is."""

    def take_pending(self, *, limit: int, retry: RetryEvents) -> Sequence[PaymentEvent]:
        """Takes up to ``limit`` pending events that are due, and makes each due again after ``retry.wait``.

        The attempt is counted here. Events without attempts left become FAILED, and are not returned. Those that a
        concurrent unit of work takes are skipped.
        """

    def note_failure(self, event_id: str, failure: str) -> None:
        """Stores why the last attempt failed."""

    def reopen(self, event_id: str) -> PaymentEvent | None:
        """Makes an event pending and due, whatever its state; returns None when it never arrived."""

    def record_money(self, event: PaymentEvent, *, user_id: UserId | None) -> None:
        """Adds the event's ``money`` to the payment ledger, once."""


class BillingWork(Protocol):
    """The billing part of a unit of work."""

    @property
    def customers(self) -> Customers: ...
    @property
    def checkouts(self) -> Checkouts: ...
    @property
    def subscriptions(self) -> Subscriptions: ...
    @property
    def inbox(self) -> PaymentInbox: ...
