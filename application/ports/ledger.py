"""What was charged, given back and refused, to be looked at."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple, Protocol

from domain.accounts import UserId
from domain.billing import CustomerId, SubscriptionRecord
from domain.replies import FailureReason, ReplyId, ReplyState


class DayOfUse(NamedTuple):
    """A UTC day: prompts that count, and those that were charged and given back."""

    day: date
    used: int
    refunded: int


class ChargedPrompt(NamedTuple):
    """A prompt that was charged, what became of it, and when it was given back."""

    reply_id: ReplyId
    day: date
    charged_at: datetime
    state: ReplyState
    failure: FailureReason | None
    refunded_at: datetime | None


class MoneyLine(NamedTuple):
    """Money that went back, or may, by what event."""

    event_id: str
    kind: str
    amount: int
    currency: str
    occurred_at: datetime


class EventLine(NamedTuple):
    """An event of the provider, and what became of it."""

    event_id: str
    type: str
    state: str
    attempts: int
    failure: str | None
    received_at: datetime


class BillingFile(NamedTuple):
    """What there is on a user at the payment provider."""

    customer_id: CustomerId | None
    record: SubscriptionRecord | None
    version: int
    synced_at: datetime | None
    money: Sequence[MoneyLine]
    events: Sequence[EventLine]


class Ledger(Protocol):
    """The questions of users and operators. DependencyDown("database") when the database does not answer."""

    def days(self, user_id: UserId, *, days: int) -> Sequence[DayOfUse]:
        """The last ``days`` UTC days on which something was charged, today included, newest first."""

    def prompts(self, user_id: UserId, *, days: int) -> Sequence[ChargedPrompt]:
        """The charged prompts of the last ``days`` UTC days, newest first, as far as their chatroom still exists."""

    def billing_file(self, user_id: UserId) -> BillingFile:
        """Customer, subscription, money and the last events of a user."""

    def user_of(self, phone_or_id: str) -> UserId | None:
        """The user with a mobile number in E.164 form, or with an id."""
