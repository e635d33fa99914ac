"""Customers, checkouts, subscriptions and payment events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID

from adapters.memory.tables import CustomerRow, EventRow, Tables
from adapters.memory.transaction import Repository, writes
from application.ports.billing_work import (
    BillingWork,
    Checkouts,
    Customer,
    Customers,
    KeptCheckout,
    KeptEvent,
    PaymentInbox,
    Subscriptions,
    Versioned,
)
from application.ports.payments import Order
from domain.accounts import UserId
from domain.billing import (
    CheckoutId,
    CustomerId,
    InboxState,
    PaymentEvent,
    RetryEvents,
    Subscription,
    SubscriptionRecord,
)

# What settles for good. A failed event may still be settled by the next delivery or by a replay.
SETTLED = frozenset({InboxState.DONE, InboxState.IGNORED})


def subscription_at(tables: Tables, user_id: UserId, now: datetime) -> Subscription | None:
    """A user's subscription as it stands at a moment."""
    subscription = tables.subscriptions.get(user_id)
    kept = tables.subscription_records.get(user_id)
    if subscription is None or kept is None or kept.record is None:
        return subscription
    return replace(subscription, in_grace=kept.record.at(now).in_grace)


class MemoryCustomers(Repository, Customers):
    def of(self, user_id: UserId) -> CustomerId | None:
        row = self._tables.customers.get(user_id)
        return row.customer_id if row else None

    def owner(self, customer_id: CustomerId) -> UserId | None:
        rows = self._tables.customers.items()
        return next((user_id for user_id, row in rows if row.customer_id == customer_id), None)

    @writes
    def add(self, user_id: UserId, customer_id: CustomerId) -> CustomerId:
        return self._tables.customers.setdefault(user_id, CustomerRow(customer_id)).customer_id

    @writes
    def take_unreconciled(self, *, since: datetime, limit: int) -> Sequence[Customer]:
        never = datetime.min.replace(tzinfo=UTC)
        due = sorted(
            (row.reconciled_at or never, user_id)
            for user_id, row in self._tables.customers.items()
            if row.reconciled_at is None or row.reconciled_at < since
        )
        taken = []
        for _, user_id in due[:limit]:
            row = replace(self._tables.customers[user_id], reconciled_at=max(self._now, since))
            self._tables.customers[user_id] = row
            taken.append(Customer(user_id, row.customer_id))
        return taken

    @writes
    def reconcile_again(self, user_id: UserId) -> None:
        row = self._tables.customers.get(user_id)
        if row is not None:
            self._tables.customers[user_id] = replace(row, reconciled_at=None)


class MemoryCheckouts(Repository, Checkouts):
    def current(self, user_id: UserId) -> KeptCheckout | None:
        return self._tables.checkouts.get(user_id)

    @writes
    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout:
        current = self._tables.checkouts.get(order.user_id)
        if (current.order.attempt_id if current else None) == instead_of:
            self._tables.checkouts[order.user_id] = KeptCheckout(order, self._now, None, closed=False)
        return self._tables.checkouts[order.user_id]

    @writes
    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> None:
        for user_id, row in self._tables.checkouts.items():
            if row.order.attempt_id == attempt_id:
                self._tables.checkouts[user_id] = replace(row, checkout_id=checkout_id)

    @writes
    def close(self, checkout_id: CheckoutId) -> None:
        for user_id, row in self._tables.checkouts.items():
            if row.checkout_id == checkout_id:
                self._tables.checkouts[user_id] = replace(row, closed=True)

    def buyer(self, checkout_id: CheckoutId) -> UserId | None:
        return next(
            (user_id for user_id, row in self._tables.checkouts.items() if row.checkout_id == checkout_id), None
        )


class MemorySubscriptions(Repository, Subscriptions):
    def get(self, user_id: UserId) -> Versioned:
        return self._tables.subscription_records.get(user_id, Versioned(None, 0))

    @writes
    def put(self, user_id: UserId, record: SubscriptionRecord, *, over: int) -> bool:
        if self.get(user_id).version != over or user_id not in self._tables.users:
            return False
        self._tables.subscription_records[user_id] = Versioned(record, over + 1)
        self._tables.subscriptions[user_id] = record.at(self._now)
        return True


class MemoryPaymentInbox(Repository, PaymentInbox):
    def find(self, event_id: str) -> KeptEvent | None:
        row = self._tables.payment_events.get(event_id)
        return row.kept if row else None

    @writes
    def settle(self, event: PaymentEvent, state: InboxState, *, user_id: UserId | None) -> bool:
        row = self._tables.payment_events.get(event.id)
        if row is None:
            row = EventRow(KeptEvent(event, state, 0, None), user_id, self._now, self._now)
        elif row.kept.state in SETTLED:
            return False
        self._tables.payment_events[event.id] = replace(
            row, kept=replace(row.kept, state=state, failure=None), user_id=user_id
        )
        return True

    @writes
    def postpone(self, event: PaymentEvent, *, failure: str, retry: RetryEvents) -> None:
        kept = KeptEvent(event, InboxState.PENDING, 0, failure)
        self._tables.payment_events.setdefault(event.id, EventRow(kept, None, self._now, self._now + retry.wait(0)))

    @writes
    def take_pending(self, *, limit: int, retry: RetryEvents) -> Sequence[PaymentEvent]:
        taken: list[PaymentEvent] = []
        for event_id, row in sorted(self._tables.payment_events.items(), key=lambda item: (item[1].due_at, item[0])):
            if row.kept.state is not InboxState.PENDING or row.due_at > self._now or len(taken) == limit:
                continue
            attempts = row.kept.attempts + 1
            if attempts > retry.max_attempts:
                self._tables.payment_events[event_id] = replace(row, kept=replace(row.kept, state=InboxState.FAILED))
                continue
            self._tables.payment_events[event_id] = replace(
                row, kept=replace(row.kept, attempts=attempts), due_at=self._now + retry.wait(attempts)
            )
            taken.append(row.kept.event)
        return taken

    @writes
    def note_failure(self, event_id: str, failure: str) -> None:
        row = self._tables.payment_events[event_id]
        self._tables.payment_events[event_id] = replace(row, kept=replace(row.kept, failure=failure))

    @writes
    def reopen(self, event_id: str) -> PaymentEvent | None:
        row = self._tables.payment_events.get(event_id)
        if row is None:
            return None
        kept = replace(row.kept, state=InboxState.PENDING, attempts=0)
        self._tables.payment_events[event_id] = replace(row, kept=kept, due_at=self._now)
        return kept.event

    @writes
    def record_money(self, event: PaymentEvent, *, user_id: UserId | None) -> None:
        self._tables.payment_entries.setdefault(event.id, (event, user_id))


class MemoryBilling(Repository, BillingWork):
    @cached_property
    def customers(self) -> MemoryCustomers:
        return MemoryCustomers(self._transaction)

    @cached_property
    def checkouts(self) -> MemoryCheckouts:
        return MemoryCheckouts(self._transaction)

    @cached_property
    def subscriptions(self) -> MemorySubscriptions:
        return MemorySubscriptions(self._transaction)

    @cached_property
    def inbox(self) -> MemoryPaymentInbox:
        return MemoryPaymentInbox(self._transaction)
