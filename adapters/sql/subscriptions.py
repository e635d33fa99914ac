"""Subscriptions in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from domain.billing import Subscription, SubscriptionStatus
from domain.plans import Plan

# Whether the grace is over is the database's clock to say, at the moment of reading.
SUBSCRIPTION_COLUMNS = (
    "status, current_period_end, cancel_at_period_end, price_is_ours, COALESCE(now() < grace_ends_at, false)"
)

# The same rule as Subscription.plan, for statements that decide by it; the contracts hold the two together.
IS_PRO = """price_is_ours AND (status IN ('active', 'trialing')
    OR status = 'past_due' AND COALESCE(now() < grace_ends_at, false))"""


def subscription_from(row: Sequence[Any] | None) -> Subscription | None:
    """The subscription of a row of ``SUBSCRIPTION_COLUMNS``; None where there is no row or an outer join found none."""
    if row is None or row[0] is None:
        return None
    return Subscription(
        status=SubscriptionStatus(row[0]),
        current_period_end=row[1],
        cancel_at_period_end=row[2],
        price_is_ours=row[3],
        in_grace=row[4],
    )


def plan_of(subscription: Subscription | None) -> Plan:
    """The plan that a subscription, or having none, gives."""
    return Plan.BASIC if subscription is None else subscription.plan
