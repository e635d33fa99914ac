"""Customers, checkouts, subscriptions and payment events in PostgreSQL. All times are those of the database's clock.

Columns have the names of the fields they become, in the same order (tests/integration/test_rows.py).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from psycopg2.extensions import cursor as Cursor  # noqa: N812

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
    MAY_HAVE_BOUGHT_FOR,
    CheckoutId,
    Concern,
    CustomerId,
    InboxState,
    Mode,
    Money,
    MoneyKind,
    OwedState,
    PaymentEvent,
    RetryEvents,
    SubscriptionId,
    SubscriptionRecord,
    SubscriptionStatus,
)

CUSTOMER_OF = """
SELECT customer_id FROM customers
WHERE user_id = %(user_id)s AND (mode IS NULL OR NOT mode = ANY(%(foreign)s))
"""
OWNER_OF = "SELECT user_id FROM customers WHERE customer_id = %(customer_id)s"
REPLACE_CUSTOMER = """
UPDATE customers SET customer_id = %(customer_id)s, mode = %(mode)s, created_at = now(), reconciled_at = NULL
WHERE user_id = %(user_id)s AND (customer_id = %(instead_of)s OR mode = ANY(%(foreign)s))
"""
# The user is locked: an erasure either finds the row, or has removed the user before. So it comes before
# REPLACE_CUSTOMER. FOR NO KEY UPDATE, so that concurrent calls take turns: of two that found no row of the user at the
# same moment the second would fail, since the customer is there already.
ADD_CUSTOMER = """
INSERT INTO customers (user_id, customer_id, mode, created_at)
SELECT id, %(customer_id)s, %(mode)s, now() FROM users WHERE id = %(user_id)s FOR NO KEY UPDATE
ON CONFLICT (user_id) DO NOTHING
"""
IS_ERASED = "SELECT 1 FROM erased_customers WHERE customer_id = %(customer_id)s"
TAKE_ERASED = """
WITH due AS MATERIALIZED (
    SELECT customer_id AS id FROM erased_customers
    WHERE erased_at > %(erased_since)s AND (checked_at IS NULL OR checked_at < %(since)s)
    ORDER BY erased_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE erased_customers SET checked_at = GREATEST(now(), %(since)s) FROM due WHERE customer_id = due.id
RETURNING customer_id
"""
NOTE_LEAVER = """
INSERT INTO leavers (user_id, left_at) VALUES (%(user_id)s, now()) ON CONFLICT (user_id) DO NOTHING
"""
TAKE_LEAVERS = """
WITH due AS MATERIALIZED (
    SELECT user_id AS id FROM leavers
    WHERE (searched_at IS NULL OR searched_at < %(since)s)
      AND NOT EXISTS (SELECT 1 FROM users WHERE users.id = leavers.user_id)
    ORDER BY left_at, user_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE leavers SET searched_at = GREATEST(now(), %(since)s) FROM due WHERE user_id = due.id
RETURNING user_id
"""
ADD_ERASED = """
INSERT INTO erased_customers (customer_id, erased_at) SELECT unnest(%(customer_ids)s::text[]), now()
ON CONFLICT (customer_id) DO NOTHING
"""
FORGET_LEAVER = "DELETE FROM leavers WHERE user_id = %(user_id)s"
REMEMBER_ACCOUNT = """
INSERT INTO provider_accounts (mode, account) VALUES (%(mode)s, %(account)s) ON CONFLICT (mode) DO NOTHING
"""
ACCOUNT_OF = "SELECT account FROM provider_accounts WHERE mode = %(mode)s"
CHANGE_ACCOUNT = """
INSERT INTO provider_accounts (mode, account) VALUES (%(mode)s, %(account)s)
ON CONFLICT (mode) DO UPDATE SET account = EXCLUDED.account
"""
# GREATEST: a caller whose clock is ahead of the database's would get the same customers again and again.
TAKE_UNRECONCILED = """
WITH due AS MATERIALIZED (
    SELECT user_id FROM customers AS c
    WHERE (reconciled_at IS NULL OR reconciled_at < %(since)s)
      AND (mode IS NULL OR NOT mode = ANY(%(foreign)s))
      AND (
        reconciled_at IS NULL OR reconciled_at < %(idle_since)s
        OR EXISTS (
            SELECT 1 FROM subscriptions
            WHERE user_id = c.user_id AND status NOT IN ('canceled', 'incomplete_expired')
        )
        OR EXISTS (
            SELECT 1 FROM checkouts
            WHERE user_id = c.user_id AND begun_at > now() - %(may_have_bought)s
        )
      )
    ORDER BY reconciled_at NULLS FIRST, user_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE customers SET reconciled_at = GREATEST(now(), %(since)s) FROM due WHERE customers.user_id = due.user_id
RETURNING customers.user_id, customers.customer_id
"""
RETIRE = """
WITH retired AS (
    UPDATE subscriptions
    SET status = 'canceled', cancel_at_period_end = false, grace_ends_at = NULL, version = version + 1
    FROM customers
    WHERE customers.user_id = subscriptions.user_id AND customers.mode = ANY(%(foreign)s)
      AND status NOT IN ('canceled', 'incomplete_expired')
    RETURNING subscriptions.user_id
)
UPDATE customers SET reconciled_at = NULL FROM retired WHERE customers.user_id = retired.user_id
"""
RECONCILE_AGAIN = "UPDATE customers SET reconciled_at = NULL WHERE user_id = %(user_id)s"

CHECKOUT_OF = """
SELECT attempt_id, user_id, price_id, success_url, cancel_url, begun_at, checkout_id, closed_at IS NOT NULL AS closed
FROM checkouts WHERE user_id = %(user_id)s
"""
# Check and write are one statement: of concurrent orders in place of the same attempt only the first is written.
BEGIN_CHECKOUT = """
INSERT INTO checkouts (user_id, attempt_id, price_id, success_url, cancel_url, begun_at)
SELECT id, %(attempt_id)s, %(price_id)s, %(success_url)s, %(cancel_url)s, now()
FROM users WHERE id = %(user_id)s FOR KEY SHARE
ON CONFLICT (user_id) DO UPDATE
SET attempt_id = EXCLUDED.attempt_id, price_id = EXCLUDED.price_id, success_url = EXCLUDED.success_url,
    cancel_url = EXCLUDED.cancel_url, begun_at = EXCLUDED.begun_at, checkout_id = NULL, closed_at = NULL
WHERE checkouts.attempt_id = %(instead_of)s
"""
CHECKOUT_OPENED = "UPDATE checkouts SET checkout_id = %(checkout_id)s WHERE attempt_id = %(attempt_id)s"
ABANDON_CHECKOUT = "DELETE FROM checkouts WHERE user_id = %(user_id)s AND checkout_id IS NULL"
CLOSE_CHECKOUT = """
UPDATE checkouts SET closed_at = now() WHERE checkout_id = %(checkout_id)s AND closed_at IS NULL
"""
BUYER = "SELECT user_id FROM checkouts WHERE checkout_id = %(checkout_id)s"

RECORD_COLUMNS = """
subscription_id, price_id, status, current_period_end, cancel_at_period_end, price_is_ours, grace_ends_at
"""
GET_SUBSCRIPTION = f"SELECT version, {RECORD_COLUMNS} FROM subscriptions WHERE user_id = %(user_id)s"  # noqa: S608
# One statement for the first version and one for later ones; each writes one row, or none after a concurrent write.
FIRST_SUBSCRIPTION = """
INSERT INTO subscriptions (user_id, subscription_id, price_id, status, current_period_end, cancel_at_period_end,
                           price_is_ours, grace_ends_at, version, synced_at)
SELECT id, %(subscription_id)s, %(price_id)s, %(status)s, %(current_period_end)s, %(cancel_at_period_end)s,
       %(price_is_ours)s, %(grace_ends_at)s, 1, now()
FROM users WHERE id = %(user_id)s FOR KEY SHARE
ON CONFLICT (user_id) DO NOTHING
"""
NEXT_SUBSCRIPTION = """
UPDATE subscriptions
SET subscription_id = %(subscription_id)s, price_id = %(price_id)s, status = %(status)s,
    current_period_end = %(current_period_end)s, cancel_at_period_end = %(cancel_at_period_end)s,
    price_is_ours = %(price_is_ours)s, grace_ends_at = %(grace_ends_at)s, version = version + 1, synced_at = now()
WHERE user_id = %(user_id)s AND version = %(over)s
"""

EVENT_COLUMNS = """
event_id, type, created_at, concern, customer_id, checkout_id, charge_id, named_user, money_kind, amount,
currency, object_id
"""
FIND_EVENT = f"""
SELECT state, attempts, failure, {EVENT_COLUMNS} FROM payment_events WHERE event_id = %(event_id)s
"""  # noqa: S608
ADD_EVENT = f"""
INSERT INTO payment_events (state, failure, user_id, received_at, due_at, settled_at, {EVENT_COLUMNS})
VALUES (%(state)s, %(failure)s, %(user_id)s, now(), now() + %(wait)s, CASE WHEN %(settled)s THEN now() END,
        %(event_id)s, %(type)s, %(created_at)s, %(concern)s, %(customer_id)s, %(checkout_id)s, %(charge_id)s,
        %(named_user)s, %(money_kind)s, %(amount)s, %(currency)s, %(object_id)s)
"""  # noqa: S608
POSTPONE_EVENT = f"{ADD_EVENT} ON CONFLICT (event_id) DO NOTHING"
# Before the event: it refers to the user, and erasure finds it by ``named_user`` where it is there already.
LOCK_USER = "SELECT 1 FROM users WHERE id = %(user_id)s FOR KEY SHARE"
# A second delivery of the same event waits for the first one's transaction, and then finds the event settled.
SETTLE_EVENT = f"""
{ADD_EVENT} ON CONFLICT (event_id) DO UPDATE
SET state = EXCLUDED.state, user_id = EXCLUDED.user_id, settled_at = now(), failure = NULL
WHERE payment_events.state IN ('pending', 'failed')
"""
TAKE_PENDING = f"""
WITH due AS MATERIALIZED (
    SELECT event_id AS id FROM payment_events WHERE state = 'pending' AND due_at <= now()
    ORDER BY due_at, event_id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE payment_events
SET state = CASE WHEN attempts >= %(max_attempts)s THEN 'failed' ELSE state END,
    attempts = LEAST(attempts + 1, %(max_attempts)s),
    due_at = now() + (%(waits)s)[LEAST(attempts + 1, %(max_attempts)s)]
FROM due WHERE payment_events.event_id = due.id
RETURNING state, {EVENT_COLUMNS}
"""  # noqa: S608
NOTE_FAILURE = "UPDATE payment_events SET failure = %(failure)s WHERE event_id = %(event_id)s"
REOPEN_EVENT = f"""
UPDATE payment_events SET state = 'pending', attempts = 0, due_at = now(), settled_at = NULL
WHERE event_id = %(event_id)s RETURNING {EVENT_COLUMNS}
"""  # noqa: S608
# The events of one object take turns, so that each sees what the one before has recorded. Locks of class 2.
TAKE_TURN = "SELECT pg_advisory_xact_lock(2, hashtext(%(object_id)s))"
RECORD_MONEY = """
INSERT INTO payment_entries (event_id, user_id, kind, amount, currency, object_id, occurred_at, recorded_at)
SELECT %(event_id)s, %(user_id)s, %(money_kind)s, GREATEST(%(amount)s - known.amount, 0), %(currency)s, %(object_id)s,
       %(created_at)s, now()
FROM (
    SELECT COALESCE(sum(amount), 0) AS amount, COALESCE(bool_or(kind = %(money_kind)s), false) AS told
    FROM payment_entries WHERE object_id = %(object_id)s
) AS known
WHERE %(amount)s > known.amount OR NOT known.told
ON CONFLICT (event_id) DO NOTHING
"""
HAS_IGNORED = "SELECT 1 FROM payment_events WHERE customer_id = %(customer_id)s AND state = 'ignored' LIMIT 1"
PURGE_EVENTS = """
DELETE FROM payment_events WHERE event_id = ANY (ARRAY(
    SELECT event_id FROM payment_events WHERE received_at < %(moment)s AND state <> 'pending' LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
"""

NOTE_OWED = """
INSERT INTO refunds_owed (reference, customer_id, state, noted_at, due_at)
VALUES (%(reference)s, %(customer_id)s, %(state)s, now(), now())
ON CONFLICT (reference) DO UPDATE SET state = EXCLUDED.state, noted_at = now(), due_at = now()
WHERE refunds_owed.state = 'settled'
"""
TAKE_OWED = """
WITH due AS MATERIALIZED (
    SELECT reference AS id FROM refunds_owed WHERE state = 'due' AND due_at <= now()
    ORDER BY due_at, reference LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE refunds_owed SET due_at = now() + %(wait)s FROM due WHERE reference = due.id
RETURNING reference, customer_id, state, noted_at
"""
OWED_BECOMES = "UPDATE refunds_owed SET state = %(state)s WHERE reference = %(reference)s"


class SqlCustomers(Customers):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def of(self, user_id: UserId, *, mode: Mode | None = None) -> CustomerId | None:
        self._cursor.execute(CUSTOMER_OF, {"user_id": user_id, "foreign": _foreign(mode)})
        row = self._cursor.fetchone()
        return CustomerId(row[0]) if row else None

    def owner(self, customer_id: CustomerId) -> UserId | None:
        self._cursor.execute(OWNER_OF, {"customer_id": customer_id})
        row = self._cursor.fetchone()
        return UserId(row[0]) if row else None

    def add(
        self,
        user_id: UserId,
        customer_id: CustomerId,
        *,
        mode: Mode | None = None,
        instead_of: CustomerId | None = None,
    ) -> CustomerId | None:
        values = {
            "user_id": user_id,
            "customer_id": customer_id,
            "mode": mode.value if mode else None,
            "instead_of": instead_of,
            "foreign": _foreign(mode),
        }
        self._cursor.execute(ADD_CUSTOMER, values)
        self._cursor.execute(REPLACE_CUSTOMER, values)
        return self.of(user_id)

    def is_erased(self, customer_id: CustomerId) -> bool:
        self._cursor.execute(IS_ERASED, {"customer_id": customer_id})
        return self._cursor.fetchone() is not None

    def take_erased(self, *, erased_since: datetime, since: datetime, limit: int) -> Sequence[CustomerId]:
        self._cursor.execute(TAKE_ERASED, {"erased_since": erased_since, "since": since, "limit": limit})
        return [CustomerId(customer_id) for (customer_id,) in self._cursor.fetchall()]

    def take_unreconciled(
        self, *, since: datetime, limit: int, idle_since: datetime | None = None, mode: Mode | None = None
    ) -> Sequence[Customer]:
        values = {
            "since": since,
            "limit": limit,
            "idle_since": idle_since or since,
            "may_have_bought": MAY_HAVE_BOUGHT_FOR,
            "foreign": _foreign(mode),
        }
        self._cursor.execute(TAKE_UNRECONCILED, values)
        return [Customer(UserId(user_id), CustomerId(customer_id)) for user_id, customer_id in self._cursor.fetchall()]

    def retire(self, mode: Mode) -> int:
        self._cursor.execute(RETIRE, {"foreign": _foreign(mode)})
        return self._cursor.rowcount

    def reconcile_again(self, user_id: UserId) -> None:
        self._cursor.execute(RECONCILE_AGAIN, {"user_id": user_id})


class SqlLeavers(Leavers):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def note(self, user_id: UserId) -> None:
        self._cursor.execute(NOTE_LEAVER, {"user_id": user_id})

    def take(self, *, since: datetime, limit: int) -> Sequence[UserId]:
        self._cursor.execute(TAKE_LEAVERS, {"since": since, "limit": limit})
        return [UserId(user_id) for (user_id,) in self._cursor.fetchall()]

    def found(self, user_id: UserId, customers: Sequence[CustomerId]) -> None:
        self._cursor.execute(ADD_ERASED, {"customer_ids": list(customers)})
        self._cursor.execute(FORGET_LEAVER, {"user_id": user_id})


class SqlProviderAccounts(ProviderAccounts):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def remember(self, mode: Mode, account: str) -> str:
        self._cursor.execute(REMEMBER_ACCOUNT, {"mode": mode.value, "account": account})
        self._cursor.execute(ACCOUNT_OF, {"mode": mode.value})
        row = self._cursor.fetchone()
        return str(row[0]) if row else account

    def change(self, mode: Mode, account: str) -> None:
        self._cursor.execute(CHANGE_ACCOUNT, {"mode": mode.value, "account": account})


class SqlCheckouts(Checkouts):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def current(self, user_id: UserId) -> KeptCheckout | None:
        self._cursor.execute(CHECKOUT_OF, {"user_id": user_id})
        row = self._cursor.fetchone()
        if row is None:
            return None
        *order, begun_at, checkout_id, closed = row
        return KeptCheckout(Order(*order), begun_at, checkout_id, closed)

    def begin(self, order: Order, *, instead_of: UUID | None) -> KeptCheckout | None:
        self._cursor.execute(
            BEGIN_CHECKOUT,
            {
                "user_id": order.user_id,
                "attempt_id": order.attempt_id,
                "price_id": order.price_id,
                "success_url": order.success_url,
                "cancel_url": order.cancel_url,
                "instead_of": instead_of,
            },
        )
        return self.current(order.user_id)

    def opened(self, attempt_id: UUID, checkout_id: CheckoutId) -> bool:
        self._cursor.execute(CHECKOUT_OPENED, {"attempt_id": attempt_id, "checkout_id": checkout_id})
        return self._cursor.rowcount == 1

    def abandon(self, user_id: UserId) -> None:
        self._cursor.execute(ABANDON_CHECKOUT, {"user_id": user_id})

    def close(self, checkout_id: CheckoutId) -> None:
        self._cursor.execute(CLOSE_CHECKOUT, {"checkout_id": checkout_id})

    def buyer(self, checkout_id: CheckoutId) -> UserId | None:
        self._cursor.execute(BUYER, {"checkout_id": checkout_id})
        row = self._cursor.fetchone()
        return UserId(row[0]) if row else None


class SqlSubscriptions(Subscriptions):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def get(self, user_id: UserId) -> Versioned:
        self._cursor.execute(GET_SUBSCRIPTION, {"user_id": user_id})
        row = self._cursor.fetchone()
        if row is None:
            return Versioned(None, 0)
        version, *record = row
        return Versioned(record_from(record), version)

    def put(self, user_id: UserId, record: SubscriptionRecord, *, over: int) -> bool:
        self._cursor.execute(
            NEXT_SUBSCRIPTION if over else FIRST_SUBSCRIPTION,
            {
                "user_id": user_id,
                "over": over,
                "subscription_id": record.subscription_id,
                "price_id": record.price_id,
                "status": record.status.value,
                "current_period_end": record.current_period_end,
                "cancel_at_period_end": record.cancel_at_period_end,
                "price_is_ours": record.price_is_ours,
                "grace_ends_at": record.grace_ends_at,
            },
        )
        return self._cursor.rowcount == 1


class SqlPaymentInbox(PaymentInbox):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def find(self, event_id: str) -> KeptEvent | None:
        self._cursor.execute(FIND_EVENT, {"event_id": event_id})
        row = self._cursor.fetchone()
        if row is None:
            return None
        state, attempts, failure, *event = row
        return KeptEvent(_event(event), InboxState(state), attempts, failure)

    def settle(self, event: PaymentEvent, state: InboxState, *, user_id: UserId | None) -> bool:
        values = {"state": state.value, "failure": None, "user_id": user_id, "wait": "0 s", "settled": True}
        if user_id is not None:
            self._cursor.execute(LOCK_USER, values)
        self._cursor.execute(SETTLE_EVENT, values | _columns(event))
        return self._cursor.rowcount == 1

    def postpone(self, event: PaymentEvent, *, failure: str, retry: RetryEvents) -> None:
        values = {"state": InboxState.PENDING.value, "failure": failure, "user_id": None, "settled": False}
        self._cursor.execute(POSTPONE_EVENT, values | {"wait": retry.wait(0)} | _columns(event))

    def take_pending(self, *, limit: int, retry: RetryEvents) -> Sequence[PaymentEvent]:
        values = {"limit": limit, "max_attempts": retry.max_attempts, "waits": retry.waits}
        self._cursor.execute(TAKE_PENDING, values)
        return [_event(event) for state, *event in self._cursor.fetchall() if state == InboxState.PENDING.value]

    def note_failure(self, event_id: str, failure: str) -> None:
        self._cursor.execute(NOTE_FAILURE, {"event_id": event_id, "failure": failure})

    def reopen(self, event_id: str) -> PaymentEvent | None:
        self._cursor.execute(REOPEN_EVENT, {"event_id": event_id})
        row = self._cursor.fetchone()
        return _event(row) if row else None

    def record_money(self, event: PaymentEvent, *, user_id: UserId | None) -> None:
        values = {"user_id": user_id} | _columns(event)
        self._cursor.execute(TAKE_TURN, values)
        self._cursor.execute(RECORD_MONEY, values)

    def has_ignored(self, customer_id: CustomerId) -> bool:
        self._cursor.execute(HAS_IGNORED, {"customer_id": customer_id})
        return self._cursor.fetchone() is not None

    def purge_before(self, moment: datetime, *, limit: int) -> int:
        self._cursor.execute(PURGE_EVENTS, {"moment": moment, "limit": limit})
        return self._cursor.rowcount


class SqlRefundsOwed(RefundsOwed):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def note(self, reference: str, customer_id: CustomerId | None, *, state: OwedState = OwedState.DUE) -> None:
        values = {"reference": reference, "customer_id": customer_id, "state": state.value}
        self._cursor.execute(NOTE_OWED, values)

    def take_due(self, *, limit: int, wait: timedelta) -> Sequence[OwedRefund]:
        self._cursor.execute(TAKE_OWED, {"limit": limit, "wait": wait})
        return [owed_from(row) for row in self._cursor.fetchall()]

    def become(self, reference: str, state: OwedState) -> None:
        self._cursor.execute(OWED_BECOMES, {"reference": reference, "state": state.value})


class SqlBilling(BillingWork):
    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @cached_property
    def customers(self) -> SqlCustomers:
        return SqlCustomers(self._cursor)

    @cached_property
    def leavers(self) -> SqlLeavers:
        return SqlLeavers(self._cursor)

    @cached_property
    def accounts(self) -> SqlProviderAccounts:
        return SqlProviderAccounts(self._cursor)

    @cached_property
    def checkouts(self) -> SqlCheckouts:
        return SqlCheckouts(self._cursor)

    @cached_property
    def subscriptions(self) -> SqlSubscriptions:
        return SqlSubscriptions(self._cursor)

    @cached_property
    def inbox(self) -> SqlPaymentInbox:
        return SqlPaymentInbox(self._cursor)

    @cached_property
    def refunds_owed(self) -> SqlRefundsOwed:
        return SqlRefundsOwed(self._cursor)


def _foreign(mode: Mode | None) -> list[str]:
    return [] if mode is None else sorted(one.value for one in mode.foreign)


def owed_from(row: Sequence[Any]) -> OwedRefund:
    reference, customer_id, state, noted_at = row
    return OwedRefund(reference, customer_id, OwedState(state), noted_at)


def record_from(row: Sequence[Any]) -> SubscriptionRecord:
    """The record of RECORD_COLUMNS."""
    subscription_id, price_id, status, period_end, cancel, ours, grace_ends_at = row
    return SubscriptionRecord(
        subscription_id=SubscriptionId(subscription_id or ""),
        price_id=price_id,
        status=SubscriptionStatus(status),
        current_period_end=period_end,
        cancel_at_period_end=cancel,
        price_is_ours=ours,
        grace_ends_at=grace_ends_at,
    )


def _columns(event: PaymentEvent) -> dict[str, Any]:
    money = event.money
    return {
        "event_id": event.id,
        "type": event.type,
        "created_at": event.created_at,
        "concern": event.concern.value,
        "customer_id": event.customer_id,
        "checkout_id": event.checkout_id,
        "charge_id": event.charge_id,
        "named_user": event.named_user,
        "money_kind": money.kind.value if money else None,
        "amount": money.amount if money else None,
        "currency": money.currency if money else None,
        "object_id": money.object_id if money else None,
    }


def _event(row: Sequence[Any]) -> PaymentEvent:
    event_id, kind, created_at, concern, customer_id, checkout_id, charge_id, named_user, money_kind, *money = row
    return PaymentEvent(
        id=event_id,
        type=kind,
        created_at=created_at,
        concern=Concern(concern),
        customer_id=customer_id,
        checkout_id=checkout_id,
        charge_id=charge_id,
        named_user=named_user,
        money=Money(MoneyKind(money_kind), *money) if money_kind else None,
    )
