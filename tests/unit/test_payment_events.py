"""Events take effect once each, in any order; reconciliation finds what a lost event would have said."""

from datetime import timedelta

import pytest

from adapters.stripe.payments import StripePayments
from domain.billing import BillingPolicy, InboxState, SubscriptionStatus
from domain.errors import AlreadySubscribed, DependencyDown
from domain.plans import Plan
from tests.builders import ASHA, PRICE, RAVI
from tests.stripe_house import FOREIGN_PRICE, OLD_PRICE, Buyer, StripeHouse


@pytest.fixture
def house() -> StripeHouse:
    return StripeHouse()


@pytest.fixture
def asha(house: StripeHouse) -> Buyer:
    return house.buyer(ASHA)


def state_of(house: StripeHouse, event_id: str) -> InboxState | None:
    with house.unit_of_work() as work:
        kept = work.billing.inbox.find(event_id)
    return kept.state if kept else None


def version_of(buyer: Buyer) -> int:
    with buyer.house.unit_of_work() as work:
        return work.billing.subscriptions.get(buyer.user_id).version


# --- A life, as it is told ---


def test_who_pays_becomes_pro(house: StripeHouse, asha: Buyer):
    asha.buy()
    assert asha.plan() is Plan.BASIC
    events = house.deliver_all()
    assert asha.plan() is Plan.PRO
    assert asha.record == asha.truth
    assert {state_of(house, event["id"]) for event in events} == {InboxState.DONE}
    with house.unit_of_work() as work:
        checkout = work.billing.checkouts.current(asha.user_id)
    assert checkout is not None
    assert checkout.closed


def test_a_payment_that_takes_days_makes_no_user_pro_before_it_arrives(house: StripeHouse, asha: Buyer):
    subscription_id = house.stripe.pay_later(asha.subscribe())
    house.deliver_all()
    assert asha.plan() is Plan.BASIC
    house.stripe.payment_arrives(subscription_id)
    house.deliver_all()
    assert asha.plan() is Plan.PRO


def test_and_one_that_never_arrives_leaves_them_basic(house: StripeHouse, asha: Buyer):
    subscription_id = house.stripe.pay_later(asha.subscribe())
    house.stripe.payment_never_arrives(subscription_id)
    house.deliver_all()
    assert asha.plan() is Plan.BASIC
    asha.buy()  # and they may try again
    house.deliver_all()
    assert asha.plan() is Plan.PRO


def test_a_renewal_that_fails_is_forgiven_for_a_week(house: StripeHouse, asha: Buyer):
    subscription_id = asha.buy()
    house.clock.advance(timedelta(days=30))
    house.stripe.renew(subscription_id, paid=False)
    house.deliver_all()
    assert asha.plan() is Plan.PRO
    house.clock.advance(timedelta(days=7))
    assert asha.plan() is Plan.BASIC  # without an event
    house.stripe.payment_arrives(subscription_id)
    house.deliver_all()
    assert asha.plan() is Plan.PRO


@pytest.mark.parametrize("status", ["unpaid", "canceled", "paused"])
def test_what_stripe_gives_up_is_taken_away(house: StripeHouse, asha: Buyer, status: str):
    subscription_id = asha.buy()
    house.deliver_all()
    house.stripe.become(subscription_id, status)
    house.deliver_all()
    assert asha.plan() is Plan.BASIC
    plan_status = house.use_cases.billing.show_plan_status(user_id=asha.user_id)
    assert plan_status.subscription is not None
    assert plan_status.subscription.status == status


def test_what_is_cancelled_stays_pro_until_its_end(house: StripeHouse, asha: Buyer):
    subscription_id = asha.buy()
    house.stripe.set_renewal(subscription_id, renew=False)
    house.deliver_all()
    assert asha.plan() is Plan.PRO
    assert asha.record is not None
    assert asha.record.cancel_at_period_end
    house.stripe.renew(subscription_id, paid=True)
    house.deliver_all()
    assert asha.plan() is Plan.BASIC


