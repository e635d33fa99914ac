"""An erased user is charged for nothing, nobody is charged twice, nobody is Pro unpaid, whatever overlaps.

Requests, workers, the buyer and the provider's events take turns: each may stop before every question to the provider
and before every transaction, while others go on, and may be killed there. The provider may be down for a question, or
answer into a broken line.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.memory.payments import MemoryPayments
from adapters.memory.tables import Tables
from application.billing.ending import EndAndRefund
from application.billing.manage import EndBilling
from application.ports.payment_events import ReadPaymentEvent
from application.ports.runtime import Clock
from domain.accounts import Principal, UserId
from domain.billing import (
    BillingPolicy,
    CheckoutId,
    CheckoutState,
    Concern,
    PaymentEvent,
    ProvidedSubscription,
    SubscriptionId,
)
from domain.errors import DependencyDown, DomainError
from domain.plans import Plan
from tests.builders import ASHA, PRICE, House
from tests.turns import Killed, Turn, Turns

DAY = timedelta(hours=25)

BEFORE = {
    "nothing": (),
    "an open checkout": ("subscribe",),
    "paid": ("subscribe", "pay"),
    "Pro": ("subscribe", "pay", "event"),
    "restored with an open checkout": ("subscribe", "restore"),
    "restored after paying": ("subscribe", "pay", "event", "restore"),
    "restored days after paying": ("subscribe", "pay", "event", "a day passes", "restore"),
    "bought twice": ("subscribe", "restore", "subscribe in the app", "pay"),
    "begun after leaving": ("subscribe", "erase", "begin by schedule"),
}


@dataclass(frozen=True)
class Deed:
    """What somebody does, and what goes wrong meanwhile.

    ``down_at``: the number of the question to the provider that it does not answer, from 1; ``lost_at``: the one that
    it answers in vain, having done what was asked; ``dies_at``: the pause at which the process dies.
    """

    what: str
    down_at: int = 0
    lost_at: int = 0
    dies_at: int = 0

    @property
    def is_undisturbed(self) -> bool:
        return not (self.down_at or self.lost_at or self.dies_at)


class TakingTurns(MemoryPayments):
    """Pauses before each answer, and fails where the deed under way says so."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.turns = Turns()
        self.deeds: dict[Turn, Deed] = {}
        self.asked: dict[Turn, int] = {}

    def _answering(self, call: str) -> AbstractContextManager[Any]:
        self.turns.pause()
        turn = self.turns.running
        if turn is None:
            return super()._answering(call)
        number = self.asked[turn] = self.asked.get(turn, 0) + 1
        if number == self.deeds[turn].down_at:
            raise DependencyDown(self.name)
        answer = super()._answering(call)
        return self._lost(answer) if number == self.deeds[turn].lost_at else answer

    @contextmanager
    def _lost(self, answer: AbstractContextManager[Any]) -> Iterator[None]:
        with answer:
            yield
        raise DependencyDown(self.name)

    def runs(self) -> list[ProvidedSubscription]:
        return [one for one in self.subscriptions.values() if not one.ended]

    def open_ones(self) -> list[CheckoutId]:
        return [one for one in self.orders if self._checkout(one).state is CheckoutState.OPEN]

    def user_of_checkout(self, checkout_id: CheckoutId) -> UserId:
        return self.orders[checkout_id][0].user_id

    def user_of_subscription(self, subscription_id: SubscriptionId) -> UserId:
        return self._names[self.subscriptions[subscription_id].customer_id]


