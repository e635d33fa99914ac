"""Customers, checkouts, subscriptions and payment events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from adapters.memory.tables import CustomerRow, ErasedCustomerRow, EventRow, LeaverRow, OwedRow, Tables
from adapters.memory.transaction import Repository, writes
from application.ports.billing_work import (
    BillingWork,
    Checkouts,
    Customer,
    Customers,
    KeptCheckout,
    KeptEvent,
    Leavers,
    OwedRefund,
    PaymentInbox,
    ProviderAccounts,
    RefundsOwed,
    Subscriptions,
    Versioned,
)
from application.ports.payments import Order
from domain.accounts import UserId
from domain.billing import (
    ENDED,
    MAY_HAVE_BOUGHT_FOR,
    CheckoutId,
    CustomerId,
    InboxState,
    Mode,
    OwedState,
    PaymentEvent,
    RetryEvents,
    Subscription,
    SubscriptionRecord,
    SubscriptionStatus,
    has_lapsed,
)

# What settles for good. A failed event may still be settled by the next delivery or by a replay.
SETTLED = frozenset({InboxState.DONE, InboxState.IGNORED})


def subscription_at(tables: Tables, user_id: UserId, now: datetime) -> Subscription | None:
    """A user's subscription as it stands at a moment."""
    subscription = tables.subscriptions.get(user_id)
    kept = tables.subscription_records.get(user_id)
    if subscription is None or kept is None or kept.record is None:
        return subscription
    lapsed = has_lapsed(kept.record.current_period_end, tables.synced_at.get(user_id), now)
    return replace(subscription, in_grace=kept.record.at(now).in_grace, lapsed=lapsed)


def granted_until(tables: Tables, user_id: UserId, now: datetime) -> datetime | None:
    """The end of the grant of Pro that holds at a moment."""
    user = tables.users.get(user_id)
    until = user.pro_until if user else None
    return until if until is not None and until > now else None


class MemoryCustomers(Repository, Customers):
    def of(self, user_id: UserId, *, mode: Mode | None = None) -> CustomerId | None:
        row = self._tables.customers.get(user_id)
        return row.customer_id if row and not _is_foreign(row, mode) else None

    def owner(self, customer_id: CustomerId) -> UserId | None:
        rows = self._tables.customers.items()
        return next((user_id for user_id, row in rows if row.customer_id == customer_id), None)

    @writes
    def add(
        self,
        user_id: UserId,
        customer_id: CustomerId,
        *,
        mode: Mode | None = None,
        instead_of: CustomerId | None = None,
    ) -> CustomerId | None:
        if user_id not in self._tables.users:
            return None
        row = self._tables.customers.get(user_id)
        if row is None or row.customer_id == instead_of or _is_foreign(row, mode):
            row = self._tables.customers[user_id] = CustomerRow(customer_id, mode=mode)
        return row.customer_id

    def is_erased(self, customer_id: CustomerId) -> bool:
        return customer_id in self._tables.erased_customers

    @writes
    def take_erased(self, *, erased_since: datetime, since: datetime, limit: int) -> Sequence[CustomerId]:
        due = [
            (row.erased_at, customer_id)
            for customer_id, row in self._tables.erased_customers.items()
            if row.erased_at > erased_since and (row.checked_at is None or row.checked_at < since)
        ]
        taken = [customer_id for _, customer_id in sorted(due)[:limit]]
        for customer_id in taken:
            row = self._tables.erased_customers[customer_id]
            self._tables.erased_customers[customer_id] = replace(row, checked_at=max(self._now, since))
        return taken

    @writes
    def take_unreconciled(
        self, *, since: datetime, limit: int, idle_since: datetime | None = None, mode: Mode | None = None
    ) -> Sequence[Customer]:
        never = datetime.min.replace(tzinfo=UTC)
        due = sorted(
            (row.reconciled_at or never, user_id)
            for user_id, row in self._tables.customers.items()
            if (row.reconciled_at is None or row.reconciled_at < self._since(user_id, since, idle_since or since))
            and not _is_foreign(row, mode)
        )
        taken = []
        for _, user_id in due[:limit]:
            row = replace(self._tables.customers[user_id], reconciled_at=max(self._now, since))
            self._tables.customers[user_id] = row
            taken.append(Customer(user_id, row.customer_id))
        return taken

    def _since(self, user_id: UserId, since: datetime, idle_since: datetime) -> datetime:
        subscription = self._tables.subscriptions.get(user_id)
        checkout = self._tables.checkouts.get(user_id)
        runs = subscription is not None and subscription.status not in ENDED
        may_have_bought = checkout is not None and self._now - checkout.begun_at < MAY_HAVE_BOUGHT_FOR
        return since if runs or may_have_bought else min(since, idle_since)

    @writes
    def retire(self, mode: Mode) -> int:
        retired = 0
        for user_id, row in self._tables.customers.items():
            subscription = self._tables.subscriptions.get(user_id)
            if not _is_foreign(row, mode) or subscription is None or subscription.status in ENDED:
                continue
            record, version = self._tables.subscription_records.get(user_id, Versioned(None, 0))
            ended = {"status": SubscriptionStatus.CANCELED, "cancel_at_period_end": False}
            self._tables.subscriptions[user_id] = replace(subscription, **ended)  # type: ignore[arg-type]
            if record is not None:
                self._tables.subscription_records[user_id] = Versioned(record.forgotten(), version + 1)
            self._tables.customers[user_id] = replace(row, reconciled_at=None)
            retired += 1
        return retired

    @writes
    def reconcile_again(self, user_id: UserId) -> None:
        row = self._tables.customers.get(user_id)
        if row is not None:
            self._tables.customers[user_id] = replace(row, reconciled_at=None)


