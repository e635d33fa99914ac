"""The payment ledger, as users and operators read it."""

from collections.abc import Sequence
from datetime import UTC, timedelta

from adapters.memory.tables import MemoryDatabase
from application.ports.billing_work import OwedRefund, Versioned
from application.ports.ledger import BillingFile, ChargedPrompt, DayOfUse, EventLine, Ledger, MoneyLine
from domain.accounts import UserId
from domain.billing import OwedState


class MemoryLedger(Ledger):
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    def days(self, user_id: UserId, *, days: int) -> Sequence[DayOfUse]:
        tables = self._database.tables
        first = self._database.clock().astimezone(UTC).date() - timedelta(days=days - 1)
        used = {day: count for (owner, day), count in tables.daily_usage.items() if owner == user_id and day >= first}
        return [
            DayOfUse(day, used[day], tables.daily_refunds.get((user_id, day), 0)) for day in sorted(used, reverse=True)
        ]

    def prompts(self, user_id: UserId, *, days: int) -> Sequence[ChargedPrompt]:
        first = self._database.clock().astimezone(UTC).date() - timedelta(days=days - 1)
        rows = sorted(self._database.tables.replies.values(), key=lambda row: row.queued.id, reverse=True)
        return [
            ChargedPrompt(
                row.queued.id,
                row.queued.charged_on,
                row.queued.created_at,
                row.state,
                row.failure,
                row.refunded_at,
            )
            for row in rows
            if row.queued.user_id == user_id and row.queued.charged_on >= first
        ]

    def billing_file(self, user_id: UserId) -> BillingFile:
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

    def refunds_owed(self) -> Sequence[OwedRefund]:
        rows = sorted(self._database.tables.refunds_owed.values(), key=lambda row: (row.noted_at, row.reference))
        return [
            OwedRefund(row.reference, row.customer_id, row.state, row.noted_at)
            for row in rows
            if row.state is not OwedState.SETTLED
        ]

    def user_of(self, phone_or_id: str) -> UserId | None:
        users = self._database.tables.users.values()
        return next((user.id for user in users if phone_or_id in {user.phone.e164, str(user.id)}), None)