class Overlapping:
    """One person, who may leave and sign up again, and all that happens around their money."""

    def __init__(self, house: House, before: str) -> None:
        self.house = house
        house.database.commit(Tables())
        provider = house.use_cases.billing.subscribe.payments
        assert isinstance(provider, TakingTurns)
        self.provider = provider
        TakingTurns.__init__(provider, house.clock)  # empty again
        self.turns = self.provider.turns
        house.unit_of_work.before_each = self._pause_and_look
        self.numbers = count(1)
        self.person: Principal | None = None
        self.outbox: list[PaymentEvent] = []
        self.delivered: list[PaymentEvent] = []
        self.lost_an_event = False
        self.kept: set[CheckoutId] = set()
        self.charged_after_leaving: list[SubscriptionId] = []
        # What ran when somebody began to leave, and what an erasure has ended, also one that failed then.
        self.left_behind: list[set[SubscriptionId]] = []
        self.given_up: set[SubscriptionId] = set()
        self.disturbed = False
        # Orders that were there when somebody began to leave, also those whose checkout was just being opened.
        self.begun_before: set[UUID] = set()
        self._erase = replace(
            house.use_cases.auth.erase_account,
            erasure_hook=EndBilling(
                house.unit_of_work,
                self.provider,
                BillingPolicy(price=PRICE),
                EndAndRefund(house.unit_of_work, self.provider),
            ),
        )
        self.sign_up()
        for what in BEFORE[before]:
            self.do(what)

    @property
    def tables(self) -> Tables:
        return self.house.database.tables

    def is_here(self, user_id: UserId) -> bool:
        return user_id in self.tables.users

    def _pause_and_look(self) -> None:
        self.turns.pause()
        self.kept |= {row.checkout_id for row in self.tables.checkouts.values() if row.checkout_id is not None}

    # --- What may happen ---

    def begin(self, deed: Deed) -> Turn:
        turn = self.turns.begin(lambda: self.do(deed.what), dies_at=deed.dies_at)
        self.provider.deeds[turn] = deed
        self.disturbed |= not deed.is_undisturbed
        return turn

    def do(self, what: str) -> None:
        with suppress(DomainError):  # an answer like any other
            getattr(self, what.replace(" ", "_"))()

    def sign_up(self) -> None:
        person = self.house.user(ASHA)
        self.person = person if self.is_here(person.user_id) else None

    def subscribe(self, back: str | None = None) -> None:
        if self.person is not None:
            self.house.use_cases.billing.subscribe(user_id=self.person.user_id, success_url=back)

    def subscribe_in_the_app(self) -> None:
        self.subscribe("https://app.example/back")

    def pay(self) -> None:
        for checkout_id in self.provider.open_ones():
            self._bought(self.provider.pay(checkout_id), checkout_id)

    def a_day_passes(self) -> None:
        self.house.clock.advance(DAY)

    def begin_by_schedule(self) -> None:
        """Something that was arranged before begins for a customer whose user has left."""
        for user_id, customer_id in self.provider.customers.items():
            if not self.is_here(user_id):
                self._bought(self.provider.sell(customer_id, PRICE), None)

    def _bought(self, subscription_id: SubscriptionId, checkout_id: CheckoutId | None) -> None:
        user_id = self.provider.user_of_subscription(subscription_id)
        if not self.is_here(user_id):
            self.charged_after_leaving.append(subscription_id)
        for kind in ("checkout.session.completed", "customer.subscription.created"):
            self.outbox.append(
                PaymentEvent(
                    id=f"evt_{next(self.numbers)}",
                    type=kind,
                    created_at=self.house.clock(),
                    concern=Concern.SUBSCRIPTION,
                    customer_id=self.provider.subscriptions[subscription_id].customer_id,
                    checkout_id=checkout_id if kind.startswith("checkout") else None,
                    named_user=user_id,
                )
            )

    def event(self) -> None:
        if self.outbox:
            self._deliver(self.outbox.pop(0))

    def newest_event_first(self) -> None:
        if self.outbox:
            self._deliver(self.outbox.pop())

    def event_again(self) -> None:
        if self.delivered:
            self._deliver(self.delivered[0])

    def lose_events(self) -> None:
        self.lost_an_event |= bool(self.outbox)
        self.outbox.clear()

    def _deliver(self, event: PaymentEvent) -> None:
        self.delivered.append(event)
        receive = replace(self.house.use_cases.billing.receive_event, read_event=_Reads(event))
        receive(body=b"", signature=None)

    def land(self) -> None:
        for checkout_id in list(self.provider.orders):
            self.house.use_cases.billing.sync_checkout(checkout_id=checkout_id)

    def cancel(self) -> None:
        if self.person is not None:
            self.house.use_cases.billing.set_renewal(user_id=self.person.user_id, renew=False)

    def erase(self) -> None:
        person, provider = self.person, self.provider
        if person is None:
            return
        begun_before = {row.order.attempt_id for row in self.tables.checkouts.values()}
        open_before = [one for one in provider.open_ones() if provider.user_of_checkout(one) == person.user_id]
        ran_before = {one.id for one in provider.runs() if provider.user_of_subscription(one.id) == person.user_id}
        self.left_behind.append(ran_before)
        try:
            self._erase(principal=person)
        finally:
            mine = {one for one in provider.subscriptions if provider.user_of_subscription(one) == person.user_id}
            self.given_up |= {one for one in mine if provider.subscriptions[one].ended}
        self.person = self.person if self.person != person else None
        self.begun_before |= begun_before
        if not self.disturbed:
            assert not set(open_before) & set(provider.open_ones()), "left open by the erasure"
            assert not ran_before & {one.id for one in provider.runs()}, "left running by the erasure"

    def restore(self) -> None:
        """An older backup takes the place of the database: what was bought since is not in it."""
        tables = self.tables.copy()
        for table in (tables.customers, tables.checkouts, tables.subscriptions, tables.subscription_records):
            table.clear()
        tables.leavers = {one: row for one, row in tables.leavers.items() if not self.is_here(one)}
        self.house.database.commit(tables)

    def work(self) -> None:
        self.house.maintenance.apply_pending()
        self.house.maintenance.reconcile(since=self.house.clock())
        self.house.maintenance.return_payments()
        self.house.maintenance.end_leavers()
        self.house.maintenance.end_erased()

    # --- The end ---

    def finish(self) -> None:
        """All that is under way comes to its end, and nothing has been swept yet."""
        self.turns.finish()
        if self.disturbed:
            return
        left_open = self._open_for_nobody()
        assert set(left_open) <= self.kept, "opened for nobody, and left open"
        assert not {self.provider.orders[one][0].attempt_id for one in left_open} & self.begun_before, "left open"

    def settle(self, *, by_events: bool, swept: bool = False) -> None:
        """Time goes by. What can be paid through a kept URL is paid.

        Customers of erased users are found by events or by the daily look at them: each of the two is enough.
        ``swept``: workers come before anybody pays.
        """
        maintenance = self.house.maintenance
        if swept:
            maintenance.end_leavers()
            maintenance.end_erased()
            assert self._open_for_nobody() == [], "can be paid, though workers have looked"
        for _ in range(3):
            self.pay()
            if by_events:
                while self.outbox:
                    self.newest_event_first()
            else:
                self.lose_events()
            self.house.clock.advance(timedelta(minutes=10))
            maintenance.apply_pending()
            maintenance.link_customers()
            maintenance.reconcile(since=self.house.clock())
            maintenance.return_payments()
            maintenance.end_leavers()
            if not by_events:
                maintenance.end_erased()
            self.house.clock.advance(DAY)
        self._check()
        self._all_leave()

    def _check(self) -> None:
        provider = self.provider
        assert self._open_for_nobody() == []
        by_user: dict[UserId, list[ProvidedSubscription]] = {}
        for one in provider.runs():
            by_user.setdefault(provider.user_of_subscription(one.id), []).append(one)
        for user_id, running in by_user.items():
            assert self.is_here(user_id), "who was erased is charged"
            assert self._plan(user_id) is Plan.PRO, "who pays is Basic"
            assert len(running) == 1, "charged twice"
        not_returned = {one for one in provider.subscriptions if one not in provider.refunded}
        assert not not_returned & set(self.charged_after_leaving), "paid after leaving, and not returned"
        for left in self.left_behind:
            assert len(left & not_returned) <= 1, "paid twice before leaving, and not returned"
        for user_id in self.tables.users:
            paid = {one for one in not_returned - self.given_up if provider.user_of_subscription(one) == user_id}
            assert len(paid) <= 1, "paid twice, and not returned"
            assert self._plan(user_id) is Plan.BASIC or user_id in by_user, "Pro unpaid"

    def _all_leave(self) -> None:
        """All who are here can leave, and are charged no more."""
        for session in list(self.tables.sessions.values()):
            if self.is_here(session.user_id):
                self._erase(principal=Principal(session.user_id, session.id, session.method, session.started_at))
        assert not self.tables.users
        assert not self._open_for_nobody()
        assert not self.provider.runs()

    def _open_for_nobody(self) -> list[CheckoutId]:
        return [one for one in self.provider.open_ones() if not self.is_here(self.provider.user_of_checkout(one))]

    def _plan(self, user_id: UserId) -> Plan:
        return self.house.use_cases.billing.show_plan_status(user_id=user_id).plan


