"""Subscriptions and grants of Pro in PostgreSQL: the SQL that reads them."""

from collections.abc import Sequence
from typing import Any

from domain.billing import UNCONFIRMED_FOR, Subscription, SubscriptionStatus

# The database's clock decides, at the moment of reading.
IN_GRACE = "COALESCE(now() < grace_ends_at, false)"

# domain.billing.has_lapsed
LAPSED = f"""COALESCE(GREATEST(synced_at, current_period_end) + interval '{UNCONFIRMED_FOR.days} days' < now(), false)
AND synced_at IS NOT NULL"""

# Named after the fields of Subscription, in their order.
SUBSCRIPTION_COLUMNS = f"""
status, current_period_end, cancel_at_period_end, price_is_ours, {IN_GRACE} AS in_grace, ({LAPSED}) AS lapsed
"""

# The same rule as Subscription.plan, for statements that decide by it; contract tests hold the two together.
IS_PRO = f"""
price_is_ours AND NOT ({LAPSED}) AND (status IN ('active', 'trialing') OR status = 'past_due' AND {IN_GRACE})
"""


def subscription_from(row: Sequence[Any] | None) -> Subscription | None:
    """The subscription of SUBSCRIPTION_COLUMNS. None where there is no row, or an outer join found none."""
    if row is None or row[0] is None:
        return None
    status, *others = row
    return Subscription(SubscriptionStatus(status), *others)


# Of the table users, here as u: an operator's grant of Pro, as long as it holds.
GRANTED_UNTIL = "CASE WHEN u.pro_until > now() THEN u.pro_until END AS granted_until"
