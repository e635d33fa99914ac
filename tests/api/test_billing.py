"""Buying Pro, managing it, and Stripe's events, at the HTTP door."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from adapters.memory.doubles import SettableClock
from adapters.stripe.sandbox.fake import signature_of
from adapters.stripe.webhook_events import StripeEventReader
from domain.billing import SubscriptionStatus
from tests.api.door import Caller, Door, body_of, faulty_fields, problem_of
from tests.builders import ASHA, NOW, WEBHOOK_SECRET, House
from tests.stripe_house import StripeHouse

BOTH_SUBSCRIBES = ["/subscribe/pro", "/subscription/subscribe/pro"]
BOTH_WEBHOOKS = ["/webhook/stripe", "/subscription/webhook/stripe"]


@pytest.fixture
def stripe_house() -> StripeHouse:
    return StripeHouse()


@pytest.fixture
def buyer(stripe_house: StripeHouse) -> Caller:
    return Door(stripe_house).log_in(ASHA)


@pytest.fixture
def stripe(stripe_house: StripeHouse) -> Caller:
    """Stripe, as a caller of ours."""
    return Door(stripe_house).guest()


def post_event(
    house: House, caller: Caller, body: bytes, *, path: str = "/webhook/stripe", **changes: Any
) -> TestResponse:
    signature = signature_of(body, secret=WEBHOOK_SECRET, at=int(house.clock().timestamp()))
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json", **changes}
    return caller.send("POST", path, data=body, headers=headers)


@pytest.mark.parametrize("path", BOTH_SUBSCRIBES)
@pytest.mark.parametrize("body", [None, {}, {"price": "price_cheap", "customer": "cus_1", "quantity": 0}])
def test_subscribing_opens_a_checkout_and_hands_it_out_again(asha: Caller, house: House, path: str, body: Any):
    opened = body_of(asha.post(path, body))
    assert opened["url"] == opened["checkoutUrl"] == f"https://checkout.example/{opened['sessionId']}"
    for other in BOTH_SUBSCRIBES:
        assert body_of(asha.post(other)) == opened
    [(order, _, _)] = house.payments.orders.values()
    assert order.price_id == "price_pro"


@pytest.mark.parametrize("path", BOTH_SUBSCRIBES)
def test_who_has_a_subscription_is_shown_the_portal(asha: Caller, house: House, path: str):
    house.payments.pay(body_of(asha.post(path))["sessionId"])
    problem = problem_of(asha.post(path), 409, "already_subscribed")
    assert problem["portalUrl"].startswith("https://portal.example/")


@pytest.mark.parametrize("path", [*BOTH_SUBSCRIBES, "/subscription/portal", "/subscription/cancel"])
def test_a_guest_buys_nothing(guest: Caller, path: str):
    problem_of(guest.post(path), 401, "token_invalid")


@pytest.mark.parametrize("path", BOTH_SUBSCRIBES)
def test_without_stripe_one_has_to_wait(asha: Caller, house: House, path: str):
    house.payments.down = True
    answer = asha.post(path)
    assert problem_of(answer, 503, "dependency_unavailable")["dependency"] == "stripe"
    assert int(answer.headers["Retry-After"]) >= 1
    house.payments.down = False
    body_of(asha.post(path))


def test_only_allowed_addresses_are_returned_to(asha: Caller, house: House):
    assert faulty_fields(asha.post("/subscribe/pro", {"successUrl": "https://evil.example/"})) == {"successUrl"}
    assert faulty_fields(asha.post("/subscribe/pro", {"cancelUrl": "https://evil.example/"})) == {"cancelUrl"}
    assert faulty_fields(asha.post("/subscription/portal", {"returnUrl": "https://evil.example/"})) == {"returnUrl"}
    body_of(asha.post("/subscribe/pro", {"successUrl": "https://app.example/paid"}))
    [(order, _, _)] = house.payments.orders.values()
    assert order.success_url == "https://app.example/paid"


def test_managing(asha: Caller, house: House):
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


def test_the_upgrade_is_shown_to_whom_the_quota_stops(asha: Caller):
    room = asha.open_room()
    for _ in range(5):
        asha.say(room)
    problem = problem_of(asha.say(room), 429, "daily_quota_exceeded")
    body_of(asha.post(problem["upgrade"]))


def test_the_last_days_are_shown_to_whom_asks(asha: Caller):
    asha.say(asha.open_room())
    usage = body_of(asha.get("/user/usage?days=7"))
    assert usage.pop("days") == [{"day": "2026-03-02", "used": 1, "refunded": 0}]
    assert usage == body_of(asha.get("/user/usage"))
    for days in ("0", "32", "x", ""):
        assert faulty_fields(asha.get(f"/user/usage?days={days}")) == {"days"}


# --- Landing pages ---


def test_the_buyer_lands_as_pro(buyer: Caller, stripe: Caller, stripe_house: StripeHouse):
    checkout_id = body_of(buyer.post("/subscribe/pro"))["sessionId"]
    stripe_house.stripe.pay(checkout_id)
    page = stripe.get(f"/success?session_id={checkout_id}")
    assert "You are Pro" in page.text
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert body_of(buyer.get("/subscription/status"))["tier"] == "pro"


@pytest.mark.parametrize("session_id", [None, "", "cs_invented", "x" * 300, "%00", "%ff"])
def test_an_invented_session_changes_nothing(buyer: Caller, stripe_house: StripeHouse, session_id: str | None):
    before = stripe_house.database.tables
    page = buyer.get("/success" if session_id is None else f"/success?session_id={session_id}")
    assert page.status_code == 200
    assert "You are Pro" not in page.text
    assert stripe_house.database.tables == before


def test_one_lands_safely_while_stripe_is_down(buyer: Caller, stripe_house: StripeHouse):
    checkout_id = body_of(buyer.post("/subscribe/pro"))["sessionId"]
    stripe_house.down = True
    assert "in a moment" in buyer.get(f"/success?session_id={checkout_id}").text
    stripe_house.database_probe.on = False
    assert "in a moment" in buyer.get(f"/success?session_id={checkout_id}").text
    assert "Nothing was bought" in buyer.get("/cancel").text


# --- The webhook ---


@pytest.mark.parametrize("path", BOTH_WEBHOOKS)
def test_an_event_is_taken_once(buyer: Caller, stripe: Caller, stripe_house: StripeHouse, path: str):
    stripe_house.stripe.pay(body_of(buyer.post("/subscribe/pro"))["sessionId"])
    [event, *_] = [orjson.dumps(event) for event in stripe_house.stripe.take_events()]
    answers = [body_of(post_event(stripe_house, stripe, event, path=path)) for _ in range(2)]
    assert answers == [{"received": True, "duplicate": False}, {"received": True, "duplicate": True}]
    assert body_of(buyer.get("/subscription/status"))["status"] == SubscriptionStatus.ACTIVE.value


def test_stripe_need_not_wait_for_stripe(buyer: Caller, stripe: Caller, stripe_house: StripeHouse):
    stripe_house.stripe.pay(body_of(buyer.post("/subscribe/pro"))["sessionId"])
    [event, *_] = [orjson.dumps(event) for event in stripe_house.stripe.take_events()]
    stripe_house.down = True
    assert body_of(post_event(stripe_house, stripe, event))["received"]
    assert body_of(buyer.get("/subscription/status"))["tier"] == "basic"
    stripe_house.down = False
    stripe_house.clock.advance(timedelta(minutes=1))
    stripe_house.maintenance.apply_pending()
    assert body_of(buyer.get("/subscription/status"))["tier"] == "pro"


def test_what_cannot_be_stored_must_be_sent_again(stripe: Caller, stripe_house: StripeHouse):
    stripe_house.database_probe.on = False
    event = orjson.dumps({"id": "evt_1", "object": "event", "type": "x", "created": 1, "data": {"object": {}}})
    problem_of(post_event(stripe_house, stripe, event), 503, "dependency_unavailable")


@pytest.mark.parametrize("path", BOTH_WEBHOOKS)
def test_what_is_not_stripes_changes_nothing(buyer: Caller, stripe: Caller, stripe_house: StripeHouse, path: str):
    stripe_house.stripe.pay(body_of(buyer.post("/subscribe/pro"))["sessionId"])
    [event, *_] = [orjson.dumps(event) for event in stripe_house.stripe.take_events()]
    at = int(stripe_house.clock().timestamp())
    right = signature_of(event, secret=WEBHOOK_SECRET, at=at)
    before = stripe_house.database.tables
    nested = b"[" * 50_000 + b"]" * 50_000
    attempts = [
        (event, None),
        (event, ""),
        (event, "t=1,v1=é"),
        (event, signature_of(event, secret="", at=at)),
        (event, signature_of(event, secret="whsec_guessed", at=at)),
        (event, signature_of(event, secret=WEBHOOK_SECRET, at=at - 301)),
        (event + b" ", right),
        (b"", right),
        (b"\xff\xfe", signature_of(b"\xff\xfe", secret=WEBHOOK_SECRET, at=at)),
        (b"not json", signature_of(b"not json", secret=WEBHOOK_SECRET, at=at)),
        (nested, signature_of(nested, secret=WEBHOOK_SECRET, at=at)),
        (nested, None),
    ]
    for body, signature in attempts:
        headers = {} if signature is None else {"Stripe-Signature": signature.encode().decode("latin-1")}
        problem_of(stripe.send("POST", path, data=body, headers=headers), 400, "bad_request")
    too_large = stripe.send("POST", path, data=b"x" * (1024 * 1024 + 1), headers={"Stripe-Signature": right})
    problem_of(too_large, 413, "payload_too_large")
    assert stripe_house.database.tables == before
    assert body_of(buyer.get("/subscription/status"))["tier"] == "basic"


def test_a_large_event_is_taken(stripe: Caller, stripe_house: StripeHouse):
    event = {"id": "evt_1", "object": "event", "type": "x", "created": 1, "data": {"object": {"x": "y" * 500_000}}}
    assert body_of(post_event(stripe_house, stripe, orjson.dumps(event)))["received"]


@pytest.mark.parametrize("path", BOTH_WEBHOOKS)
def test_without_a_secret_there_is_no_webhook(path: str):
    house = House(read_event=StripeEventReader(secrets=[], clock=SettableClock(NOW)))
    problem_of(post_event(house, Door(house).guest(), b"{}", path=path), 404, "webhook_not_configured")
