"""What each thing that Stripe can do with a subscription does here: the rows of docs/billing.md."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from adapters.stripe.payments import StripePayments
from adapters.stripe.webhook_events import StripeEventReader
from application.billing.ending import EndAndRefund
from application.billing.manage import EndBilling
from domain.accounts import UserId
from domain.billing import MAY_HAVE_BOUGHT_FOR, BillingPolicy, CheckoutState, CustomerId, InboxState, Mode
from domain.errors import AlreadySubscribed, DependencyDown, NotSubscribed, TokenInvalid
from domain.plans import Plan
from entrypoints.cli import billing as commands
from tests.builders import ASHA, PRICE, RAVI, WEBHOOK_SECRET
from tests.concurrency import eventually, together
from tests.fakes.stripe_server import serving
from tests.stripe_house import FOREIGN_PRICE, KEY, Buyer, StripeHouse


@pytest.fixture
def house() -> StripeHouse:
    return StripeHouse()


@pytest.fixture
def asha(house: StripeHouse) -> Buyer:
    return house.buyer(ASHA)


def told(house: StripeHouse) -> None:
    house.deliver_all()
    house.clock.advance(timedelta(minutes=1))
    house.maintenance.apply_pending()


def cancel(buyer: Buyer) -> None:
    buyer.house.use_cases.billing.set_renewal(user_id=buyer.user_id, renew=False)


def resume(buyer: Buyer) -> None:
    buyer.house.use_cases.billing.set_renewal(user_id=buyer.user_id, renew=True)


def leave(house: StripeHouse, buyer: Buyer) -> None:
    end = EndAndRefund(house.unit_of_work, house.provider)
    end_billing = EndBilling(house.unit_of_work, house.provider, house.policy_of_billing, end)
    replace(house.use_cases.auth.erase_account, erasure_hook=end_billing)(principal=buyer.principal)


def status(house: StripeHouse, subscription_id: str) -> str:
    return str(house.stripe.look().subscriptions[subscription_id]["status"])


def running(house: StripeHouse) -> list[str]:
    return [one["id"] for one in house.stripe.look().subscriptions.values() if one["status"] == "active"]


# --- Other products ---


def test_another_product_neither_blocks_nor_is_cancelled(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    other = house.stripe.sell(asha.customer_id, FOREIGN_PRICE)
    told(house)
    assert asha.plan() is Plan.BASIC
    with pytest.raises(NotSubscribed):
        cancel(asha)
    asha.buy()
    told(house)
    assert asha.plan() is Plan.PRO
    cancel(asha)
    assert not house.stripe.look().subscriptions[other]["cancel_at_period_end"]
    leave(house, asha)
    assert running(house) == [other]


def test_moved_to_another_price_it_is_basic_and_still_ours_to_end(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    with house.stripe._state() as objects:
        objects.subscriptions[mine]["items"]["data"][0]["price"]["id"] = "price_new_and_unlisted"
    told(house)
    assert asha.plan() is Plan.BASIC
    with pytest.raises(AlreadySubscribed):  # it is charged, so nothing is sold beside it
        asha.subscribe()
    leave(house, asha)
    assert status(house, mine) == "canceled"


# --- By hand, by schedule, by support ---


def test_one_by_hand_at_our_price_is_pro(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    house.stripe.sell(asha.customer_id, PRICE)
    told(house)
    assert asha.plan() is Plan.PRO


def test_one_under_a_schedule_can_be_cancelled_and_resumed(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    house.stripe.change(mine, schedule="sub_sched_1")
    cancel(asha)
    assert house.stripe.look().subscriptions[mine]["cancel_at_period_end"]
    resume(asha)
    assert not house.stripe.look().subscriptions[mine]["cancel_at_period_end"]


def test_a_replacement_by_support_counts_and_the_one_that_runs_out_is_left(house: StripeHouse, asha: Buyer):
    old = asha.buy()
    cancel(asha)
    house.clock.advance(timedelta(days=1))
    new = house.stripe.sell(asha.customer_id, PRICE)
    told(house)
    assert sorted(running(house)) == sorted([old, new])
    assert not house.stripe.look().refunds
    house.stripe.become(old, "canceled")
    told(house)
    assert asha.plan() is Plan.PRO


# --- Trials, pauses ---


def test_a_trial_is_pro_and_paused_after_it_is_basic(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    trial = house.stripe.sell(asha.customer_id, PRICE, "trialing")
    told(house)
    assert asha.plan() is Plan.PRO
    house.stripe.become(trial, "paused")
    told(house)
    assert asha.plan() is Plan.BASIC


@pytest.mark.parametrize(
    ("behavior", "plan"), [("void", Plan.BASIC), ("keep_as_draft", Plan.PRO), ("mark_uncollectible", Plan.PRO)]
)
def test_a_pause_of_collection_takes_pro_only_when_invoices_are_void(
    house: StripeHouse, asha: Buyer, behavior: str, plan: Plan
):
    mine = asha.buy()
    house.stripe.change(mine, pause_collection={"behavior": behavior, "resumes_at": None})
    told(house)
    assert asha.plan() is plan
    house.stripe.change(mine, pause_collection=None)
    told(house)
    assert asha.plan() is Plan.PRO


# --- Items ---


@pytest.mark.parametrize("others", [1, 25])
def test_our_price_among_many_items_is_pro(house: StripeHouse, asha: Buyer, others: int):
    mine = asha.buy()
    with house.stripe._state() as objects:
        items = objects.subscriptions[mine]["items"]["data"]
        [ours] = items
        more = [{**ours, "id": f"si_more_{n}", "price": {"id": FOREIGN_PRICE}} for n in range(others)]
        items[:] = [*more, ours]
    told(house)
    assert asha.plan() is Plan.PRO


# --- Statuses ---


def test_an_unknown_status_is_not_paid_and_not_over_and_stops_no_other(house: StripeHouse, asha: Buyer):
    ravi = house.buyer(RAVI)
    mine, his = asha.buy(), ravi.buy()
    told(house)
    house.stripe.change(mine, status="suspended")
    house.stripe.become(his, "canceled")
    house.stripe.take_events()
    house.clock.advance(timedelta(hours=2))
    house.maintenance.reconcile()
    assert (asha.plan(), ravi.plan()) == (Plan.BASIC, Plan.BASIC)
    with pytest.raises(AlreadySubscribed):
        asha.subscribe()
    leave(house, asha)
    assert status(house, mine) == "canceled"


def test_a_first_payment_that_did_not_come_is_given_up_for_a_new_checkout(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    stuck = house.stripe.sell(asha.customer_id, PRICE, "incomplete")
    asha.buy()
    assert status(house, stuck) == "canceled"
    told(house)
    assert asha.plan() is Plan.PRO


def test_there_is_no_grace_before_something_was_paid(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    house.stripe.sell(asha.customer_id, PRICE, "past_due")
    told(house)
    assert asha.plan() is Plan.BASIC


@pytest.mark.parametrize("stuck", ["past_due", "unpaid", "paused"])
def test_cancelling_what_is_not_paid_ends_it_at_once(house: StripeHouse, asha: Buyer, stuck: str):
    mine = asha.buy()
    house.stripe.become(mine, stuck)
    cancel(asha)
    assert status(house, mine) == "canceled"
    asha.buy()
    told(house)
    assert asha.plan() is Plan.PRO


def test_cancelling_ends_all_of_ours_that_would_renew():
    house = StripeHouse(BillingPolicy(price=PRICE, cancels_duplicates=False))
    asha = house.buyer()
    asha.buy()
    house.stripe.sell(asha.customer_id, PRICE)
    cancel(asha)
    assert all(one["cancel_at_period_end"] for one in house.stripe.look().subscriptions.values())


def test_cancelling_what_stripe_has_ended_says_so(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    told(house)
    house.stripe.become(mine, "canceled")
    house.stripe.take_events()
    for wish in (cancel, resume):
        with pytest.raises(NotSubscribed):
            wish(asha)
    assert asha.plan() is Plan.BASIC


def test_a_wish_is_not_answered_from_an_older_one(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    told(house)
    for _ in range(3):
        cancel(asha)
        assert house.stripe.look().subscriptions[mine]["cancel_at_period_end"]
        house.stripe.set_renewal(mine, renew=True)  # in the portal, and the event is lost
        house.stripe.take_events()


# --- Money back ---


def test_partial_refunds_add_up_to_what_was_refunded(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    for amount in (300, 200):
        house.stripe.give_back(mine, amount)
    told(house)
    found = house.maintenance.explain(phone_or_id=ASHA)
    assert found is not None
    assert sum(line.amount for line in found.billing.money) == 500
    assert asha.plan() is Plan.PRO


def test_refunds_told_twice_or_in_another_order_count_once(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    told(house)
    house.stripe.give_back(mine, 300)
    house.stripe.give_back(mine, 600)
    events = [event for event in house.stripe.take_events() if event["type"] == "charge.refunded"]
    for number, event in enumerate([*reversed(events), *events]):
        house.deliver({**event, "id": f"evt_again_{number}"})
    found = house.maintenance.explain(phone_or_id=ASHA)
    assert found is not None
    assert sum(line.amount for line in found.billing.money) == 900


def test_the_stages_of_a_dispute_are_one_amount(house: StripeHouse, asha: Buyer):
    house.stripe.dispute(asha.buy())
    [event] = [event for event in house.stripe.take_events() if event["type"] == "charge.dispute.created"]
    stages = ("created", "funds_withdrawn", "updated", "updated", "funds_reinstated", "closed")
    for number, stage in enumerate(stages):
        house.deliver({**event, "id": f"evt_dp_{number}", "type": f"charge.dispute.{stage}"})
    found = house.maintenance.explain(phone_or_id=ASHA)
    assert found is not None
    assert sum(line.amount for line in found.billing.money) == 900
    assert {line.kind for line in found.billing.money} == {"dispute_opened", "dispute_changed", "dispute_closed"}


def test_a_refund_that_is_refused_for_good_is_owed_and_keeps_nothing_alive(house: StripeHouse, asha: Buyer):
    first = asha.buy()
    told(house)
    house.clock.advance(timedelta(days=1))
    second = house.stripe.sell(asha.customer_id, PRICE)
    house.stripe.dispute(second)
    told(house)
    assert (status(house, first), status(house, second)) == ("active", "canceled")
    assert [(line.reference, line.state) for line in house.maintenance.show_owed()] == [(second, "refused")]


def test_a_refund_that_fails_later_is_owed(house: StripeHouse, asha: Buyer):
    refund = house.stripe.give_back(asha.buy(), 900)
    told(house)
    house.stripe.refund_fails(refund)
    told(house)
    assert [(line.reference, line.state) for line in house.maintenance.show_owed()] == [(refund, "failed")]


# --- Unknown customers ---


def test_a_customer_deleted_in_the_dashboard_is_made_anew(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    first = asha.customer_id
    house.stripe.delete_customer(first)
    told(house)
    assert asha.plan() is Plan.BASIC
    asha.buy()
    told(house)
    assert asha.customer_id != first
    assert asha.plan() is Plan.PRO


def forget_all(house: StripeHouse) -> None:
    """As under the key of another account."""
    with house.stripe._state() as objects:
        for table in (objects.customers, objects.sessions, objects.subscriptions, objects.answers):
            table.clear()
        objects.outbox.clear()


def test_a_customer_that_stripe_does_not_know_is_made_anew_and_stops_no_other(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    forget_all(house)
    ravi = house.buyer(RAVI)
    ravi.buy()
    house.stripe.take_events()
    house.clock.advance(timedelta(hours=2))
    house.maintenance.reconcile()
    assert (asha.plan(), ravi.plan()) == (Plan.BASIC, Plan.PRO)
    for wish in (cancel, resume):
        with pytest.raises(NotSubscribed):
            wish(asha)
    with pytest.raises(NotSubscribed):
        house.use_cases.billing.open_portal(user_id=asha.user_id)
    asha.buy()
    told(house)
    assert asha.plan() is Plan.PRO


def test_a_checkout_that_stripe_does_not_know_gives_way_to_a_new_one(house: StripeHouse, asha: Buyer):
    lost = asha.subscribe()
    with house.stripe._state() as objects:
        objects.sessions.clear()
    found = asha.subscribe()
    assert found != lost
    house.stripe.pay(found)
    told(house)
    assert asha.plan() is Plan.PRO


def test_under_a_key_of_another_account_nothing_is_changed(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    customer = asha.customer_id
    forget_all(house)
    house.stripe.account = "acct_other"
    house.restart()
    with capture_logs() as logs:
        for _ in range(3):
            house.clock.advance(timedelta(hours=2))
            with pytest.raises(DependencyDown):
                house.maintenance.reconcile()
        for wish in (asha.subscribe, lambda: cancel(asha), lambda: leave(house, asha)):
            with pytest.raises(DependencyDown):
                wish()
    [line] = [line for line in logs if line["event"] == "stripe_key_of_another_account"]
    assert (line["log_level"], line["account"], line["ours"]) == ("error", "acct_other", "acct_sandbox")
    assert (asha.plan(), asha.customer_id) == (Plan.PRO, customer)
    house.clock.advance(timedelta(days=38))
    assert asha.plan() is Plan.BASIC  # what was paid for is over


def test_an_operator_may_take_another_account_as_ours(
    house: StripeHouse, asha: Buyer, capsys: pytest.CaptureFixture[str]
):
    asha.buy()
    told(house)
    forget_all(house)
    house.stripe.account = "acct_other"
    house.restart()
    assert commands.stripe_account(house.maintenance, accept=False) == 1
    assert commands.stripe_account(house.maintenance, accept=True) == 0
    assert '"ours": "acct_other"' in capsys.readouterr().out
    house.clock.advance(timedelta(hours=2))
    house.maintenance.reconcile()
    assert asha.plan() is Plan.BASIC


def test_a_key_that_may_not_say_its_account_is_taken_as_ours(house: StripeHouse, asha: Buyer):
    house.stripe.account = None
    asha.buy()
    told(house)
    assert asha.plan() is Plan.PRO
    assert commands.stripe_account(house.maintenance, accept=False) == 0


def test_who_is_unknown_there_can_leave(house: StripeHouse, asha: Buyer):
    asha.buy()
    forget_all(house)
    leave(house, asha)


@pytest.mark.parametrize("before", [Mode.SANDBOX, Mode.TEST])
def test_rows_of_another_mode_give_nothing(house: StripeHouse, asha: Buyer, before: Mode):
    house.provider._mode = before
    asha.buy()
    told(house)
    assert asha.plan() is Plan.PRO
    house.provider._mode = Mode.LIVE
    house.down = True  # the provider is not asked
    assert house.maintenance.retire_modes() == 1
    assert asha.plan() is Plan.BASIC
    house.down = False
    house.provider._mode = before
    house.maintenance.reconcile()
    assert asha.plan() is Plan.PRO


def test_a_period_long_over_that_cannot_be_compared_is_basic(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    house.down = True
    house.clock.advance(timedelta(days=36))
    assert asha.plan() is Plan.PRO
    house.clock.advance(timedelta(days=2))
    assert asha.plan() is Plan.BASIC


# --- A restored backup ---


def lose_rows(house: StripeHouse) -> None:
    tables = house.database.tables
    for table in (tables.customers, tables.checkouts, tables.subscriptions, tables.subscription_records):
        table.clear()


def test_an_event_finds_the_payer_of_a_lost_row(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    customer = asha.customer_id
    told(house)
    lose_rows(house)
    house.stripe.renew(mine, paid=True)
    told(house)
    assert (asha.plan(), asha.customer_id) == (Plan.PRO, customer)


def test_a_payer_of_a_lost_row_is_not_sold_a_second_one(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    lose_rows(house)
    house.clock.advance(timedelta(days=3))
    with pytest.raises(AlreadySubscribed):
        asha.subscribe()
    assert len(house.stripe.look().customers) == 1


def test_a_payer_of_a_lost_row_leaves_and_is_charged_no_more(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    lose_rows(house)
    leave(house, asha)
    assert running(house) == []


def test_after_a_restore_all_payers_are_found(house: StripeHouse, asha: Buyer):
    ravi = house.buyer(RAVI)
    asha.buy()
    ravi.buy()
    told(house)
    lose_rows(house)
    assert set(house.maintenance.link_customers()) == {asha.user_id, ravi.user_id}
    assert house.maintenance.link_customers() == []
    house.maintenance.reconcile()
    assert (asha.plan(), ravi.plan()) == (Plan.PRO, Plan.PRO)


def test_a_customer_of_nobody_here_is_asked_for_once(house: StripeHouse, asha: Buyer):
    asha.buy()
    told(house)
    event = _events_of_a_stranger(house)[0]
    asked = _count_gets(house, "/v1/customers/")
    for number in range(5):
        house.deliver({**event, "id": f"evt_stranger_{number}"})
    assert asked() == 1


def _events_of_a_stranger(house: StripeHouse) -> list[dict[str, Any]]:
    answer, _, _ = house.stripe.handle(
        "POST", "https://x/v1/customers", {"Authorization": f"Bearer {KEY}", "Stripe-Version": "x"}, ""
    )
    house.stripe.sell(orjson.loads(answer)["id"], FOREIGN_PRICE)
    return house.stripe.take_events()


def _count_gets(house: StripeHouse, path: str) -> Any:
    handle, count = house.stripe.handle, [0]

    def counting(method: str, url: str, headers: Any, body: str) -> Any:
        count[0] += path in url
        return handle(method, url, headers, body)

    house.stripe.handle = counting  # type: ignore[method-assign]
    return lambda: count[0]


# --- Leaving while something is under way ---


def test_a_checkout_that_is_opened_while_its_user_is_erased_cannot_be_paid(
    house: StripeHouse, asha: Buyer, monkeypatch: pytest.MonkeyPatch
):
    opened = StripePayments.open_checkout

    def erase_meanwhile(self: StripePayments, *args: Any) -> Any:
        checkout = opened(self, *args)
        leave(house, asha)
        return checkout

    monkeypatch.setattr(StripePayments, "open_checkout", erase_meanwhile)
    with pytest.raises(TokenInvalid):
        asha.subscribe()
    [session] = house.stripe.look().sessions.values()
    assert session["status"] == CheckoutState.EXPIRED


def test_what_begins_for_an_erased_customer_is_ended_and_refunded(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    customer = asha.customer_id
    leave(house, asha)
    late = house.stripe.sell(customer, PRICE)  # by a schedule
    other = house.stripe.sell(customer, FOREIGN_PRICE)
    told(house)
    assert (status(house, late), status(house, other)) == ("canceled", "active")
    assert len(house.stripe.look().refunds) == 1


def test_and_also_when_no_event_tells_of_it(house: StripeHouse, asha: Buyer):
    asha.subscribe()
    customer = asha.customer_id
    leave(house, asha)
    late = house.stripe.sell(customer, PRICE)
    house.stripe.take_events()
    house.clock.advance(timedelta(days=2))
    house.maintenance.end_erased()
    assert status(house, late) == "canceled"
    assert len(house.stripe.look().refunds) == 1


def test_what_was_bought_while_leaving_is_ended_although_its_row_is_lost(
    house: StripeHouse, asha: Buyer, monkeypatch: pytest.MonkeyPatch
):
    end_all = EndBilling.__call__

    def buy_meanwhile(self: EndBilling, *, user_id: UserId) -> None:
        end_all(self, user_id=user_id)
        asha.buy()
        lose_rows(house)

    monkeypatch.setattr(EndBilling, "__call__", buy_meanwhile)
    leave(house, asha)
    assert len(running(house)) == 1
    assert house.maintenance.end_leavers() == 1
    assert running(house) == []
    assert len(house.stripe.look().refunds) == 1
    assert not house.database.tables.leavers


def test_who_left_while_stripe_was_down_is_charged_no_more_once_it_is_back(house: StripeHouse, asha: Buyer):
    mine = asha.buy()
    told(house)
    lose_rows(house)
    house.down = True
    leave(house, asha)
    with pytest.raises(DependencyDown):
        house.maintenance.end_leavers()
    house.down = False
    house.clock.advance(timedelta(minutes=11))
    assert house.maintenance.end_leavers() == 1
    assert status(house, mine) == "canceled"
    assert not house.database.tables.leavers


def test_who_never_bought_can_leave_while_stripe_is_down(house: StripeHouse, asha: Buyer):
    house.down = True
    leave(house, asha)
    ravi = house.buyer(RAVI)
    house.down = False
    ravi.buy()
    house.down = True
    with pytest.raises(DependencyDown):
        leave(house, ravi)


# --- Few questions ---


def test_customers_without_a_subscription_are_asked_for_daily(house: StripeHouse, asha: Buyer):
    ravi = house.buyer(RAVI)
    asha.subscribe()
    ravi.buy()
    told(house)
    house.clock.advance(MAY_HAVE_BOUGHT_FOR)
    house.maintenance.reconcile()
    compared = []
    for _ in range(24):
        house.clock.advance(timedelta(hours=1, seconds=1))
        compared.append(house.maintenance.reconcile().compared)
    assert sum(compared) == 24 + 1


def test_an_open_checkout_remembers_what_it_sold(house: StripeHouse, asha: Buyer):
    subscribe = house.use_cases.billing.subscribe
    web = subscribe(user_id=asha.user_id, success_url="https://app.example/web")
    assert subscribe(user_id=asha.user_id, success_url="https://app.example/web") == web
    app = subscribe(user_id=asha.user_id, success_url="https://app.example/app")
    sessions = house.stripe.look().sessions
    assert (sessions[web.id]["status"], sessions[app.id]["status"]) == ("expired", "open")
    assert sessions[app.id]["success_url"] == "https://app.example/app"


def test_events_of_one_purchase_that_come_at_once_ask_a_few_times(house: StripeHouse, asha: Buyer):
    house.stripe.pay(asha.subscribe())
    events = [{**event, "id": f"{event['id']}_{n}"} for event in house.stripe.take_events() for n in range(3)]
    want_to_know: list[str] = []
    handle = house.stripe.handle

    class Counted(StripePayments):
        def subscriptions_of(self, customer_id: CustomerId, *, hurry: bool = False) -> Any:
            want_to_know.append(customer_id)
            return super().subscriptions_of(customer_id, hurry=hurry)

    def once_all_have_come(method: str, url: str, headers: Any, body: str) -> Any:
        assert eventually(lambda: len(want_to_know) >= len(events))
        return handle(method, url, headers, body)

    house.stripe.handle = once_all_have_come  # type: ignore[method-assign]
    with serving(house.stripe) as server:
        over_http = Counted(api_key=KEY, base_url=server.url)
        receive = house.use_cases.billing.receive_event
        apply = replace(receive.apply, payments=over_http, sync=replace(receive.apply.sync, payments=over_http))
        receive = replace(receive, apply=apply)
        together(partial(house.deliver, event, receive=receive) for event in events)
        # The question that was under way when they came, and one for all of them; one more for who comes in between.
        assert len(events) == 12
        assert 1 <= len(server.asked) <= 3
    assert asha.plan() is Plan.PRO


# --- Other endpoints' events ---


@pytest.mark.parametrize(("mode", "live"), [(Mode.LIVE, False), (Mode.TEST, True)])
def test_events_of_another_mode_are_stored_and_do_nothing(house: StripeHouse, asha: Buyer, mode: Mode, live: bool):
    asha.buy()
    asked = _count_gets(house, "/v1/")
    receive = house.use_cases.billing.receive_event
    read_event = StripeEventReader(secrets=[WEBHOOK_SECRET], clock=house.clock, mode=mode)
    receive = replace(receive, read_event=read_event)
    events = [{**event, "livemode": live} for event in house.stripe.take_events()]
    with capture_logs() as logs:
        for event in events:
            assert not house.deliver(event, receive=receive).duplicate
    assert [line["event"] for line in logs] == ["webhook_event_of_another_mode"] * len(events)
    assert all(line["log_level"] == "error" and line["fix"] for line in logs)
    with house.unit_of_work() as work:
        kept = [work.billing.inbox.find(event["id"]) for event in events]
    assert {one.state for one in kept if one} == {InboxState.IGNORED}
    assert (asked(), asha.plan()) == (0, Plan.BASIC)
    house.deliver({**events[0], "id": "evt_of_this_mode", "livemode": not live}, receive=receive)
    assert asha.plan() is Plan.PRO


def test_events_this_endpoint_should_not_get_are_stored_and_do_nothing(house: StripeHouse, asha: Buyer):
    asha.buy()
    [event, *_] = house.stripe.take_events()
    thin = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.customer.subscription.updated",
        "created": "2026-03-02T09:30:00.000Z",
        "livemode": False,
        "related_object": {"id": "sub_1", "type": "subscription", "url": "/v1/subscriptions/sub_1"},
    }
    for strange in (thin, {**event, "id": "evt_connected", "account": "acct_1"}):
        house.deliver(strange)
        with house.unit_of_work() as work:
            kept = work.billing.inbox.find(str(strange["id"]))
        assert kept is not None
        assert kept.state is InboxState.IGNORED
    assert asha.plan() is Plan.BASIC
