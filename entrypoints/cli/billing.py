"""The commands that keep billing true, or explain it. They print one JSON document each, for people and for jq."""

import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from application.background_use_cases import BillingMaintenance
from application.billing.ledger import Explanation
from domain.billing import SubscriptionRecord
from domain.errors import DependencyDown
from domain.plans import Plan

EXIT_FAILED = 1


def reconcile(billing: BillingMaintenance, *, from_stripe: bool = False) -> int:
    """Compare every customer with the provider; print what was healed.

    ``from_stripe``: the provider's customers are linked first, by the user ids that we wrote into their metadata.
    """
    began = datetime.now(UTC)
    compared, failed, healed, linked = 0, 0, [], []
    try:
        if from_stripe:
            linked = list(billing.link_customers())
        billing.retire_modes()
        while (done := billing.reconcile(since=began)).compared:
            compared += done.compared
            failed += done.failed
            healed += [
                {
                    "userId": one.user_id,
                    "before": _record(one.synced.before),
                    "after": _record(one.synced.after),
                    "endedDuplicates": list(one.synced.ended),
                }
                for one in done.corrected
            ]
    except DependencyDown as down:
        _print({"compared": compared, "healed": healed, "stoppedBecauseDown": down.dependency})
        return EXIT_FAILED
    more = ({"linked": linked} if from_stripe else {}) | ({"failed": failed} if failed else {})
    _print({"compared": compared, "healed": healed, **more})
    return 0


def stripe_account(billing: BillingMaintenance, *, accept: bool) -> int:
    """Print the account of the key and ours; they differ when the key is one of another account."""
    try:
        found = billing.show_account(accept=accept)
    except DependencyDown as down:
        _print({"stoppedBecauseDown": down.dependency})
        return EXIT_FAILED
    _print({"accountOfKey": found.of_key, "ours": found.ours})
    return 0 if found.of_key == found.ours else EXIT_FAILED


def refunds(billing: BillingMaintenance) -> int:
    """Print the refunds that are owed; an operator pays back those that were refused or have failed."""
    owed = [_members(line) for line in billing.show_owed()]
    _print({"owed": owed})
    return EXIT_FAILED if owed else 0


def replay(billing: BillingMaintenance, event_id: str) -> int:
    """Have an event take effect once more; print what became of it."""
    try:
        state = billing.replay(event_id=event_id)
    except DependencyDown as down:
        _print({"event": event_id, "state": "pending", "waitsFor": down.dependency})
        return EXIT_FAILED
    if state is None:
        return _unknown("No such event has arrived.")
    _print({"event": event_id, "state": state.value})
    return 0


def explain(billing: BillingMaintenance, phone_or_id: str, *, days: int) -> int:
    """Print all there is to say about a user's plan and quota."""
    found = billing.explain(phone_or_id=phone_or_id, days=days)
    if found is None:
        return _unknown("There is no such user.")
    _print(
        {
            "userId": found.user_id,
            "plan": found.plan_status.plan.value,
            "because": why(found),
            "today": found.plan_status.quota,
            "wouldBeRefused": found.plan_status.quota.remaining == 0,
            "days": [_members(one) for one in found.days],
            "prompts": [_members(one) for one in found.prompts],
            "billing": {
                "customerId": found.billing.customer_id,
                "subscription": _record(found.billing.record),
                "version": found.billing.version,
                "syncedAt": found.billing.synced_at,
                "money": [_members(one) for one in found.billing.money],
                "events": [_members(one) for one in found.billing.events],
            },
        }
    )
    return 0


def why(found: Explanation) -> str:
    """In a sentence, why a user has the plan they have."""
    subscription = found.plan_status.subscription
    if subscription is None:
        return "never had a subscription" if found.billing.customer_id else "never began to subscribe"
    status = subscription.status.value
    if found.plan_status.plan is Plan.PRO:
        ends = ", ends with its period" if subscription.cancel_at_period_end else ""
        return f"the subscription is {status}{ends}" + (", within the grace" if subscription.in_grace else "")
    if subscription.lapsed:
        return f"the subscription was {status}, and was not compared since its period ended"
    if not subscription.price_is_ours:
        return f"the subscription is {status}, but at a price that is not ours"
    return f"the subscription is {status}"


def _record(record: SubscriptionRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "subscriptionId": record.subscription_id,
        "status": record.status.value,
        "priceId": record.price_id,
        "priceIsOurs": record.price_is_ours,
        "currentPeriodEnd": record.current_period_end,
        "cancelAtPeriodEnd": record.cancel_at_period_end,
        "graceEndsAt": record.grace_ends_at,
    }


def _members(line: Any) -> dict[str, Any]:
    """A line of the ledger, with names as the API's."""
    names = {name: name.split("_") for name in line._fields}
    return {first + "".join(map(str.capitalize, rest)): getattr(line, name) for name, (first, *rest) in names.items()}


def _print(document: dict[str, Any]) -> None:
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def _unknown(message: str) -> int:
    print(message, file=sys.stderr)
    return EXIT_FAILED
