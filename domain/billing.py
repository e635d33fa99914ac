"""Subscriptions, and when they make a user Pro."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.plans import Plan


class SubscriptionStatus(StrEnum):
    """Stripe's subscription statuses (docs.stripe.com/api/subscriptions/object#subscription_object-status)."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"


PAID_FOR = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})


@dataclass(frozen=True, slots=True)
class Subscription:
    """What our table says of a user's subscription at the payment provider."""

    status: SubscriptionStatus
    current_period_end: datetime | None
    cancel_at_period_end: bool

    @property
    def plan(self) -> Plan:
        """Pro while it is paid for; Basic otherwise."""
        return Plan.PRO if self.status in PAID_FOR else Plan.BASIC
