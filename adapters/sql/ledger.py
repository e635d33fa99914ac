"""Charges, refunds and payment events in PostgreSQL, for users and operators to look at."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from adapters.sql.billing import RECORD_COLUMNS, owed_from, record_from
from adapters.sql.database import Database
from adapters.sql.usage import TODAY
from application.ports.billing_work import OwedRefund
from application.ports.ledger import BillingFile, ChargedPrompt, DayOfUse, EventLine, Ledger, MoneyLine
from domain.accounts import UserId
from domain.replies import FailureReason, ReplyState

DAYS = f"""
SELECT day, used, refunded FROM daily_usage
WHERE user_id = %(user_id)s AND day > {TODAY} - %(days)s
ORDER BY day DESC
"""  # noqa: S608
# Uses the indexes of chatrooms and messages: replies have none by user, and this is asked too rarely to need one.
PROMPTS = f"""
SELECT r.id AS reply_id, r.charged_on AS day, r.created_at AS charged_at, r.state, r.failure, r.refunded_at
FROM chatrooms c JOIN messages m ON m.chatroom_id = c.id JOIN replies r ON r.message_id = m.id
WHERE c.user_id = %(user_id)s AND r.charged_on > {TODAY} - %(days)s
ORDER BY r.id DESC
"""  # noqa: S608
BILLING_FILE = f"""
SELECT c.customer_id, COALESCE(s.version, 0) AS version, s.synced_at, {RECORD_COLUMNS}
FROM users u
LEFT JOIN customers c ON c.user_id = u.id
LEFT JOIN subscriptions s ON s.user_id = u.id
WHERE u.id = %(user_id)s
"""  # noqa: S608
MONEY = """
SELECT event_id, kind, amount, currency, occurred_at FROM payment_entries
WHERE user_id = %(user_id)s ORDER BY occurred_at DESC
"""
LAST_EVENTS = """
SELECT event_id, type, state, attempts, failure, received_at FROM payment_events
WHERE user_id = %(user_id)s ORDER BY received_at DESC LIMIT 20
"""
REFUNDS_OWED = """
SELECT reference, customer_id, state, noted_at FROM refunds_owed WHERE state <> 'settled' ORDER BY noted_at, reference
"""
USER_BY_PHONE = "SELECT id FROM users WHERE phone = %(phone)s"
USER_BY_ID = "SELECT id FROM users WHERE id = %(id)s"


class SqlLedger(Ledger):
    def __init__(self, database: Database) -> None:
        self._database = database

    def days(self, user_id: UserId, *, days: int) -> Sequence[DayOfUse]:
        return [DayOfUse._make(row) for row in self._rows(DAYS, user_id=user_id, days=days)]

    def prompts(self, user_id: UserId, *, days: int) -> Sequence[ChargedPrompt]:
        return [
            ChargedPrompt(
                reply_id, day, charged_at, ReplyState(state), FailureReason(failure) if failure else None, refunded_at
            )
            for reply_id, day, charged_at, state, failure, refunded_at in self._rows(
                PROMPTS, user_id=user_id, days=days
            )
        ]

    def billing_file(self, user_id: UserId) -> BillingFile:
        rows = self._rows(BILLING_FILE, user_id=user_id)
        customer_id, version, synced_at, *record = rows[0] if rows else (None, 0, None)
        return BillingFile(
            customer_id,
            record_from(record) if version else None,
            version,
            synced_at,
            [MoneyLine._make(row) for row in self._rows(MONEY, user_id=user_id)],
            [EventLine._make(row) for row in self._rows(LAST_EVENTS, user_id=user_id)],
        )

    def refunds_owed(self) -> Sequence[OwedRefund]:
        return [owed_from(row) for row in self._rows(REFUNDS_OWED)]

    def user_of(self, phone_or_id: str) -> UserId | None:
        rows = self._rows(USER_BY_PHONE, phone=phone_or_id)
        if not rows:
            try:
                rows = self._rows(USER_BY_ID, id=UUID(phone_or_id))
            except ValueError:
                return None
        return UserId(rows[0][0]) if rows else None

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._database.rows(statement, values)
