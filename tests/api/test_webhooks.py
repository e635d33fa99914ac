"""/webhook/stripe: events of the payment provider."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from adapters.memory.doubles import SettableClock
from adapters.stripe.sandbox.fake import signature_of
from adapters.stripe.webhook_events import StripeEventReader
from domain.billing import SubscriptionStatus
from tests.api.client import Api, Client, body_of, problem_of
from tests.builders import NOW, WEBHOOK_SECRET, House
from tests.stripe_house import StripeHouse

BOTH_WEBHOOKS = ["/webhook/stripe", "/subscription/webhook/stripe"]


def post_event(
    house: House, client: Client, body: bytes, *, path: str = "/webhook/stripe", **changes: Any
) -> TestResponse:
    signature = signature_of(body, secret=WEBHOOK_SECRET, at=int(house.clock().timestamp()))
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json", **changes}
    return client.send("POST", path, data=body, headers=headers)


@pytest.mark.parametrize("path", BOTH_WEBHOOKS)
def test_an_event_is_taken_once(buyer: Client, stripe: Client, stripe_house: StripeHouse, path: str):
    stripe_house.stripe.pay(body_of(buyer.post("/subscribe/pro"))["sessionId"])
    [event, *_] = [orjson.dumps(event) for event in stripe_house.stripe.take_events()]
    answers = [body_of(post_event(stripe_house, stripe, event, path=path)) for _ in range(2)]
    assert answers == [{"received": True, "duplicate": False}, {"received": True, "duplicate": True}]
    assert body_of(buyer.get("/subscription/status"))["status"] == SubscriptionStatus.ACTIVE.value


def test_stripe_need_not_wait_for_stripe(buyer: Client, stripe: Client, stripe_house: StripeHouse):
    stripe_house.stripe.pay(body_of(buyer.post("/subscribe/pro"))["sessionId"])
    [event, *_] = [orjson.dumps(event) for event in stripe_house.stripe.take_events()]
    stripe_house.down = True
    assert body_of(post_event(stripe_house, stripe, event))["received"]
    assert body_of(buyer.get("/subscription/status"))["tier"] == "basic"
    stripe_house.down = False
    stripe_house.clock.advance(timedelta(minutes=1))
    stripe_house.maintenance.apply_pending()
    assert body_of(buyer.get("/subscription/status"))["tier"] == "pro"


def test_what_cannot_be_stored_must_be_sent_again(stripe: Client, stripe_house: StripeHouse):
    stripe_house.database_probe.on = False
    event = orjson.dumps({"id": "evt_1", "object": "event", "type": "x", "created": 1, "data": {"object": {}}})
    problem_of(post_event(stripe_house, stripe, event), 503, "dependency_unavailable")


@pytest.mark.parametrize("path", BOTH_WEBHOOKS)
def test_what_is_not_stripes_changes_nothing(buyer: Client, stripe: Client, stripe_house: StripeHouse, path: str):
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


def test_a_large_event_is_taken(stripe: Client, stripe_house: StripeHouse):
    event = {"id": "evt_1", "object": "event", "type": "x", "created": 1, "data": {"object": {"x": "y" * 500_000}}}
    assert body_of(post_event(stripe_house, stripe, orjson.dumps(event)))["received"]


@pytest.mark.parametrize("path", BOTH_WEBHOOKS)
def test_without_a_secret_there_is_no_webhook(path: str):
    house = House(read_event=StripeEventReader(secrets=[], clock=SettableClock(NOW)))
    problem_of(post_event(house, Api(house).guest(), b"{}", path=path), 404, "webhook_not_configured")
