"""The billing part of a unit of work, and the ledger, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from adapters.memory.tables import CustomerRow, EventRow, MemoryDatabase, Tables
from application.ports.billing_work import Customer, KeptCheckout, KeptEvent, Versioned
from application.ports.ledger import BillingFile, ChargedPrompt, DayOfUse, EventLine, MoneyLine
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

LAST_EVENTS = 20

# What settles for good. A failed event may still be settled by the next delivery or by a replay.
SETTLED = frozenset({InboxState.DONE, InboxState.IGNORED})


def subscription_at(tables: Tables, user_id: UserId, now: datetime) -> Subscription | None:
    """A user's subscription as it stands at a moment."""
    subscription = tables.subscriptions.get(user_id)
    kept = tables.subscription_records.get(user_id)
    if subscription is None or kept is None or kept.record is None:
        return subscription
    return replace(subscription, in_grace=kept.record.at(now).in_grace)


class MemoryCustomers:
    """The Customers port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``."""
        self._tables = tables
        self._now = now

    def of(self, user_id: UserId) -> CustomerId | None:
        """The customer that a user is."""
        row = self._tables.customers.get(user_id)
        return row.customer_id if row else None

    def owner(self, customer_id: CustomerId) -> UserId | None:
        """The user that a customer is."""
        rows = self._tables.customers.items()
        return next((user_id for user_id, row in rows if row.customer_id == customer_id), None)

    def add(self, user_id: UserId, customer_id: CustomerId) -> CustomerId:
        """Keep the customer; the one that counts."""
        return self._tables.customers.setdefault(user_id, CustomerRow(customer_id)).customer_id

    def take_unreconciled(self, *, since: datetime, limit: int) -> Sequence[Customer]:
        """Take customers to compare."""
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

    def reconcile_again(self, user_id: UserId) -> None:
        """Make the customer the first to compare again."""
        row = self._tables.customers.get(user_id)
        if row is not None:
            self._tables.customers[user_id] = replace(row, reconciled_at=None)


class MemoryCheckouts:
    """The Checkouts port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``."""
        self._rows = tables.checkouts
        self._now = now

    def current(self, user_id: UserId) -> KeptCheckout | None:
        """The newest checkout of a user."""
        return self._rows.get(user_id)

    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout:
        """Keep a new order, unless somebody was faster."""
        current = self._rows.get(order.user_id)
        if (current.order.attempt_id if current else None) == instead_of:
            self._rows[order.user_id] = KeptCheckout(order, self._now, None, closed=False)
        return self._rows[order.user_id]

    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> None:
        """Note the checkout that an order became."""
        for user_id, row in self._rows.items():
            if row.order.attempt_id == attempt_id:
                self._rows[user_id] = replace(row, checkout_id=checkout_id)

    def close(self, checkout_id: CheckoutId) -> None:
        """It is paid or expired."""
        for user_id, row in self._rows.items():
            if row.checkout_id == checkout_id:
                self._rows[user_id] = replace(row, closed=True)

    def buyer(self, checkout_id: CheckoutId) -> UserId | None:
        """Whose checkout it is."""
        return next((user_id for user_id, row in self._rows.items() if row.checkout_id == checkout_id), None)


class MemorySubscriptions:
    """The Subscriptions port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``."""
        self._tables = tables
        self._now = now

    def get(self, user_id: UserId) -> Versioned:
        """A user's subscription, and its version."""
        return self._tables.subscription_records.get(user_id, Versioned(None, 0))

    def put(self, user_id: UserId, record: SubscriptionRecord, *, over: int) -> bool:
        """Write it over a version."""
        if self.get(user_id).version != over or user_id not in self._tables.users:
            return False
        self._tables.subscription_records[user_id] = Versioned(record, over + 1)
        self._tables.subscriptions[user_id] = record.at(self._now)
        return True


