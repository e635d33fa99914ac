"""Whatever happens at Stripe, and however its events arrive, our table ends in Stripe's state."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.billing import BillingPolicy
from domain.plans import Plan
from tests.builders import PRICE
from tests.stripe_house import FOREIGN_PRICE, OLD_PRICE, Buyer, StripeHouse

DEEDS = (
    "renew",
    "renew unpaid",
    "recover",
    "unpaid",
    "canceled",
    "paused",
    "active",
    "end",
    "resume",
    "buy",
    "sell a second one",
    "sell something else",
    "dispute",
    "a day passes",
)
EVENTS = (
    "one comes",
    "one comes twice",
    "one is lost",
    "all are lost",
    "stripe is down",
    "stripe is up",
    "sweep",
    "meanwhile",
)


class Life:
    """A subscription at Stripe and the events about it."""

    def __init__(self, choose: Any, *, cancels_duplicates: bool) -> None:
        self.house = StripeHouse(
            BillingPolicy(price=PRICE, old_prices=frozenset({OLD_PRICE}), cancels_duplicates=cancels_duplicates)
        )
        self.buyer: Buyer = self.house.buyer()
        self.house.stripe.pay(self.buyer.subscribe())
        self.choose = choose
        self.on_their_way: list[dict[str, Any]] = []
        self.lost = False

    def happens(self, what: str) -> None:
        stripe, one = self.house.stripe, self.choose(sorted(self.house.stripe.look().subscriptions))
        match what:
            case "renew" | "renew unpaid":
                stripe.renew(one, paid=what == "renew")
            case "recover":
                if stripe.look().subscriptions[one]["status"] in {"past_due", "unpaid"}:
                    stripe.payment_arrives(one)
            case "unpaid" | "canceled" | "paused" | "active":
                stripe.become(one, what)
            case "end" | "resume":
                if stripe.look().subscriptions[one]["status"] not in {"canceled", "incomplete_expired"}:
                    stripe.set_renewal(one, renew=what == "resume")
            case _:
                self.is_done(what, one)

    def is_done(self, what: str, one: str) -> None:
        """More of what may happen."""
        stripe = self.house.stripe
        match what:
            case "sell a second one":
                stripe.sell(self.buyer.customer_id, self.choose([PRICE, OLD_PRICE]))
            case "sell something else":
                stripe.sell(self.buyer.customer_id, FOREIGN_PRICE)
            case "dispute":
                stripe.dispute(one)
            case "a day passes":
                self.house.clock.advance(timedelta(days=1))
            case "buy":
                self.buys()
            case _:
                self.event(what)

    def buys(self) -> None:
        try:
            self.house.stripe.pay(self.buyer.subscribe())
        except Exception:  # noqa: BLE001 - there is one already, or Stripe is down
            return

    def event(self, what: str) -> None:
        self.on_their_way += self.house.stripe.take_events()
        match what:
            case "stripe is down" | "stripe is up":
                self.house.down = what == "stripe is down"
            case "all are lost":
                self.lost = True
                self.on_their_way.clear()
            case "sweep":
                self.house.clock.advance(timedelta(minutes=5))
                self.house.maintenance.apply_pending()
            case "meanwhile":
                self.house.in_between = lambda: self.happens(self.choose(["one comes", "canceled", "end", "renew"]))
            case _ if self.on_their_way:
                event = self.choose(self.on_their_way)
                if what != "one comes twice":
                    self.on_their_way.remove(event)
                if what == "one is lost":
                    self.lost = True
                else:
                    self.house.deliver(event)

    def settles(self) -> None:
        """All that is on its way arrives, in any order; and only what was lost is looked for."""
        self.house.down = False
        self.house.in_between = None
        for _ in range(20):
            self.on_their_way += self.house.stripe.take_events()
            while self.on_their_way:
                event = self.choose(self.on_their_way)
                self.on_their_way.remove(event)
                self.house.deliver(event)
            self.house.clock.advance(timedelta(hours=2))
            self.house.maintenance.apply_pending()
        if self.lost:
            self.house.maintenance.reconcile()


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(DEEDS + EVENTS + EVENTS), max_size=25),
    st.booleans(),
    st.data(),
)
def test_any_order_repetition_delay_or_loss_ends_in_stripes_state(
    happenings: list[str], cancels_duplicates: bool, data: st.DataObject
):
    life = Life(lambda options: data.draw(st.sampled_from(options)), cancels_duplicates=cancels_duplicates)
    for what in happenings:
        life.happens(what)
    life.settles()

    buyer, objects = life.buyer, life.house.stripe.look()
    assert buyer.record == buyer.truth
    paid_for = [
        one
        for one in objects.subscriptions.values()
        if one["status"] == "active" and one["items"]["data"][0]["price"]["id"] in {PRICE, OLD_PRICE}
    ]
    if paid_for:
        assert buyer.plan() is Plan.PRO
    if cancels_duplicates:
        # One that is set to end is charged no more.
        assert sum(not one["cancel_at_period_end"] for one in paid_for) <= 1, "charged twice"
    if buyer.plan() is Plan.PRO and not paid_for:
        assert buyer.record is not None
        assert buyer.record.at(life.house.clock()).in_grace
    # No user is refunded more often than charged.
    charges = [refund["charge"] for refund in objects.refunds.values()]
    assert len(charges) == len(set(charges))