class _Reads(ReadPaymentEvent):
    def __init__(self, event: PaymentEvent) -> None:
        self._event = event

    def __call__(self, body: bytes, signature: str | None) -> PaymentEvent:
        return self._event


@pytest.fixture(scope="module")
def house() -> House:
    """Emptied for each run: it takes longer to build than a run does."""
    return House(payments=TakingTurns)


DEEDS = (
    "subscribe",
    "subscribe in the app",
    "pay",
    "event",
    "newest event first",
    "event again",
    "land",
    "cancel",
    "erase",
    "sign up",
    "work",
    "begin by schedule",
)
RARELY = ("lose events", "restore")


def run_both(run: Overlapping, deeds: tuple[str, str], stops: tuple[int, int]) -> tuple[bool, ...]:
    """The first up to a pause, the second up to one of its own, and both to the end; whether each came so far."""
    turns = [run.begin(Deed(what)) for what in deeds]
    for turn, wanted in zip(turns, stops, strict=True):
        while not turn.ended and turn.pauses < wanted:
            run.turns.step(turn)
    came_so_far = tuple(not turn.ended for turn in turns)
    run.finish()
    assert [turn.error for turn in turns] == [None, None]
    run.settle(by_events=stops[0] % 2 == 0, swept=stops[1] > 1)
    return came_so_far


