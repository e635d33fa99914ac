"""Only what Stripe has signed, lately, is an event; and of it only what is needed is read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.doubles import SettableClock
from adapters.stripe.sandbox.fake import signature_of
from adapters.stripe.webhook_events import StripeEventReader
from application.ports.payment_events import EventRejected
from domain.billing import Concern, Money, MoneyKind
from domain.errors import WebhookNotConfigured
from tests.builders import NOW

SECRETS = ["whsec_new", "whsec_old"]
AT = int(NOW.timestamp())
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "customer.subscription.updated",
    "created": AT,
    "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
}

read = StripeEventReader(secrets=SECRETS, clock=SettableClock(NOW))


def signed(body: bytes, *, secret: str = SECRETS[0], at: int = AT) -> tuple[bytes, str]:
    return body, signature_of(body, secret=secret, at=at)


def rejected(body: bytes, signature: str | None) -> str:
    with pytest.raises(EventRejected) as refused:
        read(body, signature)
    return refused.value.reason


def event_of(**changes: Any) -> bytes:
    return orjson.dumps({**EVENT, **changes})


def about(kind: str, **members: Any) -> bytes:
    return event_of(type=kind, data={"object": members})


# --- Proof ---


@pytest.mark.parametrize("secret", SECRETS)
def test_any_of_the_secrets_proves_it(secret: str):
    event = read(*signed(event_of(), secret=secret))
    assert (event.id, event.type, event.created_at) == ("evt_1", "customer.subscription.updated", NOW)
    assert (event.concern, event.customer_id) == (Concern.SUBSCRIPTION, "cus_1")


def test_several_signatures_are_tried():
    body, signature = signed(event_of())
    time, right = signature.split(",")
    assert read(body, f"{time},v1={'0' * 64},v0=abc, {right}").id == "evt_1"


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_for_five_minutes(seconds: int):
    assert read(*signed(event_of(), at=AT - seconds)).id == "evt_1"


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_not_later_and_not_from_the_future(seconds: int):
    assert rejected(*signed(event_of(), at=AT - seconds)) == "stale"


def test_a_forged_or_altered_one_is_none():
    body, signature = signed(event_of())
    time, right = signature.split(",")
    forged = [
        None,
        "",
        "x",
        "t=,v1=",
        time,
        right,
        f"{time},v1={'0' * 64}",
        f"{time},v1={'f' * 63}",
        f"{time},v0={right[3:]}",
        f"t={AT + 1},{right}",
        f"{time},{time},{right}",
        f"t=-1,{right}",
        f"t={'9' * 5000},{right}",
        f"t=²,{right}",
        f"{time},v1={right[3:].upper()}",
        f"{time},v1=é{right[4:]}",
        f"{time},{right}é",
        "\udcff",
        f"{time}," + ",".join(["v1=" + "0" * 64] * 1000) + f",{right}",
    ]
    assert {rejected(body, signature) for signature in forged} == {"signature"}
    for altered in (body + b" ", body.replace(b"evt_1", b"evt_2"), body[:-1], b"", b"\xff\xfe" + body):
        assert rejected(altered, signature) == "signature"
    assert rejected(*signed(body, secret="whsec_of_somebody_else")) == "signature"


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_secret_proves_nothing(empty: str):
    assert rejected(*signed(event_of(), secret=empty)) == "signature"
    unproven = StripeEventReader(secrets=[empty], clock=SettableClock(NOW))
    with pytest.raises(WebhookNotConfigured):
        unproven(*signed(event_of(), secret=empty))


@given(st.binary(max_size=200), st.text(max_size=200))
def test_whatever_strangers_send_is_refused_in_one_way(body: bytes, signature: str):
    assert rejected(body, signature) == "signature"


# --- Reading ---


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"evt_1"',
        b"\xff\xfe\x00",
        "{é".encode("latin-1"),
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"id": ' + b"1" * 5_000 + b"}",
        event_of(id=None),
        event_of(id=1),
        event_of(id=""),
        event_of(id="evt_1\x00"),
        event_of(id="e" * 256),
        event_of(id="evt 1"),
        json.dumps({**EVENT, "id": "evt_\ud800"}).encode(),
        event_of(object="charge"),
        event_of(type=None),
        event_of(type=["customer.subscription.updated"]),
        event_of(type="x" * 10_000),
        event_of(created="now"),
        event_of(created=None),
        event_of(created=True),
        event_of(created=-1),
        event_of(created=10**15),
        event_of(data=None),
        event_of(data={}),
        event_of(data={"object": "sub_1"}),
        about("customer.subscription.updated", customer=7),
        about("customer.subscription.updated", customer={"id": None, "x": 1}) + b"x",
        about("customer.subscription.updated", customer="cus_1'; DROP TABLE users; --"),
        about("checkout.session.completed", customer="cus_1"),
        about("charge.refunded", id="ch_1", customer="cus_1", currency="usd"),
        about("charge.refunded", id="ch_1", customer="cus_1", currency="usd", amount_refunded="9"),
        about("charge.refunded", id="ch_1", customer="cus_1", currency="usd", amount_refunded=-9),
        about("charge.dispute.created", id="dp_1", charge="ch_1", amount=900),
    ],
)
def test_what_is_signed_and_malformed_is_refused(body: bytes):
    assert rejected(*signed(body)) == "malformed"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda kids: st.lists(kids, max_size=3)))
def test_no_signed_json_makes_it_stumble(value: Any):
    body = json.dumps({**EVENT, "data": {"object": {"customer": value}}, "id": value}).encode()
    try:
        read(*signed(body))
    except EventRejected as refused:
        assert refused.reason == "malformed"  # noqa: PT017 - either it is read or it is this


@pytest.mark.parametrize(
    "kind",
    [
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.payment_failed",
    ],
)
@pytest.mark.parametrize("customer", ["cus_1", {"id": "cus_1", "object": "customer"}])
def test_these_are_about_subscriptions(kind: str, customer: Any):
    event = read(*signed(about(kind, id="x_1", customer=customer)))
    assert (event.concern, event.customer_id, event.money) == (Concern.SUBSCRIPTION, "cus_1", None)
    assert event.checkout_id == ("x_1" if kind.startswith("checkout") else None)


def test_both_shapes_of_an_invoice_lead_to_the_customer():
    old = about("invoice.paid", id="in_1", customer="cus_1", subscription="sub_1", charge="ch_1")
    new = about("invoice.paid", id="in_1", customer="cus_1", parent={"subscription_details": {"subscription": "sub_1"}})
    assert read(*signed(old)) == read(*signed(new))


def test_these_are_about_money():
    refund = read(*signed(about("charge.refunded", id="ch_1", customer="cus_1", amount_refunded=900, currency="usd")))
    assert (refund.concern, refund.customer_id) == (Concern.MONEY, "cus_1")
    assert refund.money == Money(MoneyKind.REFUND, 900, "usd", "ch_1")
    dispute = read(*signed(about("charge.dispute.created", id="dp_1", charge="ch_1", amount=900, currency="usd")))
    assert (dispute.charge_id, dispute.customer_id) == ("ch_1", None)
    assert dispute.money == Money(MoneyKind.DISPUTE_OPENED, 900, "usd", "dp_1")


def test_the_others_are_about_nothing_of_ours():
    for kind in ("product.created", "payment_intent.payment_failed", "v2.core.account.updated"):
        assert read(*signed(about(kind, id="x"))).concern is Concern.NOTHING


def test_how_old_it_is_is_told_by_the_clock():
    clock = SettableClock(datetime(2020, 1, 1, tzinfo=UTC))
    reader = StripeEventReader(secrets=SECRETS, clock=clock)
    body, signature = signed(event_of())
    with pytest.raises(EventRejected):
        reader(body, signature)
    clock.now = NOW + timedelta(minutes=4)
    assert reader(body, signature).id == "evt_1"