class MemoryLeavers(Repository, Leavers):
    @writes
    def note(self, user_id: UserId) -> None:
        self._tables.leavers.setdefault(user_id, LeaverRow(self._now))

    @writes
    def take(self, *, since: datetime, limit: int) -> Sequence[UserId]:
        due = [
            (row.left_at, user_id)
            for user_id, row in self._tables.leavers.items()
            if user_id not in self._tables.users and (row.searched_at is None or row.searched_at < since)
        ]
        taken = [user_id for _, user_id in sorted(due)[:limit]]
        for user_id in taken:
            self._tables.leavers[user_id] = replace(self._tables.leavers[user_id], searched_at=max(self._now, since))
        return taken

    @writes
    def found(self, user_id: UserId, customers: Sequence[CustomerId]) -> None:
        for customer_id in customers:
            self._tables.erased_customers.setdefault(customer_id, ErasedCustomerRow(self._now))
        self._tables.leavers.pop(user_id, None)


class MemoryProviderAccounts(Repository, ProviderAccounts):
    @writes
    def remember(self, mode: Mode, account: str) -> str:
        return self._tables.provider_accounts.setdefault(mode, account)

    @writes
    def change(self, mode: Mode, account: str) -> None:
        self._tables.provider_accounts[mode] = account


class MemoryCheckouts(Repository, Checkouts):
    def current(self, user_id: UserId) -> KeptCheckout | None:
        return self._tables.checkouts.get(user_id)

    @writes
    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout | None:
        if order.user_id not in self._tables.users:
            return None
        current = self._tables.checkouts.get(order.user_id)
        if current is None or current.order.attempt_id == instead_of:
            self._tables.checkouts[order.user_id] = KeptCheckout(order, self._now, None, closed=False)
        return self._tables.checkouts[order.user_id]

    @writes
    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> bool:
        for user_id, row in self._tables.checkouts.items():
            if row.order.attempt_id == attempt_id:
                self._tables.checkouts[user_id] = replace(row, checkout_id=checkout_id)
                return True
        return False

    @writes
    def abandon(self, user_id: UserId) -> None:
        row = self._tables.checkouts.get(user_id)
        if row is not None and row.checkout_id is None:
            del self._tables.checkouts[user_id]

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
        self._tables.synced_at[user_id] = self._now
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
        money = event.money
        if money is None or event.id in self._tables.payment_entries:
            return
        entries = [entry.money for entry, _ in self._tables.payment_entries.values() if entry.money is not None]
        known = [one for one in entries if one.object_id == money.object_id]
        more = max(money.amount - sum(one.amount for one in known), 0)
        if more or money.kind not in {one.kind for one in known}:
            entry = replace(event, money=replace(money, amount=more))
            self._tables.payment_entries[event.id] = (entry, user_id)

    def has_ignored(self, customer_id: CustomerId) -> bool:
        return any(
            row.kept.event.customer_id == customer_id and row.kept.state is InboxState.IGNORED
            for row in self._tables.payment_events.values()
        )

    @writes
    def purge_before(self, moment: datetime, *, limit: int) -> int:
        old = [
            event_id
            for event_id, row in self._tables.payment_events.items()
            if row.received_at < moment and row.kept.state is not InboxState.PENDING
        ][:limit]
        for event_id in old:
            del self._tables.payment_events[event_id]
        return len(old)


class MemoryRefundsOwed(Repository, RefundsOwed):
    @writes
    def note(self, reference: str, customer_id: CustomerId | None, *, state: OwedState = OwedState.DUE) -> None:
        known = self._tables.refunds_owed.get(reference)
        if known is None or known.state is OwedState.SETTLED:
            self._tables.refunds_owed[reference] = OwedRow(reference, customer_id, state, self._now, self._now)

    @writes
    def take_due(self, *, limit: int, wait: timedelta) -> Sequence[OwedRefund]:
        due = sorted(
            (row.due_at, row.reference)
            for row in self._tables.refunds_owed.values()
            if row.state is OwedState.DUE and row.due_at <= self._now
        )
        taken = [replace(self._tables.refunds_owed[key], due_at=self._now + wait) for _, key in due[:limit]]
        self._tables.refunds_owed.update({row.reference: row for row in taken})
        return [OwedRefund(row.reference, row.customer_id, row.state, row.noted_at) for row in taken]

    @writes
    def become(self, reference: str, state: OwedState) -> None:
        row = self._tables.refunds_owed.get(reference)
        if row is not None:
            self._tables.refunds_owed[reference] = replace(row, state=state)


class MemoryBilling(Repository, BillingWork):
    @cached_property
    def customers(self) -> MemoryCustomers:
        return MemoryCustomers(self._transaction)

    @cached_property
    def leavers(self) -> MemoryLeavers:
        return MemoryLeavers(self._transaction)

    @cached_property
    def accounts(self) -> MemoryProviderAccounts:
        return MemoryProviderAccounts(self._transaction)

    @cached_property
    def checkouts(self) -> MemoryCheckouts:
        return MemoryCheckouts(self._transaction)

    @cached_property
    def subscriptions(self) -> MemorySubscriptions:
        return MemorySubscriptions(self._transaction)

    @cached_property
    def inbox(self) -> MemoryPaymentInbox:
        return MemoryPaymentInbox(self._transaction)

    @cached_property
    def refunds_owed(self) -> MemoryRefundsOwed:
        return MemoryRefundsOwed(self._transaction)


def _is_foreign(row: CustomerRow, mode: Mode | None) -> bool:
    return mode is not None and row.mode in mode.foreign
