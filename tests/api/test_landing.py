"""/success and /cancel: where buyers come back to."""

import pytest

from tests.api.client import Client, body_of
from tests.stripe_house import StripeHouse


def test_the_buyer_lands_as_pro(buyer: Client, stripe: Client, stripe_house: StripeHouse):
    checkout_id = body_of(buyer.post("/subscribe/pro"))["sessionId"]
    stripe_house.stripe.pay(checkout_id)
    page = stripe.get(f"/success?session_id={checkout_id}")
    assert "You are Pro" in page.text
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert body_of(buyer.get("/subscription/status"))["tier"] == "pro"


def test_a_checkout_whose_payment_is_under_way_is_not_pro_yet(buyer: Client, stripe_house: StripeHouse):
    checkout_id = body_of(buyer.post("/subscribe/pro"))["sessionId"]
    stripe_house.stripe.pay_later(checkout_id)
    assert "in a moment" in buyer.get(f"/success?session_id={checkout_id}").text
    assert body_of(buyer.get("/subscription/status"))["tier"] == "basic"


@pytest.mark.parametrize("session_id", [None, "", "cs_invented", "x" * 300, "%00", "%ff"])
def test_an_invented_session_changes_nothing(buyer: Client, stripe_house: StripeHouse, session_id: str | None):
    before = stripe_house.database.tables
    page = buyer.get("/success" if session_id is None else f"/success?session_id={session_id}")
    assert page.status_code == 200
    assert "You are Pro" not in page.text
    assert stripe_house.database.tables == before


def test_one_lands_safely_while_stripe_is_down(buyer: Client, stripe_house: StripeHouse):
    checkout_id = body_of(buyer.post("/subscribe/pro"))["sessionId"]
    stripe_house.down = True
    assert "in a moment" in buyer.get(f"/success?session_id={checkout_id}").text
    stripe_house.database_probe.on = False
    assert "in a moment" in buyer.get(f"/success?session_id={checkout_id}").text
    assert "Nothing was bought" in buyer.get("/cancel").text
