"""The plan, its checkout, and the webhook of the payment provider."""

import hashlib
import hmac
import json
import time

from verify import bodies
from verify.checks import Check, check
from verify.http import Exchange
from verify.outcomes import LeftOut, expect
from verify.world import User, World

STALE_SECONDS = 3600
LIVE = "cs_live_"


@check("subscription", plain=True)
def subscription(world: World) -> None:
    """A new user's plan is Basic."""
    world.must_make_users()
    plan = _plan(world.user())
    expect(plan == "basic", f"the plan of a new user is {plan}")


@check("webhook-signature", plain=True)
def webhook_signature(world: World) -> None:
    """An event without a signature, or with a wrong one, is refused and changes no plan."""
    user = world.user()
    plan = _plan(user)
    event = _event(user)
    wrong = _signature(event, "whsec_guessed", at=int(time.time()))
    for headers in ({}, {"Stripe-Signature": ""}, {"Stripe-Signature": "t=1,v1=00"}, {"Stripe-Signature": wrong}):
        _post_event(world, event, headers).must_be(400, 401, 403)
    expect(_plan(user) == plan, "an event that was refused has changed the plan")


@check("webhook-stale")
def webhook_stale(world: World) -> None:
    """An event whose signature is right and an hour old is refused, as is a right signature of another body."""
    secret = world.options.webhook_secret
    if not secret:
        raise LeftOut("a right signature needs the secret of the webhook; give VERIFY_WEBHOOK_SECRET")
    user = world.user()
    plan = _plan(user)
    event = _event(user)
    now = int(time.time())
    for body, signature in (
        (event, _signature(event, secret, at=now - STALE_SECONDS)),
        (event + b" ", _signature(event, secret, at=now)),
    ):
        _post_event(world, body, {"Stripe-Signature": signature}).must_be(400, 401, 403)
    expect(_plan(user) == plan, "an event that was refused has changed the plan")


@check("checkout-once", plain=True)
def checkout_once(world: World) -> None:
    """Two requests at once to buy Pro open one checkout, whose page is not live."""
    user = world.user()
    if not (world.options.payments_are_tests or world.codes_are_shown):
        raise LeftOut("payments may be live; where they are tests, say --test-payments")
    plan = _plan(user)
    if plan != "basic" and not user.is_ours:
        raise LeftOut("the user who was given is not Basic")
    answers = world.at_once(2, lambda _: _subscribe(user))
    for answer in answers:
        if answer.status in {404, 501, 503}:
            raise LeftOut(f"{answer.line} answers {answer.status}: nothing is sold here, or not now")
        answer.must_be(200, 201, 409)
    opened = {bodies.text(answer, "url", "checkoutUrl") for answer in answers if answer.status != 409}
    expect(opened, "both requests were refused")
    expect(len(opened) == 1, "two checkouts were opened")
    expect(LIVE not in opened.pop(), "the checkout is live, and codes are in answers or --test-payments was said")
    expect(_plan(user) == plan, "a checkout that was not paid has changed the plan")


def _subscribe(user: User) -> Exchange:
    answer = user.post("/subscribe/pro")
    return user.post("/subscription/subscribe/pro") if answer.status == 404 else answer


def _post_event(world: World, event: bytes, headers: dict[str, str]) -> Exchange:
    headers = {"Content-Type": "application/json", **headers}
    answer = world.http.send("POST", "/webhook/stripe", data=event, headers=headers)
    if answer.status == 404:
        answer = world.http.send("POST", "/subscription/webhook/stripe", data=event, headers=headers)
    if answer.status == 404:
        raise LeftOut("there is no webhook: nothing is sold here")
    return answer


def _event(user: User) -> bytes:
    """An event that says that this user has paid."""
    me = user.get("/user/me").must_be(200)
    user_id = bodies.text(me, "id", "_id")
    checkout = {
        "id": "cs_test_verify",
        "object": "checkout.session",
        "client_reference_id": user_id,
        "metadata": {"userId": user_id, "user_id": user_id},
        "mode": "subscription",
        "payment_status": "paid",
        "status": "complete",
        "customer": "cus_verify",
        "subscription": "sub_verify",
    }
    event = {
        "id": "evt_verify",
        "object": "event",
        "type": "checkout.session.completed",
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": checkout},
    }
    return json.dumps(event).encode()


def _signature(body: bytes, secret: str, *, at: int) -> str:
    """Stripe-Signature (docs.stripe.com/webhooks, "Verify manually")."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _plan(user: User) -> str:
    return bodies.text(user.get("/subscription/status").must_be(200), "tier", "plan").lower()


CHECKS: tuple[Check, ...] = (subscription, webhook_signature, webhook_stale, checkout_once)