class MemoryPaymentInbox:
    """The PaymentInbox port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Work on ``tables``."""
        self._tables = tables
        self._rows = tables.payment_events
        self._now = now

    def find(self, event_id: str) -> KeptEvent | None:
        """An event that arrived."""
        row = self._rows.get(event_id)
        return row.kept if row else None

    def settle(self, event: PaymentEvent, state: InboxState, *, user_id: UserId | None) -> bool:
        """Note what became of an event."""
        row = self._rows.get(event.id)
        if row is None:
            row = EventRow(KeptEvent(event, state, 0, None), user_id, self._now, self._now)
        elif row.kept.state in SETTLED:
            return False
        self._rows[event.id] = replace(row, kept=replace(row.kept, state=state, failure=None), user_id=user_id)
        return True

    def postpone(self, event: PaymentEvent, *, failure: str, retry: RetryEvents) -> None:
        """Leave an event to the sweeper."""
        kept = KeptEvent(event, InboxState.PENDING, 0, failure)
        self._rows.setdefault(event.id, EventRow(kept, None, self._now, self._now + retry.wait(0)))

    def take_pending(self, *, limit: int, retry: RetryEvents) -> Sequence[PaymentEvent]:
        """Take events that are due."""
        taken: list[PaymentEvent] = []
        for event_id, row in sorted(self._rows.items(), key=lambda item: (item[1].due_at, item[0])):
            if row.kept.state is not InboxState.PENDING or row.due_at > self._now or len(taken) == limit:
                continue
            attempts = row.kept.attempts + 1
            if attempts > retry.max_attempts:
                self._rows[event_id] = replace(row, kept=replace(row.kept, state=InboxState.FAILED))
                continue
            self._rows[event_id] = replace(
                row, kept=replace(row.kept, attempts=attempts), due_at=self._now + retry.wait(attempts)
            )
            taken.append(row.kept.event)
        return taken

    def note_failure(self, event_id: str, failure: str) -> None:
        """Say why the last attempt failed."""
        row = self._rows[event_id]
        self._rows[event_id] = replace(row, kept=replace(row.kept, failure=failure))

    def reopen(self, event_id: str) -> PaymentEvent | None:
        """Make an event pending again."""
        row = self._rows.get(event_id)
        if row is None:
            return None
        kept = replace(row.kept, state=InboxState.PENDING, attempts=0)
        self._rows[event_id] = replace(row, kept=kept, due_at=self._now)
        return kept.event

    def record_money(self, event: PaymentEvent, *, user_id: UserId | None) -> None:
        """Keep it once."""
        self._tables.payment_entries.setdefault(event.id, (event, user_id))


class MemoryBilling:
    """The BillingWork port."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        """Let every repository work on the same copy."""
        self.customers = MemoryCustomers(tables, now)
        self.checkouts = MemoryCheckouts(tables, now)
        self.subscriptions = MemorySubscriptions(tables, now)
        self.inbox = MemoryPaymentInbox(tables, now)


class MemoryLedger:
    """The Ledger port."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Read from ``database``."""
        self._database = database

    def days(self, user_id: UserId, *, days: int) -> Sequence[DayOfUse]:
        """The last days of use."""
        tables = self._database.tables
        first = self._database.clock().astimezone(UTC).date() - timedelta(days=days - 1)
        used = {day: count for (owner, day), count in tables.daily_usage.items() if owner == user_id and day >= first}
        return [
            DayOfUse(day, used[day], tables.daily_refunds.get((user_id, day), 0)) for day in sorted(used, reverse=True)
        ]

    def prompts(self, user_id: UserId, *, days: int) -> Sequence[ChargedPrompt]:
        """The charged prompts, newest first."""
        first = self._database.clock().astimezone(UTC).date() - timedelta(days=days - 1)
        rows = sorted(self._database.tables.replies.values(), key=lambda row: row.queued.id, reverse=True)
        return [
            ChargedPrompt(
                row.queued.id,
                row.queued.charged_on,
                row.queued.created_at,
                row.state,
                row.failure,
                row.finished_at if row.failure else None,
            )
            for row in rows
            if row.queued.user_id == user_id and row.queued.charged_on >= first
        ]

    def billing_file(self, user_id: UserId) -> BillingFile:
        """What there is on a user."""
        tables = self._database.tables
        customer = tables.customers.get(user_id)
        record, version = tables.subscription_records.get(user_id, Versioned(None, 0))
        money = [
            MoneyLine(event.id, event.money.kind.value, event.money.amount, event.money.currency, event.created_at)
            for event, owner in tables.payment_entries.values()
            if owner == user_id and event.money is not None
        ]
        events = [
            EventLine(
                event_id,
                row.kept.event.type,
                row.kept.state.value,
                row.kept.attempts,
                row.kept.failure,
                row.received_at,
            )
            for event_id, row in tables.payment_events.items()
            if row.user_id == user_id
        ]
        return BillingFile(customer.customer_id if customer else None, record, version, None, money, events)

    def user_of(self, phone_or_id: str) -> UserId | None:
        """The user with this number or id."""
        users = self._database.tables.users.values()
        return next((user.id for user in users if phone_or_id in {user.phone.e164, str(user.id)}), None)
