"""What is kept of customers, checkouts, subscriptions and payment events, as a unit of work writes it."""

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
    """A user and the customer they are at the payment provider."""

    user_id: UserId
    customer_id: CustomerId


class Customers(Protocol):
    """Who is who at the payment provider: one customer a user."""

    def of(self, user_id: UserId) -> CustomerId | None:
        """The customer that a user is."""

    def owner(self, customer_id: CustomerId) -> UserId | None:
        """The user that a customer is."""

    def add(self, user_id: UserId, customer_id: CustomerId) -> CustomerId:
        """Keep the customer of a user who has none; the customer that counts, which may be an earlier one."""

    def take_unreconciled(self, *, since: datetime, limit: int) -> Sequence[Customer]:
        """Up to ``limit`` customers not compared with the provider ``since`` then; from now on they are.

        What somebody else is taking is passed over. The longest waiting come first.
        """

    def reconcile_again(self, user_id: UserId) -> None:
        """Undo ``take_unreconciled``: the comparison failed."""


@dataclass(frozen=True, slots=True)
class KeptCheckout:
    """An order, and the checkout it became. ``checkout_id`` None: the provider was not reached yet."""

    order: Order
    begun_at: datetime
    checkout_id: CheckoutId | None
    closed: bool


class Checkouts(Protocol):
    """The one checkout a user may have at a time."""

    def current(self, user_id: UserId) -> KeptCheckout | None:
        """The newest checkout of a user."""

    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout:
        """Keep a new order in place of the attempt ``instead_of`` (None: of none).

        The checkout that counts: somebody who was faster may have begun another one. Of any number of callers with
        the same ``instead_of`` one begins, and all get the same.
        """

    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> None:
        """Note the checkout that an order became."""

    def close(self, checkout_id: CheckoutId) -> None:
        """It is paid or expired."""

    def buyer(self, checkout_id: CheckoutId) -> UserId | None:
        """Whose checkout it is; None unless it is one we opened."""


class Versioned(NamedTuple):
    """A record with the version it is written over. ``version`` 0: there is none."""

    record: SubscriptionRecord | None
    version: int


class Subscriptions(Protocol):
    """The subscription of each user, as the provider had it when it was asked last."""

    def get(self, user_id: UserId) -> Versioned:
        """A user's subscription, and its version."""

    def put(self, user_id: UserId, record: SubscriptionRecord, *, over: int) -> bool:
        """Write it if the version is still ``over``, and count the version up; whether it was written."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event of the inbox."""

    event: PaymentEvent
    state: InboxState
    attempts: int
    failure: str | None


class PaymentInbox(Protocol):
    """Every event of the provider that ever arrived, once."""

    def find(self, event_id: str) -> KeptEvent | None:
        """An event that arrived."""

    def settle(self, event: PaymentEvent, state: InboxState, *, user_id: UserId | None) -> bool:
        """Note what became of an event, new or pending. False: it was settled before, and nothing may be done.

        In the transaction of its effect. Of any number of callers with the same event one gets True.
        """

    def postpone(self, event: PaymentEvent, *, failure: str, retry: RetryEvents) -> None:
        """Leave an event that was just received to the sweeper; nothing happens if it is known already."""

    def take_pending(self, *, limit: int, retry: RetryEvents) -> Sequence[PaymentEvent]:
        """Up to ``limit`` events that are due, passing over what somebody else takes; each is due again later.

        The attempt is counted here. Those without attempts left become FAILED, and are not among them.
        """

    def note_failure(self, event_id: str, failure: str) -> None:
        """Say why the last attempt failed."""

    def reopen(self, event_id: str) -> PaymentEvent | None:
        """Make an event pending again, whatever became of it; None when none such arrived."""

    def record_money(self, event: PaymentEvent, *, user_id: UserId | None) -> None:
        """Keep in the payment ledger that money went back, or may; once an event."""


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