@pytest.mark.parametrize(("price", "plan"), [(PRICE, Plan.PRO), (OLD_PRICE, Plan.PRO), (FOREIGN_PRICE, Plan.BASIC)])
def test_the_price_must_be_ours(house: StripeHouse, asha: Buyer, price: str, plan: Plan):
    asha.subscribe()
    house.stripe.sell(asha.customer_id, price)
    house.deliver_all()
    assert asha.plan() is plan


# --- Once ---


def test_an_event_has_its_effect_once(house: StripeHouse, asha: Buyer):
    asha.buy()
    event = house.stripe.take_events()[0]
    assert not house.deliver(event).duplicate
    version = version_of(asha)
    for _ in range(3):
        assert house.deliver(event).duplicate
    assert version_of(asha) == version


def test_two_deliveries_that_overlap_are_one(house: StripeHouse, asha: Buyer):
    asha.buy()
    event = house.stripe.take_events()[0]
    house.in_between = lambda: assert_first(house.deliver(event).duplicate)
    house.deliver(event)
    assert version_of(asha) == 1
    assert asha.record == asha.truth


def assert_first(duplicate: bool) -> None:
    assert not duplicate


def test_an_old_answer_never_covers_a_newer_one(house: StripeHouse, asha: Buyer):
    subscription_id = asha.buy()
    house.deliver_all()
    house.stripe.set_renewal(subscription_id, renew=False)
    slow = house.stripe.take_events()

    def meanwhile() -> None:
        house.stripe.become(subscription_id, "canceled")
        house.deliver_all()
        assert asha.plan() is Plan.BASIC

    house.in_between = meanwhile
    house.deliver(slow[0])
    assert asha.plan() is Plan.BASIC
    assert asha.record == asha.truth


def test_nor_does_one_that_changes_nothing_let_it(house: StripeHouse, asha: Buyer):
    subscription_id = asha.buy()
    house.deliver_all()
    house.stripe.become(subscription_id, "past_due")
    first = house.stripe.take_events()

    def meanwhile() -> None:
        house.stripe.become(subscription_id, "active")  # what our table says still
        house.deliver_all()

    house.in_between = meanwhile
    house.deliver(first[0])
    assert asha.record == asha.truth
    assert asha.record is not None
    assert asha.record.status is SubscriptionStatus.ACTIVE


# --- Whose ---


def test_an_event_about_a_customer_who_is_not_ours_is_kept_and_changes_nothing(house: StripeHouse, asha: Buyer):
    asha.buy()
    [event, *_] = house.stripe.take_events()
    event["data"]["object"]["customer"] = "cus_of_somebody_else"
    event["data"]["object"]["metadata"] = {"user_id": str(asha.user_id)}
    house.deliver(event)
    assert asha.plan() is Plan.BASIC
    assert state_of(house, event["id"]) is InboxState.IGNORED
    assert house.deliver(event).duplicate


def test_unknown_kinds_are_kept(house: StripeHouse, asha: Buyer):
    house.stripe.decline(asha.subscribe())
    [event] = house.deliver_all()
    assert state_of(house, event["id"]) is InboxState.IGNORED
    assert asha.plan() is Plan.BASIC


def test_a_payment_makes_no_other_user_pro(house: StripeHouse, asha: Buyer):
    ravi = house.buyer(RAVI)
    asha.subscribe()
    ravi.buy()
    house.deliver_all()
    assert (asha.plan(), ravi.plan()) == (Plan.BASIC, Plan.PRO)


# --- Paid at the moment another checkout is asked for ---


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(hours=23, minutes=30)])
def test_what_is_paid_while_one_asks_is_not_sold_again(house: StripeHouse, asha: Buyer, age: timedelta, told: bool):
    first = asha.subscribe()
    house.clock.advance(age)

    def meanwhile() -> None:
        house.stripe.pay(first)
        if told:
            house.deliver_all()

    house.in_between = meanwhile
    with pytest.raises(AlreadySubscribed):
        asha.subscribe()
    assert len(house.stripe.look().sessions) == 1
    assert asha.plan() is Plan.PRO