@pytest.mark.parametrize("before", ["nothing", "an open checkout", "paid", "Pro", "restored after paying"])
@pytest.mark.parametrize(
    "other", ["subscribe", "pay", "event", "land", "cancel", "sign up", "work", "begin by schedule"]
)
def test_whatever_happens_at_any_step_of_leaving_and_whenever_one_leaves(house: House, before: str, other: str):
    for deeds in (("erase", other), (other, "erase")):
        stops = (1, 1)
        while True:
            goes_on, second_goes_on = run_both(Overlapping(house, before), deeds, stops)
            if second_goes_on:
                stops = (stops[0], stops[1] * 2)  # every one would take minutes
            elif goes_on:
                stops = (stops[0] + 1, 1)
            else:
                break


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("fault", ["down_at", "lost_at", "dies_at"])
def test_whatever_fails_at_any_step_is_made_good(house: House, before: str, fault: str):
    for what in ("subscribe", "event", "land", "cancel", "erase", "work"):
        for number in count(1):
            run = Overlapping(house, before)
            turn = run.begin(Deed(what, **{fault: number}))
            run.finish()
            assert turn.error is None or isinstance(turn.error, Killed)
            run.settle(by_events=number % 2 == 0)
            if number > (turn.pauses if fault == "dies_at" else run.provider.asked.get(turn, 0)):
                break


@pytest.mark.parametrize("before", ["nothing", "Pro"])
@pytest.mark.parametrize("swept", [True, False])
def test_a_backup_restored_at_any_step_of_leaving_and_buying_hides_no_checkout(house: House, before: str, swept: bool):
    stops = [0, 0, 0]
    while stops[0] >= 0:
        run = Overlapping(house, before)
        buying, leaving = run.begin(Deed("subscribe")), run.begin(Deed("erase"))
        came_so_far = []
        for turn, wanted in zip((buying, leaving, buying), (stops[0], stops[1], stops[0] + stops[2]), strict=True):
            while not turn.ended and turn.pauses < wanted:
                run.turns.step(turn)
            came_so_far.append(not turn.ended)
        run.restore()
        run.turns.finish()
        assert [turn.error for turn in (buying, leaving)] == [None, None]
        run.settle(by_events=False, swept=swept)
        stops = _next_stops(stops, came_so_far)


def _next_stops(stops: list[int], came_so_far: list[bool]) -> list[int]:
    """The next of all combinations, of which the last stop changes fastest; the first is -1 after the last one."""
    first, second, third = stops
    if came_so_far[2]:
        return [first, second, third + 1]
    if came_so_far[1]:
        return [first, second + 1, 0]
    return [first + 1, 0, 0] if came_so_far[0] else [-1, 0, 0]


moments = st.integers(1, 12)
deeds = st.builds(Deed, st.sampled_from(DEEDS)) | st.one_of(
    st.builds(Deed, st.sampled_from(RARELY)),
    st.builds(Deed, st.sampled_from(DEEDS), down_at=moments),
    st.builds(Deed, st.sampled_from(DEEDS), lost_at=moments),
    st.builds(Deed, st.sampled_from(DEEDS), dies_at=moments),
)


@settings(max_examples=400, deadline=None)
@example(
    before="Pro",
    planned=[Deed("subscribe"), Deed("erase"), Deed("restore")],
    choices=[0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2],
    afterwards={"by_events": False, "swept": True},
)
@example(
    before="Pro",
    planned=[Deed("subscribe"), Deed("erase"), Deed("restore")],
    choices=[0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2],
    afterwards={"by_events": False, "swept": False},
)
@given(
    st.sampled_from(sorted(BEFORE)),
    st.lists(deeds, min_size=2, max_size=7),
    st.lists(st.integers(0, 5), max_size=60),
    st.fixed_dictionaries({"by_events": st.booleans(), "swept": st.booleans()}),
)
def test_and_in_any_order_with_any_of_them_failing(
    house: House, before: str, planned: list[Deed], choices: list[int], afterwards: dict[str, bool]
):
    run = Overlapping(house, before)
    waiting, begun = list(planned), []
    for choice in choices:
        may_go_on = [*run.turns.under_way, *(["next"] if waiting and len(run.turns.under_way) < 3 else [])]
        if not may_go_on:
            break
        chosen = may_go_on[choice % len(may_go_on)]
        if isinstance(chosen, Turn):
            run.turns.step(chosen)
        else:
            begun.append(run.begin(waiting.pop(0)))
    run.finish()
    for deed in waiting:
        begun.append(run.begin(deed))
        run.finish()
    assert [turn.error for turn in begun if turn.error and not isinstance(turn.error, Killed)] == []
    run.settle(by_events=afterwards["by_events"] and not run.lost_an_event, swept=afterwards["swept"])
