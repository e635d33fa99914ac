"""/subscribe and /subscription: buying Pro, its state, managing it."""

from typing import Any

import pytest

from domain.billing import SubscriptionStatus
from tests.api.client import Client, body_of, faulty_fields, problem_of
from tests.builders import House

BASIC_USAGE = {"tier": "basic", "limit": 5, "used": 0, "remaining": 5, "resetsAt": "2026-03-03T00:00:00Z"}


BOTH_SUBSCRIBES = ["/subscribe/pro", "/subscription/subscribe/pro"]


def test_everybody_begins_with_basic(asha: Client):
    assert body_of(asha.get("/subscription/status")) == {
        "tier": "basic",
        "plan": "Basic",
        "status": None,
        "currentPeriodEnd": None,
        "cancelAtPeriodEnd": False,
        "usage": BASIC_USAGE,
    }


@pytest.mark.parametrize("status", list(SubscriptionStatus))
def test_a_subscription_makes_pro_while_it_is_paid_for(asha: Client, house: House, status: SubscriptionStatus):
    house.subscribe(house.use_cases.auth.authenticate(asha.token or ""), status)
    body = body_of(asha.get("/subscription/status"))
    paid_for = status in {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING}
    assert (body["tier"], body["plan"]) == (("pro", "Pro") if paid_for else ("basic", "Basic"))
    assert body["status"] == status.value
    assert body["currentPeriodEnd"] == "2026-04-01T09:30:00Z"
    assert (body["usage"] == BASIC_USAGE) == (not paid_for)


def test_a_guest_is_told_nothing(guest: Client):
    problem_of(guest.get("/subscription/status"), 401, "token_invalid")


def test_without_the_database_one_has_to_wait(asha: Client, house: House):
    house.database_probe.on = False
    problem_of(asha.get("/subscription/status"), 503, "dependency_unavailable")


@pytest.mark.parametrize("path", BOTH_SUBSCRIBES)
@pytest.mark.parametrize("body", [None, {}, {"price": "price_cheap", "customer": "cus_1", "quantity": 0}])
def test_subscribing_opens_a_checkout_and_hands_it_out_again(asha: Client, house: House, path: str, body: Any):
    opened = body_of(asha.post(path, body))
    assert opened["url"] == opened["checkoutUrl"] == f"https://checkout.example/{opened['sessionId']}"
    for other in BOTH_SUBSCRIBES:
        assert body_of(asha.post(other)) == opened
    [(order, _, _)] = house.payments.orders.values()
    assert order.price_id == "price_pro"


@pytest.mark.parametrize("path", BOTH_SUBSCRIBES)
def test_who_has_a_subscription_is_shown_the_portal(asha: Client, house: House, path: str):
    house.payments.pay(body_of(asha.post(path))["sessionId"])
    problem = problem_of(asha.post(path), 409, "already_subscribed")
    assert problem["portalUrl"].startswith("https://portal.example/")


@pytest.mark.parametrize("path", [*BOTH_SUBSCRIBES, "/subscription/portal", "/subscription/cancel"])
def test_a_guest_buys_nothing(guest: Client, path: str):
    problem_of(guest.post(path), 401, "token_invalid")


@pytest.mark.parametrize("path", BOTH_SUBSCRIBES)
def test_without_stripe_one_has_to_wait(asha: Client, house: House, path: str):
    house.payments.down = True
    answer = asha.post(path)
    assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "stripe"
    assert int(answer.headers["Retry-After"]) >= 1
    house.payments.down = False
    body_of(asha.post(path))


def test_only_allowed_addresses_are_returned_to(asha: Client, house: House):
    assert faulty_fields(asha.post("/subscribe/pro", {"successUrl": "https://evil.example/"})) == {"successUrl"}
    assert faulty_fields(asha.post("/subscribe/pro", {"cancelUrl": "https://evil.example/"})) == {"cancelUrl"}
    assert faulty_fields(asha.post("/subscription/portal", {"returnUrl": "https://evil.example/"})) == {"returnUrl"}
    body_of(asha.post("/subscribe/pro", {"successUrl": "https://app.example/paid"}))
    [(order, _, _)] = house.payments.orders.values()
    assert order.success_url == "https://app.example/paid"


def test_managing(asha: Client, house: House):
    for path in ("/subscription/portal", "/subscription/cancel", "/subscription/resume"):
        problem_of(asha.post(path), 409, "not_subscribed")
    checkout_id = body_of(asha.post("/subscribe/pro"))["sessionId"]
    house.payments.pay(checkout_id)
    assert asha.get(f"/success?session_id={checkout_id}").status_code == 200
    cancelled = body_of(asha.post("/subscription/cancel"))
    assert (cancelled["tier"], cancelled["status"], cancelled["cancelAtPeriodEnd"]) == ("pro", "active", True)
    assert body_of(asha.get("/subscription/status")) == cancelled
    assert not body_of(asha.post("/subscription/resume"))["cancelAtPeriodEnd"]
    assert body_of(asha.post("/subscription/portal"))["url"].startswith("https://portal.example/")


def test_the_upgrade_is_shown_to_whom_the_quota_stops(asha: Client):
    room = asha.open_room()
    for _ in range(5):
        asha.say(room)
    problem = problem_of(asha.say(room), 429, "daily_quota_exceeded")
    body_of(asha.post(problem["upgrade"]))