def test_an_old_checkout_cannot_be_paid_beside_the_new_one(house: StripeHouse, asha: Buyer):
    first = asha.subscribe()
    house.clock.advance(timedelta(hours=23, minutes=30))
    second = asha.subscribe()
    assert second != first
    sessions = house.stripe.look().sessions
    assert (sessions[first]["status"], sessions[second]["status"]) == ("expired", "open")


# --- Later ---


def test_while_stripe_is_down_events_are_kept_and_then_applied_once(house: StripeHouse, asha: Buyer):
    asha.buy()
    events = house.stripe.take_events()
    house.down = True
    for event in events:
        assert not house.deliver(event).duplicate
        assert house.deliver(event).duplicate
    assert asha.plan() is Plan.BASIC
    assert house.maintenance.apply_pending().taken == 0  # not due yet
    house.clock.advance(timedelta(minutes=1))
    assert len(house.maintenance.apply_pending().failures) == len(events)
    house.down = False
    assert house.maintenance.apply_pending().taken == 0
    house.clock.advance(timedelta(hours=1))
    assert house.maintenance.apply_pending().applied == len(events)
    assert asha.plan() is Plan.PRO
    house.clock.advance(timedelta(hours=1))
    assert house.maintenance.apply_pending().taken == 0


def test_without_the_database_the_event_must_be_sent_again(house: StripeHouse, asha: Buyer):
    asha.buy()
    events = house.stripe.take_events()
    house.database_probe.on = False
    with pytest.raises(DependencyDown):
        house.deliver(events[0])
    house.database_probe.on = True
    house.deliver(events[0])
    assert asha.plan() is Plan.PRO


class Killed(BaseException):
    """kill -9."""


def test_a_crash_between_inbox_and_effect_is_made_good_by_the_sweeper_once(house: StripeHouse, asha: Buyer):
    asha.buy()
    house.down = True
    events = house.deliver_all()
    house.down = False
    house.clock.advance(timedelta(minutes=1))

    def die() -> None:
        raise Killed

    house.in_between = die
    with pytest.raises(Killed):
        house.maintenance.apply_pending()  # taken, and never applied
    assert asha.plan() is Plan.BASIC
    house.clock.advance(timedelta(hours=1))
    assert house.maintenance.apply_pending().applied == len(events)
    assert asha.plan() is Plan.PRO
    assert version_of(asha) == len(events)


def test_a_crash_while_it_is_received_leaves_nothing_and_stripe_sends_it_again(house: StripeHouse, asha: Buyer):
    asha.buy()
    [event, *_] = house.stripe.take_events()

    def die() -> None:
        raise Killed

    house.in_between = die
    with pytest.raises(Killed):
        house.deliver(event)
    assert state_of(house, event["id"]) is None
    assert not house.deliver(event).duplicate
    assert asha.plan() is Plan.PRO


def test_an_event_that_never_works_is_given_up_and_can_be_replayed(house: StripeHouse, asha: Buyer):
    asha.buy()
    [event, *_] = house.stripe.take_events()
    house.down = True
    house.deliver(event)
    for _ in range(60):
        house.clock.advance(timedelta(hours=1))
        house.maintenance.apply_pending()
    assert state_of(house, event["id"]) is InboxState.FAILED
    with pytest.raises(DependencyDown):
        house.maintenance.replay(event_id=event["id"])
    house.down = False
    assert house.maintenance.replay(event_id=event["id"]) is InboxState.DONE
    assert asha.plan() is Plan.PRO
    # A replay of what is done can only put things right.
    house.database.tables.subscription_records.clear()
    house.database.tables.subscriptions.clear()
    assert house.maintenance.replay(event_id=event["id"]) is InboxState.DONE
    assert asha.record == asha.truth
    assert house.maintenance.replay(event_id="evt_unknown") is None


# --- Reconciling ---


def test_what_was_never_told_is_found(house: StripeHouse, asha: Buyer):
    subscription_id = asha.buy()
    house.stripe.take_events()
    done = house.maintenance.reconcile()
    assert (done.compared, [healed.user_id for healed in done.corrected]) == (1, [asha.user_id])
    assert asha.plan() is Plan.PRO
    house.stripe.become(subscription_id, "canceled")
    assert house.maintenance.reconcile().compared == 0  # not within the hour
    house.clock.advance(timedelta(hours=1, seconds=1))
    [healed] = house.maintenance.reconcile().corrected
    assert healed.synced.before is not None
    assert healed.synced.before.status is SubscriptionStatus.ACTIVE
    assert asha.plan() is Plan.BASIC
    house.clock.advance(timedelta(hours=2))
    assert house.maintenance.reconcile().corrected == ()


