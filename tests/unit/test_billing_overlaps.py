"""An erased user is charged for nothing, whatever overlaps: every step of one use case meets every other one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from application.billing.manage import EndBilling
from domain.errors import DomainError
from tests.builders import ASHA
from tests.stripe_house import Buyer, StripeHouse

STEPS = ("subscribe", "pay", "deliver", "lose", "erase", "sign up again", "land", "cancel", "sell", "lose rows")


class Overlapping(StripeHouse):
    """Before each request to Stripe, and after it, the next planned step may happen."""

    def __init__(self, plan: list[str]) -> None:
        self.plan = plan
        self.depth = 0
        self.gone: list[Buyer] = []
        self.opened: list[str] = []
        super().__init__()
        self.person: Buyer | None = self.buyer(ASHA)

    def _handle(
        self, method: str, url: str, headers: Mapping[str, str], body: str
    ) -> tuple[bytes, int, Mapping[str, str]]:
        self._meanwhile(method)
        answer = super()._handle(method, url, headers, body)
        self._meanwhile(method)
        return answer

    def _meanwhile(self, method: str) -> None:
        if self.plan and self.depth < 3 and self.plan.pop() == "now" and self.plan:
            self.step(self.plan.pop())

    def step(self, what: str) -> None:
        self.depth += 1
        try:
            self._do(what)
        except DomainError:
            pass  # an answer like any other
        finally:
            self.depth -= 1

    def _do(self, what: str) -> None:  # noqa: C901 - a step is a line
        person, billing = self.person, self.use_cases.billing
        objects = self.stripe.look()
        match what:
            case "pay":
                for session in objects.sessions.values():
                    if session["status"] == "open":
                        self.stripe.pay(session["id"])
            case "deliver":
                self.deliver_all()
            case "lose":
                self.stripe.take_events()
            case "sign up again" if person is None:
                self.person = self.buyer(ASHA)
            case "subscribe" if person is not None:
                billing.subscribe(user_id=person.user_id)
            case "erase" if person is not None:
                EndBilling(self.unit_of_work, self.provider, self.policy_of_billing)(user_id=person.user_id)
                self.use_cases.auth.erase_account(principal=person.principal)
                self.gone.append(person)
                self.person = None
            case "cancel" if person is not None:
                billing.set_renewal(user_id=person.user_id, renew=False)
            case "land":
                for session_id in objects.sessions:
                    billing.sync_checkout(checkout_id=session_id)
            case _:
                self.maintenance.reconcile()

    def settle(self) -> None:
        """Time goes by, and what is still open is paid through the kept URL."""
        self.plan.clear()
        for _ in range(4):
            self.step("pay")
            self.step("deliver")
            self.clock.advance(timedelta(hours=25))
            self.maintenance.apply_pending()
            self.maintenance.reconcile()
            self.maintenance.return_payments()
            self.maintenance.end_erased()

    def of_the_gone(self) -> list[dict[str, Any]]:
        """What Stripe has of users who left."""
        names = {str(one.user_id) for one in self.gone}
        objects = self.stripe.look()
        theirs = {one["id"] for one in objects.customers.values() if one["metadata"]["user_id"] in names}
        return [one for one in objects.subscriptions.values() if one["customer"] in theirs]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=8),
    st.lists(st.sampled_from(["now", "not now", *STEPS]), max_size=40),
)
def test_who_is_erased_is_charged_for_nothing_whatever_overlaps(steps: list[str], meanwhile: list[str]):
    house = Overlapping(list(meanwhile))
    for what in [*steps, "erase"]:
        house.step(what)
    house.settle()

    assert [one["id"] for one in house.of_the_gone() if one["status"] not in {"canceled", "incomplete_expired"}] == []
    if house.person is not None:
        runs = [one for one in house.stripe.look().subscriptions.values() if one["status"] == "active"]
        assert len(runs) <= 1, "sold twice"


def test_a_checkout_that_is_paid_after_the_erasure_is_refunded():
    house = Overlapping([])
    house.step("subscribe")
    [session] = house.stripe.look().sessions
    kept = house.stripe.look().sessions[session]
    assert house.person is not None
    house.use_cases.auth.erase_account(principal=house.person.principal)  # between hook and commit it was opened anew
    assert kept["status"] == "open"
    house.gone.append(house.person)
    house.person = None
    house.settle()
    [subscription] = house.of_the_gone()
    assert subscription["status"] == "canceled"
    assert len(house.stripe.look().refunds) == 1
