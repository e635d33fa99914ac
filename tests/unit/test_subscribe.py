"""Buying Pro: one customer, one checkout, never twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from application.billing.ending import EndAndRefund
from application.billing.manage import EndBilling
from application.billing.subscribe import ReturnUrls
from application.ports.payments import CHECKOUT_ID
from domain.accounts import Principal
from domain.billing import BillingPolicy, Checkout, CheckoutId, CheckoutState, SubscriptionStatus
from domain.errors import AlreadySubscribed, DependencyDown, InvalidValue, NotSubscribed
from domain.plans import Plan
from tests.builders import ASHA, PRICE, PUBLIC_URL, RAVI, House
from tests.concurrency import at_once

S = SubscriptionStatus


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def asha(house: House) -> Principal:
    return house.user(ASHA)


def subscribe(house: House, who: Principal, **urls: str) -> Checkout:
    return house.use_cases.billing.subscribe(user_id=who.user_id, **urls)


def plan(house: House, who: Principal) -> Plan:
    return house.use_cases.billing.show_plan_status(user_id=who.user_id).plan


def test_twenty_at_once_are_one_customer_and_one_checkout(house: House, asha: Principal):
    with ThreadPoolExecutor(20) as threads:
        checkouts = list(threads.map(lambda _: subscribe(house, asha), range(20)))
    assert len(set(checkouts)) == 1
    assert (len(house.payments.customers), len(house.payments.orders)) == (1, 1)


def test_an_open_checkout_is_handed_out_again(house: House, asha: Principal):
    first = subscribe(house, asha)
    house.clock.advance(timedelta(hours=22))
    assert subscribe(house, asha) == first
    house.clock.advance(timedelta(hours=3))
    assert subscribe(house, asha).id != first.id
    assert len(house.payments.customers) == 1


def test_what_is_ordered_is_ours_to_say(house: House, asha: Principal):
    order, customer_id, _ = house.payments.orders[subscribe(house, asha).id]
    assert (order.user_id, order.price_id) == (asha.user_id, PRICE)
    assert order.success_url == f"{PUBLIC_URL}/success?session_id={CHECKOUT_ID}"
    assert order.cancel_url == f"{PUBLIC_URL}/cancel"
    assert house.payments.customers[asha.user_id] == customer_id


def test_everybody_has_their_own(house: House, asha: Principal):
    assert subscribe(house, asha).id != subscribe(house, house.user(RAVI)).id
    assert len(house.payments.customers) == 2


def test_who_has_paid_is_pro_and_cannot_buy_again(house: House, asha: Principal):
    checkout = subscribe(house, asha)
    assert plan(house, asha) is Plan.BASIC
    house.payments.pay(checkout.id)
    # No event has come; Stripe is asked.
    with pytest.raises(AlreadySubscribed) as refused:
        subscribe(house, asha)
    assert refused.value.portal_url is not None
    assert plan(house, asha) is Plan.PRO
    assert len(house.payments.orders) == 1


@pytest.mark.parametrize("status", [S.PAST_DUE, S.UNPAID, S.PAUSED, S.UNKNOWN, S.TRIALING])
def test_what_may_be_charged_again_is_not_bought_beside_it(house: House, asha: Principal, status: SubscriptionStatus):
    house.payments.become(house.payments.pay(subscribe(house, asha).id), status)
    with pytest.raises(AlreadySubscribed):
        subscribe(house, asha)
    assert len(house.payments.orders) == 1


@pytest.mark.parametrize("status", [S.CANCELED, S.INCOMPLETE_EXPIRED])
def test_what_has_ended_can_be_bought_again(house: House, asha: Principal, status: SubscriptionStatus):
    first = subscribe(house, asha)
    subscription_id = house.payments.pay(first.id)
    with pytest.raises(AlreadySubscribed):
        subscribe(house, asha)
    house.payments.become(subscription_id, status)
    second = subscribe(house, asha)
    assert second.id != first.id
    house.payments.pay(second.id)
    assert house.use_cases.billing.sync_checkout(checkout_id=second.id)
    assert plan(house, asha) is Plan.PRO


def test_a_portal_that_is_down_does_not_hide_that_there_is_a_subscription(
    house: House, asha: Principal, monkeypatch: pytest.MonkeyPatch
):
    house.payments.pay(subscribe(house, asha).id)

    def down(*_args: object, **_kwargs: object) -> str:
        raise DependencyDown("stripe")

    monkeypatch.setattr(house.payments, "open_portal", down)
    with pytest.raises(AlreadySubscribed) as refused:
        subscribe(house, asha)
    assert refused.value.portal_url is None


def test_while_the_provider_is_down_nothing_is_lost_and_then_it_is_one_checkout(house: House, asha: Principal):
    house.payments.down = True
    for _ in range(3):
        with pytest.raises(DependencyDown):
            subscribe(house, asha)
    house.payments.down = False
    assert subscribe(house, asha) == subscribe(house, asha)
    assert (len(house.payments.customers), len(house.payments.orders)) == (1, 1)


def test_a_process_that_dies_after_opening_has_opened_the_same_checkout(
    house: House, asha: Principal, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    opened = house.payments.open_checkout

    def open_and_die(*args: object) -> Checkout:
        opened(*args)  # type: ignore[arg-type]
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(house.payments, "open_checkout", open_and_die)
        with pytest.raises(Killed):
            subscribe(house, asha)
    checkout = subscribe(house, asha)
    assert [*house.payments.orders] == [checkout.id]


def test_a_new_price_ends_the_checkout_at_the_old_one():
    house = House()
    asha = house.user(ASHA)
    old = subscribe(house, asha)
    dearer = House(billing_policy=BillingPolicy(price="price_dearer"), payments=lambda _: house.payments)
    dearer.database.tables = house.database.tables
    new = dearer.use_cases.billing.subscribe(user_id=asha.user_id)
    assert new.id != old.id
    assert house.payments.checkout(old.id) == Checkout(old.id, CheckoutState.EXPIRED, None)
    assert house.payments.orders[new.id][0].price_id == "price_dearer"


def test_paying_and_subscribing_at_the_same_time_is_one_subscription(house: House, asha: Principal):
    checkout = subscribe(house, asha)
    house.payments.pay(checkout.id)
    results = at_once([lambda: subscribe(house, asha)] * 8)
    assert {type(result) for result in results} <= {AlreadySubscribed, DependencyDown}
    assert len(house.payments.subscriptions) == 1


# --- Where to go afterwards ---


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://chat.example.evil.example/",
        "https://chat.example@evil.example/",
        "https://evil.example\\@chat.example/",
        "http://chat.example/",
        "https://chat.example:444/",
        "//chat.example/",
        "/success",
        "javascript:alert(1)",
        "https://chat.example/\r\nX: y",
        "https://chat.example/ä",
        "https://[chat.example/",
        "https://app.example/" + "x" * 1000,
        "",
    ],
)
def test_no_user_is_sent_to_a_foreign_origin(house: House, asha: Principal, url: str):
    for field, arguments in (("successUrl", {"success_url": url}), ("cancelUrl", {"cancel_url": url})):
        with pytest.raises(InvalidValue) as refused:
            subscribe(house, asha, **arguments)
        assert refused.value.field == field
    with pytest.raises(InvalidValue):
        house.use_cases.billing.open_portal(user_id=asha.user_id, return_url=url)
    assert not house.payments.orders


def test_but_to_whom_the_operator_has_allowed(house: House, asha: Principal):
    checkout = subscribe(house, asha, success_url="https://APP.example/paid?x=1", cancel_url=f"{PUBLIC_URL}/x")
    order = house.payments.orders[checkout.id][0]
    assert (order.success_url, order.cancel_url) == ("https://APP.example/paid?x=1", f"{PUBLIC_URL}/x")


def test_without_a_wish_they_are_our_own_pages():
    urls = ReturnUrls("https://chat.example", frozenset())
    assert urls.portal(None) == "https://chat.example"


# --- Landing ---


def test_the_buyer_lands_as_pro_though_no_news_has_come(house: House, asha: Principal):
    checkout = subscribe(house, asha)
    assert not house.use_cases.billing.sync_checkout(checkout_id=checkout.id)
    house.payments.pay(checkout.id)
    assert house.use_cases.billing.sync_checkout(checkout_id=checkout.id)
    assert plan(house, asha) is Plan.PRO
    assert house.use_cases.billing.sync_checkout(checkout_id=checkout.id)


def test_a_foreign_or_invented_checkout_changes_nothing(house: House, asha: Principal):
    subscribe(house, asha)
    before, calls = house.database.tables, len(house.payments.calls)
    for invented in ("cs_invented", "", "x" * 200, "cs_1' OR 1=1"):
        assert not house.use_cases.billing.sync_checkout(checkout_id=invented)
    assert house.database.tables == before
    assert len(house.payments.calls) == calls  # nor is the provider asked


# --- Managing ---


def test_it_ends_with_its_period_and_says_so_and_may_go_on(house: House, asha: Principal):
    house.use_cases.billing.sync_checkout(checkout_id=_bought(house, asha))
    for renew in (False, False, True, True, False):
        house.use_cases.billing.set_renewal(user_id=asha.user_id, renew=renew)
        plan_status = house.use_cases.billing.show_plan_status(user_id=asha.user_id)
        assert plan_status.subscription is not None
        assert plan_status.subscription.cancel_at_period_end is not renew
        assert plan_status.plan is Plan.PRO


def test_a_wish_counts_though_our_table_is_behind(house: House, asha: Principal):
    house.use_cases.billing.sync_checkout(checkout_id=_bought(house, asha))
    house.use_cases.billing.set_renewal(user_id=asha.user_id, renew=False)
    [subscription_id] = house.payments.subscriptions
    house.payments.renew(subscription_id, renew=True, key="in the portal")  # without an event
    house.use_cases.billing.set_renewal(user_id=asha.user_id, renew=False)
    assert house.payments.subscriptions[subscription_id].cancel_at_period_end


def test_there_must_be_something_to_end(house: House, asha: Principal):
    for renew in (True, False):
        with pytest.raises(NotSubscribed):
            house.use_cases.billing.set_renewal(user_id=asha.user_id, renew=renew)
    with pytest.raises(NotSubscribed):
        house.use_cases.billing.open_portal(user_id=asha.user_id)
    house.use_cases.billing.sync_checkout(checkout_id=_bought(house, asha))
    [subscription_id] = house.payments.subscriptions
    house.payments.become(subscription_id, S.CANCELED)
    with pytest.raises(NotSubscribed):
        house.use_cases.billing.set_renewal(user_id=asha.user_id, renew=True)
    assert plan(house, asha) is Plan.BASIC  # found out by the way


def test_the_portal_is_for_customers(house: House, asha: Principal):
    subscribe(house, asha)
    assert house.use_cases.billing.open_portal(user_id=asha.user_id).startswith("https://portal.example/")


def test_who_leaves_is_charged_no_more(house: House, asha: Principal):
    end = EndBilling(
        house.unit_of_work,
        house.payments,
        BillingPolicy(price=PRICE),
        EndAndRefund(house.unit_of_work, house.payments),
    )
    end(user_id=asha.user_id)
    house.use_cases.billing.sync_checkout(checkout_id=_bought(house, asha))
    end(user_id=asha.user_id)
    assert {one.status for one in house.payments.subscriptions.values()} == {S.CANCELED}
    again = subscribe(house, asha)
    end(user_id=asha.user_id)
    known = house.payments.checkout(again.id)
    assert known is not None
    assert known.state is CheckoutState.EXPIRED
    house.payments.down = True
    with pytest.raises(DependencyDown):
        end(user_id=asha.user_id)


def _bought(house: House, who: Principal) -> CheckoutId:
    checkout = subscribe(house, who)
    house.payments.pay(checkout.id)
    return checkout.id