def test_an_operator_need_not_wait(house: StripeHouse, asha: Buyer):
    asha.buy()
    house.maintenance.reconcile()
    house.clock.advance(timedelta(seconds=1))
    assert house.maintenance.reconcile(since=house.clock()).compared == 1
    assert house.maintenance.reconcile(since=house.clock()).compared == 0


def test_with_stripe_down_no_user_is_skipped(house: StripeHouse, asha: Buyer):
    asha.buy()
    house.down = True
    for _ in range(2):
        with pytest.raises(DependencyDown):
            house.maintenance.reconcile()
    house.down = False
    assert house.maintenance.reconcile().compared == 1
    assert asha.plan() is Plan.PRO


# --- Duplicates, refunds, disputes ---


def test_a_second_subscription_is_cancelled_and_refunded(house: StripeHouse, asha: Buyer):
    first = asha.buy()
    house.deliver_all()
    house.clock.advance(timedelta(days=1))
    second = house.stripe.sell(asha.customer_id, PRICE)
    events = house.deliver_all()
    # To end it takes longer than Stripe waits for an answer.
    assert {state_of(house, event["id"]) for event in events} == {InboxState.PENDING}
    assert asha.plan() is Plan.PRO
    house.clock.advance(timedelta(minutes=1))
    house.maintenance.apply_pending()
    objects = house.stripe.look()
    assert objects.subscriptions[first]["status"] == "active"
    assert objects.subscriptions[second]["status"] == "canceled"
    refunded = [charge for charge in objects.charges.values() if charge["refunded"]]
    assert len(objects.refunds) == len(refunded) == 1
    house.deliver_all()
    house.clock.advance(timedelta(hours=2))
    house.maintenance.apply_pending()
    house.maintenance.reconcile()
    assert len(house.stripe.look().refunds) == 1
    assert asha.record == asha.truth
    assert asha.record is not None
    assert asha.record.subscription_id == first


def test_a_second_one_whose_payment_is_on_its_way_is_refunded_when_it_arrives(house: StripeHouse, asha: Buyer):
    session = asha.subscribe()
    house.stripe.sell(asha.customer_id, PRICE)
    house.clock.advance(timedelta(minutes=1))
    second = house.stripe.pay_later(session)
    house.maintenance.reconcile()
    assert house.stripe.look().subscriptions[second]["status"] == "incomplete"
    house.stripe.payment_arrives(second)
    house.clock.advance(timedelta(hours=2))
    house.maintenance.reconcile()
    objects = house.stripe.look()
    assert objects.subscriptions[second]["status"] == "canceled"
    assert len(objects.refunds) == 1
    assert asha.plan() is Plan.PRO


