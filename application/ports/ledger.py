"""Queries of what was charged and refunded."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from application.ports.billing_work import OwedRefund
from domain.accounts import UserId
from domain.billing import CustomerId, SubscriptionRecord
from domain.replies import FailureReason, ReplyId, ReplyState


class DayOfUse(NamedTuple):
    """A UTC day. ``used``: prompts charged and not refunded."""

    day: date
    used: int
    refunded: int


class ChargedPrompt(NamedTuple):
    """A charged prompt with the state of its reply. ``refunded_at`` None: not refunded."""

    reply_id: ReplyId
    day: date
    charged_at: datetime
    state: ReplyState
    failure: FailureReason | None
    refunded_at: datetime | None


class MoneyLine(NamedTuple):
    """An entry of the payment ledger: a refund or a stage of a dispute."""

    event_id: str
    kind: str
    amount: int
    currency: str
    occurred_at: datetime


class EventLine(NamedTuple):
    """An event of the payment provider and its state in the inbox."""

    event_id: str
    type: str
    state: str
    attempts: int
    failure: str | None
    received_at: datetime


class BillingFile(NamedTuple):
    """What our tables have of a user's payments."""

    customer_id: CustomerId | None
    record: SubscriptionRecord | None
    version: int
    synced_at: datetime | None
    money: Sequence[MoneyLine]
    events: Sequence[EventLine]


class Ledger(Protocol):
    """Every method raises DependencyDown("database") when the database does not answer."""

    def days(self, user_id: UserId, *, days: int) -> Sequence[DayOfUse]:
        """The last ``days`` UTC days on which something was charged, today included, newest first."""

    def prompts(self, user_id: UserId, *, days: int) -> Sequence[ChargedPrompt]:
        """The charged prompts of the last ``days`` UTC days, newest first, as far as their chatroom still exists."""

    def billing_file(self, user_id: UserId) -> BillingFile:
        """Of the events, only the latest ones."""

    def user_of(self, phone_or_id: str) -> UserId | None:
        """The user with a mobile number in E.164 form, or with an id."""

    def refunds_owed(self) -> Sequence[OwedRefund]:
        """The refunds that are owed and not made, of all users, oldest first."""
