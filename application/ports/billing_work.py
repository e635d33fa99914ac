"""Customers, checkouts, subscriptions and payment events, as a unit of work reads and writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from application.ports.payments import Order
from domain.accounts import UserId
from domain.billing import (
    CheckoutId,
    CustomerId,
    InboxState,
    Mode,
    OwedState,
    PaymentEvent,
    RetryEvents,
    SubscriptionRecord,
)


class Customer(NamedTuple):
    """A user and their customer id at the payment provider."""

    user_id: UserId
    customer_id: CustomerId


class Customers(Protocol):
    """Customer ids at the payment provider: each user has at most one; and those of users who were erased."""

    def of(self, user_id: UserId, *, mode: Mode | None = None) -> CustomerId | None:
        """The customer of a user. With ``mode``, one that is known to exist only in another mode is left out."""

    def owner(self, customer_id: CustomerId) -> UserId | None: ...

    def add(
        self,
        user_id: UserId,
        customer_id: CustomerId,
        *,
        mode: Mode | None = None,
        instead_of: CustomerId | None = None,
    ) -> CustomerId | None:
        """Stores the customer of a user who has none; returns the stored one, which may be an earlier one.

        It takes the place of the customer ``instead_of``, and of one that exists only in another mode than ``mode``.
        Returns None when the user was erased.
        """

    def is_erased(self, customer_id: CustomerId) -> bool:
        """Whether the customer was one of a user who was erased."""

    def take_erased(self, *, erased_since: datetime, since: datetime, limit: int) -> Sequence[CustomerId]:
        """Takes customers of users erased after ``erased_since`` that were not taken after ``since``, and marks them.

        Those that a concurrent unit of work takes are skipped.
        """

    def take_unreconciled(
        self, *, since: datetime, limit: int, idle_since: datetime | None = None, mode: Mode | None = None
    ) -> Sequence[Customer]:
        """Takes up to ``limit`` customers not reconciled after ``since``, and marks them as reconciled now.

        Those without a subscription that runs who opened no checkout within MAY_HAVE_BOUGHT_FOR are taken only when
        they were not reconciled after ``idle_since`` (None: ``since``). Those that exist only in another mode than
        ``mode`` are left out. Those that a concurrent unit of work takes are skipped. The longest waiting come first.
        """

    def reconcile_again(self, user_id: UserId) -> None:
        """Undoes ``take_unreconciled`` after a failure."""

    def retire(self, mode: Mode) -> int:
        """Ends our records of subscriptions whose customers exist only in another mode than ``mode``.

        The customers are due for reconciling, in case their mode returns. Returns the number of subscriptions.
        """


class Leavers(Protocol):
    """Erased users, until the provider was searched for customers of theirs."""

    def note(self, user_id: UserId) -> None:
        """Stores a user who is being erased. Call it in the transaction of the erasure."""

    def take(self, *, since: datetime, limit: int) -> Sequence[UserId]:
        """Takes up to ``limit`` users who are erased and were not taken after ``since``, and marks them.

        Those that a concurrent unit of work takes are skipped. The longest waiting come first.
        """

    def found(self, user_id: UserId, customers: Sequence[CustomerId]) -> None:
        """Stores the customers of the user as those of an erased one, in place of the user."""


class ProviderAccounts(Protocol):
    """The provider's account that our customers are of, one for each mode."""

    def remember(self, mode: Mode, account: str) -> str:
        """Stores the first account of a mode; returns the stored one, which may be another than ``account``."""

    def change(self, mode: Mode, account: str) -> None:
        """Stores an account in place of the one before."""


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

    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout | None:
        """Stores a new order in place of the attempt ``instead_of``; None: the user must not have one.

        Where the attempt ``instead_of`` is there no more, as after ``abandon``, the new order is stored, too.
        Returns the stored checkout, which may be that of a concurrent caller: of all callers with the same
        ``instead_of`` the first one's order is stored, and all get that one. Returns None when the user was erased.
        """

    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> bool:
        """Stores the id of the checkout that the provider has made for an order.

        Returns False when the order is there no more: it was replaced, or its user is being erased.
        """

    def abandon(self, user_id: UserId) -> None:
        """Removes an order whose checkout is just being opened, so that ``opened`` will return False."""

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
        """Adds to the payment ledger what the event's ``money`` has more than was recorded of its object, once.

        Nothing is added when it tells no more than what was recorded; but the first event of each kind is.
        """

    def has_ignored(self, customer_id: CustomerId) -> bool:
        """Whether an earlier event of a customer was ignored, so that it is known not to be one of ours."""

    def purge_before(self, moment: datetime, *, limit: int) -> int:
        """Deletes up to ``limit`` events that arrived before ``moment`` and are not pending; returns how many."""


class OwedRefund(NamedTuple):
    """A refund that we owe. ``reference``: the id of a subscription, or of a refund that has failed."""

    reference: str
    customer_id: CustomerId | None
    state: OwedState
    noted_at: datetime


class RefundsOwed(Protocol):
    """Refunds that are owed until they are made, so that being stopped in between loses none."""

    def note(self, reference: str, customer_id: CustomerId | None, *, state: OwedState = OwedState.DUE) -> None:
        """Stores a refund that is owed. One that is known is left as it is, unless it was settled."""

    def take_due(self, *, limit: int, wait: timedelta) -> Sequence[OwedRefund]:
        """Takes up to ``limit`` refunds in the state DUE that are due, and makes each due again after ``wait``."""

    def become(self, reference: str, state: OwedState) -> None: ...


class BillingWork(Protocol):
    """The billing part of a unit of work."""

    @property
    def customers(self) -> Customers: ...
    @property
    def leavers(self) -> Leavers: ...
    @property
    def accounts(self) -> ProviderAccounts: ...
    @property
    def checkouts(self) -> Checkouts: ...
    @property
    def subscriptions(self) -> Subscriptions: ...
    @property
    def inbox(self) -> PaymentInbox: ...
    @property
    def refunds_owed(self) -> RefundsOwed: ...