def test_stopped_between_cancellation_and_refund_it_is_refunded_once(
    house: StripeHouse, asha: Buyer, monkeypatch: pytest.MonkeyPatch
):
    asha.buy()
    house.clock.advance(timedelta(days=1))
    second = house.stripe.sell(asha.customer_id, PRICE)
    house.stripe.take_events()

    def die(_self: object, _subscription_id: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(StripePayments, "refund", die)
        with pytest.raises(Killed):
            house.maintenance.reconcile()
    assert house.stripe.look().subscriptions[second]["status"] == "canceled"
    assert not house.stripe.look().refunds
    for _ in range(3):
        house.clock.advance(timedelta(hours=2))
        house.maintenance.return_payments()
        house.maintenance.reconcile()
    assert len(house.stripe.look().refunds) == 1
    assert asha.plan() is Plan.PRO
    assert house.maintenance.show_owed() == []


def test_a_duplicate_that_was_to_be_ended_and_still_runs_is_not_refunded(
    house: StripeHouse, asha: Buyer, monkeypatch: pytest.MonkeyPatch
):
    first = asha.buy()
    house.clock.advance(timedelta(days=1))
    house.stripe.sell(asha.customer_id, PRICE)

    def die(_self: object, _subscription_id: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(StripePayments, "cancel", die)
        with pytest.raises(Killed):
            house.maintenance.reconcile()
    house.stripe.become(first, "canceled")
    house.deliver_all()
    house.clock.advance(timedelta(hours=2))
    house.maintenance.return_payments()
    house.maintenance.reconcile()
    assert asha.record == asha.truth
    assert asha.plan() is Plan.PRO  # by the second one now, which is one too many no more
    assert not house.stripe.look().refunds
    assert house.maintenance.show_owed() == []


def test_what_cannot_be_refunded_now_is_ended_and_refunded_later(
    house: StripeHouse, asha: Buyer, monkeypatch: pytest.MonkeyPatch
):
    asha.buy()
    house.clock.advance(timedelta(days=1))
    second = house.stripe.sell(asha.customer_id, PRICE)

    def down(_self: object, _subscription_id: object) -> None:
        raise DependencyDown("stripe")

    with monkeypatch.context() as patched:
        patched.setattr(StripePayments, "refund", down)
        house.maintenance.reconcile()
    assert house.stripe.look().subscriptions[second]["status"] == "canceled"
    assert [(line.reference, line.state) for line in house.maintenance.show_owed()] == [(second, "due")]
    house.clock.advance(timedelta(hours=1))
    assert house.maintenance.return_payments() == 1
    assert len(house.stripe.look().refunds) == 1
    assert house.maintenance.show_owed() == []


def test_an_overdue_subscription_beside_a_paid_one_is_cancelled_and_not_refunded(house: StripeHouse, asha: Buyer):
    old = asha.buy()
    house.stripe.become(old, "past_due")
    house.clock.advance(timedelta(days=1))
    house.stripe.sell(asha.customer_id, PRICE)
    house.maintenance.reconcile()
    objects = house.stripe.look()
    assert objects.subscriptions[old]["status"] == "canceled"
    assert not objects.refunds
    assert asha.plan() is Plan.PRO


def test_duplicates_may_be_left_to_people():
    house = StripeHouse(BillingPolicy(price=PRICE, cancels_duplicates=False))
    asha = house.buyer()
    asha.buy()
    house.stripe.sell(asha.customer_id, PRICE)
    house.deliver_all()
    house.maintenance.reconcile()
    assert {one["status"] for one in house.stripe.look().subscriptions.values()} == {"active"}
    assert asha.plan() is Plan.PRO


def test_a_dispute_is_recorded_and_by_default_no_more(house: StripeHouse, asha: Buyer):
    house.stripe.dispute(asha.buy())
    events = house.deliver_all()
    house.deliver_all()
    billing = house.maintenance.explain(phone_or_id=ASHA)
    assert billing is not None
    assert [(line.event_id, line.kind, line.amount) for line in billing.billing.money] == [
        (events[-1]["id"], "dispute_opened", 900)
    ]
    assert asha.plan() is Plan.PRO


def test_a_dispute_may_end_the_subscription():
    house = StripeHouse(BillingPolicy(price=PRICE, cancels_on_dispute=True))
    asha = house.buyer()
    house.stripe.dispute(asha.buy())
    house.deliver_all()
    assert asha.plan() is Plan.PRO
    house.clock.advance(timedelta(minutes=1))
    house.maintenance.apply_pending()
    assert asha.plan() is Plan.BASIC
    assert asha.record == asha.truth


def test_an_operator_is_told_why(house: StripeHouse, asha: Buyer):
    room = house.room(asha.principal)
    for _ in range(5):
        house.say(asha.principal, room, "hi")
    found = house.maintenance.explain(phone_or_id=str(asha.user_id))
    assert found is not None
    assert (found.plan_status.plan, found.plan_status.quota.remaining) == (Plan.BASIC, 0)
    assert len(found.prompts) == 5
    assert found.days[0].used == 5
    assert found.billing.customer_id is None
    assert house.maintenance.explain(phone_or_id="+910000000000") is None
