"""/subscription: what users have."""

import pytest

from domain.billing import SubscriptionStatus
from tests.api.door import Caller, body_of, problem_of
from tests.builders import House

BASIC_USAGE = {"tier": "basic", "limit": 5, "used": 0, "remaining": 5, "resetsAt": "2026-03-03T00:00:00Z"}


def test_everybody_begins_with_basic(asha: Caller):
    assert body_of(asha.get("/subscription/status")) == {
        "tier": "basic",
        "plan": "Basic",
        "status": None,
        "currentPeriodEnd": None,
        "cancelAtPeriodEnd": False,
        "usage": BASIC_USAGE,
    }


@pytest.mark.parametrize("status", list(SubscriptionStatus))
def test_a_subscription_makes_pro_while_it_is_paid_for(asha: Caller, house: House, status: SubscriptionStatus):
    house.subscribe(house.use_cases.auth.authenticate(asha.token or ""), status)
    body = body_of(asha.get("/subscription/status"))
    paid_for = status in {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING}
    assert (body["tier"], body["plan"]) == (("pro", "Pro") if paid_for else ("basic", "Basic"))
    assert body["status"] == status.value
    assert body["currentPeriodEnd"] == "2026-04-01T09:30:00Z"
    assert (body["usage"] == BASIC_USAGE) == (not paid_for)


def test_a_guest_is_told_nothing(guest: Caller):
    problem_of(guest.get("/subscription/status"), 401, "token_invalid")


def test_without_the_database_one_has_to_wait(asha: Caller, house: House):
    house.database_probe.on = False
    problem_of(asha.get("/subscription/status"), 503, "dependency_unavailable")
