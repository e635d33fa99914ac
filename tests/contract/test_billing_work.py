"""The contract of what is kept of customers, checkouts, subscriptions and payment events; and of the ledger."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from adapters.memory.ledger import MemoryLedger
from adapters.sql.billing import SqlBilling
from adapters.sql.ledger import SqlLedger
from adapters.sql.subscriptions import IS_PRO
from application.ports.ledger import DayOfUse, Ledger
from application.ports.payments import Order
from application.ports.unit_of_work import UnitOfWork
from domain.accounts import UserId
from domain.billing import (
    CheckoutId,
    Concern,
    CustomerId,
    InboxState,
    Mode,
    Money,
    MoneyKind,
    OwedState,
    PaymentEvent,
    RetryEvents,
    SubscriptionId,
    SubscriptionRecord,
    SubscriptionStatus,
    has_lapsed,
)
from domain.errors import DependencyDown
from domain.plans import Plan
from domain.replies import Answer, FailureReason, ReplyState
from tests.concurrency import together
from tests.contract.world import ALLOWANCES, MOMENT, THREADS, MemoryWorld, SqlWorld, World

ROUNDS = 25
AT_ONCE = RetryEvents(first_wait=timedelta(), longest_wait=timedelta(), max_attempts=3)
LATER = RetryEvents(first_wait=timedelta(hours=1))

RECORD = SubscriptionRecord(
    subscription_id=SubscriptionId("sub_1"),
    price_id="price_pro",
    status=SubscriptionStatus.ACTIVE,
    current_period_end=MOMENT + timedelta(days=30),
    cancel_at_period_end=True,
    price_is_ours=True,
    grace_ends_at=None,
)


def an_event(**changes: object) -> PaymentEvent:
    event = PaymentEvent(
        id=f"evt_{uuid4().hex}",
        type="customer.subscription.updated",
        created_at=MOMENT.replace(microsecond=0),
        concern=Concern.SUBSCRIPTION,
        customer_id=CustomerId("cus_1"),
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def an_order(user_id: UserId) -> Order:
    return Order(uuid4(), user_id, "price_pro", "https://chat.example/success", "https://chat.example/cancel")


def write(world: World, action: Callable[[UnitOfWork], object]) -> None:
    with world.unit_of_work() as work:
        action(work)
        work.commit()


class BillingWorkContract:
    # --- Customers ---

    def test_a_user_is_one_customer_however_many_add_one(self, world: World) -> None:
        user = world.user()

        def add(number: int) -> CustomerId:
            with world.unit_of_work() as work:
                counts = work.billing.customers.add(user.id, CustomerId(f"cus_{number}"))
                work.commit()
            assert counts is not None
            return counts

        with world.unit_of_work() as work:
            assert work.billing.customers.of(user.id) is None
        added = together([lambda number=number: add(number) for number in range(THREADS)])  # type: ignore[misc]
        assert len(set(added)) == 1
        with world.unit_of_work() as work:
            assert work.billing.customers.of(user.id) == added[0]
            assert work.billing.customers.owner(added[0]) == user.id
            assert work.billing.customers.owner(CustomerId("cus_unknown")) is None

    def test_the_same_customer_may_be_added_by_several_at_once(self, world: World) -> None:
        for number in range(ROUNDS):
            user, customer = world.user(), CustomerId(f"cus_{number}")

            def add(user_id: UserId = user.id, customer_id: CustomerId = customer) -> CustomerId | None:
                with world.unit_of_work() as work:
                    added = work.billing.customers.add(user_id, customer_id)
                    work.commit()
                return added

            assert set(together([add] * THREADS)) == {customer}

    def test_each_customer_is_taken_once_for_comparison(self, world: World) -> None:
        users = [world.user().id for _ in range(5)]
        for number, user_id in enumerate(users):
            write(world, lambda work, u=user_id, n=number: work.billing.customers.add(u, CustomerId(f"cus_{n}")))  # type: ignore[misc]
        since = datetime.now(UTC) - timedelta(hours=1)

        def take() -> list[UserId]:
            with world.unit_of_work() as work:
                taken = work.billing.customers.take_unreconciled(since=since, limit=2)
                work.commit()
            return [one.user_id for one in taken]

        taken = [user_id for batch in together([take] * 4) for user_id in batch]
        taken += take() + take()
        assert sorted(taken) == sorted(users)
        assert take() == []
        write(world, lambda work: work.billing.customers.reconcile_again(users[3]))
        assert take() == [users[3]]
        since = datetime.now(UTC) + timedelta(hours=1)  # a clock that is ahead
        assert len(take() + take() + take()) == 5
        assert take() == []

    def test_a_customer_of_another_mode_is_none_and_is_replaced(self, world: World) -> None:
        user = world.user()
        sandbox, live = CustomerId(f"cus_{uuid4().hex}"), CustomerId(f"cus_{uuid4().hex}")
        write(world, lambda work: work.billing.customers.add(user.id, sandbox, mode=Mode.SANDBOX))
        with world.unit_of_work() as work:
            assert work.billing.customers.of(user.id) == sandbox
            assert work.billing.customers.of(user.id, mode=Mode.SANDBOX) == sandbox
            assert [work.billing.customers.of(user.id, mode=mode) for mode in (Mode.LIVE, Mode.TEST, Mode.NONE)] == [
                None
            ] * 3
        write(world, lambda work: work.billing.customers.add(user.id, CustomerId("cus_x"), mode=Mode.SANDBOX))
        write(world, lambda work: work.billing.customers.add(user.id, live, mode=Mode.LIVE))
        with world.unit_of_work() as work:
            assert work.billing.customers.of(user.id, mode=Mode.LIVE) == live
            assert work.billing.customers.of(user.id, mode=Mode.NONE) == live

    def test_an_unknown_customer_is_replaced_and_no_other(self, world: World) -> None:
        user = world.user()
        first, second = CustomerId(f"cus_{uuid4().hex}"), CustomerId(f"cus_{uuid4().hex}")
        write(world, lambda work: work.billing.customers.add(user.id, first))
        with world.unit_of_work() as work:
            assert work.billing.customers.add(user.id, second, instead_of=CustomerId("cus_z")) == first
            assert work.billing.customers.add(user.id, second, instead_of=first) == second

    def test_an_erased_user_gets_no_customer_and_no_checkout(self, world: World) -> None:
        with world.unit_of_work() as work:
            assert work.billing.customers.add(UserId(uuid4()), CustomerId("cus_1")) is None
            assert work.billing.checkouts.begin(an_order(UserId(uuid4())), instead_of=None) is None

    def test_who_left_unsearched_is_taken_once_erased_until_found(self, world: World) -> None:
        stays, leaves = world.user(), world.user()
        for user_id in (stays.id, leaves.id, leaves.id):
            write(world, lambda work, u=user_id: work.billing.leavers.note(u))  # type: ignore[misc]
        write(world, lambda work: work.erasure.erase(leaves.id, phone_digest="p"))
        now = datetime.now(UTC)

        def take(since: datetime) -> list[UserId]:
            with world.unit_of_work() as work:
                taken = work.billing.leavers.take(since=since, limit=9)
                work.commit()
            return list(taken)

        assert take(now - timedelta(hours=1)) == [leaves.id]
        assert take(now - timedelta(hours=1)) == []
        assert take(now + timedelta(hours=1)) == [leaves.id]
        customers = [CustomerId("cus_1"), CustomerId("cus_2")]
        write(world, lambda work: work.billing.leavers.found(leaves.id, customers))
        assert take(now + timedelta(hours=2)) == []
        with world.unit_of_work() as work:
            assert all(work.billing.customers.is_erased(customer) for customer in customers)

    def test_the_first_account_of_a_mode_stays_until_it_is_changed(self, world: World) -> None:
        def remember(mode: Mode, account: str) -> str:
            with world.unit_of_work() as work:
                kept = work.billing.accounts.remember(mode, account)
                work.commit()
            return kept

        assert remember(Mode.LIVE, "acct_1") == "acct_1"
        assert remember(Mode.LIVE, "acct_2") == "acct_1"
        assert remember(Mode.TEST, "acct_2") == "acct_2"
        write(world, lambda work: work.billing.accounts.change(Mode.LIVE, "acct_3"))
        assert remember(Mode.LIVE, "acct_1") == "acct_3"

    def test_customers_of_erased_users_are_remembered_and_taken_once_a_while(self, world: World) -> None:
        user = world.user()
        customer = CustomerId(f"cus_{uuid4().hex}")
        write(world, lambda work: work.billing.customers.add(user.id, customer))
        with world.unit_of_work() as work:
            assert not work.billing.customers.is_erased(customer)
        write(world, lambda work: work.erasure.erase(user.id, phone_digest="0" * 24))
        now = datetime.now(UTC)

        def take(erased_since: datetime, since: datetime) -> list[CustomerId]:
            with world.unit_of_work() as work:
                taken = work.billing.customers.take_erased(erased_since=erased_since, since=since, limit=9)
                work.commit()
            return list(taken)

        with world.unit_of_work() as work:
            assert work.billing.customers.is_erased(customer)
            assert work.billing.customers.owner(customer) is None
        assert take(now + timedelta(days=1), now) == []
        yesterday = now - timedelta(days=1)
        assert [take(yesterday, yesterday), take(yesterday, yesterday)] == [[customer], []]

    def test_idle_customers_are_taken_less_often(self, world: World) -> None:
        payer, idle = world.user(), world.user()
        for user in (payer, idle):
            write(world, lambda work, u=user: work.billing.customers.add(u.id, CustomerId(f"cus_{uuid4().hex}")))  # type: ignore[misc]
        write(world, lambda work: work.billing.subscriptions.put(payer.id, RECORD, over=0))
        now = datetime.now(UTC)

        def take(since: datetime, idle_since: datetime) -> set[UserId]:
            with world.unit_of_work() as work:
                taken = work.billing.customers.take_unreconciled(since=since, idle_since=idle_since, limit=9)
                work.commit()
            return {one.user_id for one in taken}

        assert take(now, now - timedelta(days=1)) == {payer.id, idle.id}
        later = now + timedelta(hours=1)
        assert take(later, now - timedelta(days=1)) == {payer.id}
        assert take(later + timedelta(hours=1), later + timedelta(hours=1)) == {payer.id, idle.id}

    def test_subscriptions_of_another_mode_are_retired(self, world: World) -> None:
        test, live, unknown = world.user(), world.user(), world.user()
        for user, mode in ((test, Mode.TEST), (live, Mode.LIVE), (unknown, None)):
            customer = CustomerId(f"cus_{uuid4().hex}")
            write(world, lambda work, u=user, c=customer, m=mode: work.billing.customers.add(u.id, c, mode=m))  # type: ignore[misc]
            write(world, lambda work, u=user: work.billing.subscriptions.put(u.id, RECORD, over=0))  # type: ignore[misc]
        retired = []
        for _ in range(2):
            with world.unit_of_work() as work:
                retired.append(work.billing.customers.retire(Mode.LIVE))
                work.commit()
        assert retired == [1, 0]
        plans = [world.reader.plan_status(user.id, allowances=ALLOWANCES).plan for user in (test, live, unknown)]
        assert plans == [Plan.BASIC, Plan.PRO, Plan.PRO]
        with world.unit_of_work() as work:
            record, version = work.billing.subscriptions.get(test.id)
            assert (record, version) == (RECORD.forgotten(), 2)
            taken = work.billing.customers.take_unreconciled(since=datetime.now(UTC), limit=9, mode=Mode.LIVE)
            assert {one.user_id for one in taken} == {live.id, unknown.id}

    # --- Checkouts ---

    def test_who_opens_what_is_abandoned_is_told_so(self, world: World) -> None:
        user = world.user()
        order = an_order(user.id)
        write(world, lambda work: work.billing.checkouts.begin(order, instead_of=None))
        write(world, lambda work: work.billing.checkouts.abandon(user.id))
        with world.unit_of_work() as work:
            assert not work.billing.checkouts.opened(order.attempt_id, CheckoutId("cs_late"))
        write(world, lambda work: work.billing.checkouts.begin(order, instead_of=None))
        with world.unit_of_work() as work:
            assert work.billing.checkouts.opened(order.attempt_id, CheckoutId(f"cs_{uuid4().hex}"))
            work.commit()
        write(world, lambda work: work.billing.checkouts.abandon(user.id))
        with world.unit_of_work() as work:
            assert work.billing.checkouts.current(user.id) is not None  # what is open is expired, not forgotten

    def test_of_all_who_begin_one_begins_and_all_get_the_same(self, world: World) -> None:
        user = world.user()

        def begin(instead_of: UUID | None) -> UUID:
            with world.unit_of_work() as work:
                kept = work.billing.checkouts.begin(an_order(user.id), instead_of=instead_of)
                work.commit()
            assert kept is not None
            return kept.order.attempt_id

        [first] = set(together([lambda: begin(None)] * THREADS))
        assert begin(None) == first
        assert begin(uuid4()) == first
        [second] = set(together([lambda: begin(first)] * THREADS))
        assert second != first

    def test_an_order_may_begin_in_place_of_one_that_was_abandoned_meanwhile(self, world: World) -> None:
        user = world.user()
        abandoned, order = an_order(user.id), an_order(user.id)
        write(world, lambda work: work.billing.checkouts.begin(abandoned, instead_of=None))
        write(world, lambda work: work.billing.checkouts.abandon(user.id))
        write(world, lambda work: work.billing.checkouts.begin(order, instead_of=abandoned.attempt_id))
        with world.unit_of_work() as work:
            kept = work.billing.checkouts.current(user.id)
        assert kept is not None
        assert kept.order == order

    def test_a_checkout_is_kept_as_it_was_ordered(self, world: World) -> None:
        user, other = world.user(), world.user()
        order = an_order(user.id)
        with world.unit_of_work() as work:
            assert work.billing.checkouts.current(user.id) is None
        write(world, lambda work: work.billing.checkouts.begin(order, instead_of=None))
        with world.unit_of_work() as work:
            kept = work.billing.checkouts.current(user.id)
            assert kept is not None
            assert (kept.order, kept.checkout_id, kept.closed) == (order, None, False)
            assert abs(datetime.now(UTC) - kept.begun_at) < timedelta(minutes=1)
        checkout_id = CheckoutId(f"cs_{uuid4().hex}")
        write(world, lambda work: work.billing.checkouts.opened(order.attempt_id, checkout_id))
        write(world, lambda work: work.billing.checkouts.close(CheckoutId("cs_other")))
        with world.unit_of_work() as work:
            kept = work.billing.checkouts.current(user.id)
            assert kept is not None
            assert (kept.checkout_id, kept.closed) == (checkout_id, False)
            assert work.billing.checkouts.buyer(checkout_id) == user.id
            assert work.billing.checkouts.buyer(CheckoutId("cs_other")) is None
            assert work.billing.checkouts.current(other.id) is None
        write(world, lambda work: work.billing.checkouts.close(checkout_id))
        with world.unit_of_work() as work:
            kept = work.billing.checkouts.current(user.id)
            assert kept is not None
            assert kept.closed

    # --- Subscriptions ---

    def test_a_subscription_comes_back_unchanged(self, world: World) -> None:
        user = world.user()
        with world.unit_of_work() as work:
            assert work.billing.subscriptions.get(user.id) == (None, 0)
        graceful = replace(RECORD, status=SubscriptionStatus.PAST_DUE, grace_ends_at=MOMENT, price_id=None)
        for version, record in enumerate((RECORD, graceful, RECORD)):
            write(world, lambda work, r=record, v=version: work.billing.subscriptions.put(user.id, r, over=v))  # type: ignore[misc]
            with world.unit_of_work() as work:
                assert work.billing.subscriptions.get(user.id) == (record, version + 1)

    def test_of_all_who_write_over_a_version_one_does(self, world: World) -> None:
        user = world.user()

        def put(over: int) -> bool:
            with world.unit_of_work() as work:
                written = work.billing.subscriptions.put(user.id, RECORD, over=over)
                work.commit()
            return written

        assert sum(together([lambda: put(0)] * THREADS)) == 1
        assert sum(together([lambda: put(1)] * THREADS)) == 1
        assert not put(0)
        assert not put(1)
        with world.unit_of_work() as work:
            assert work.billing.subscriptions.get(user.id) == (RECORD, 2)

    def test_nothing_is_kept_of_an_erased_user(self, world: World) -> None:
        with world.unit_of_work() as work:
            assert not work.billing.subscriptions.put(UserId(uuid4()), RECORD, over=0)

    @pytest.mark.parametrize(
        ("record", "plan"),
        [
            (RECORD, Plan.PRO),
            (replace(RECORD, price_is_ours=False), Plan.BASIC),
            (replace(RECORD, status=SubscriptionStatus.UNPAID), Plan.BASIC),
            (replace(RECORD, status=SubscriptionStatus.PAST_DUE), Plan.BASIC),
            (
                replace(
                    RECORD,
                    status=SubscriptionStatus.PAST_DUE,
                    grace_ends_at=datetime.now(UTC) + timedelta(hours=1),
                ),
                Plan.PRO,
            ),
            (
                replace(
                    RECORD,
                    status=SubscriptionStatus.PAST_DUE,
                    grace_ends_at=datetime.now(UTC) - timedelta(seconds=1),
                ),
                Plan.BASIC,
            ),
        ],
    )
    def test_the_plan_is_read_at_the_moment_of_use(self, world: World, record: SubscriptionRecord, plan: Plan) -> None:
        user = world.user()
        write(world, lambda work: work.billing.subscriptions.put(user.id, record, over=0))
        assert world.reader.plan_status(user.id, allowances=ALLOWANCES).plan is plan
        profile = world.reader.profile(user.id, allowances=ALLOWANCES)
        assert profile is not None
        assert profile.plan is plan
        with world.unit_of_work() as work:
            assert work.usage.spend(user.id, allowances=ALLOWANCES).limit == ALLOWANCES[plan].daily_prompts

    # --- The inbox ---

    def test_an_event_comes_back_unchanged(self, world: World) -> None:
        money = Money(MoneyKind.REFUND, 900, "usd", "ch_1")
        for event in (
            an_event(),
            an_event(concern=Concern.MONEY, money=money, charge_id="ch_1", customer_id=None),
            an_event(concern=Concern.NOTHING, checkout_id=CheckoutId("cs_1")),
        ):
            write(world, lambda work, e=event: work.billing.inbox.postpone(e, failure="Down", retry=AT_ONCE))  # type: ignore[misc]
            with world.unit_of_work() as work:
                kept = work.billing.inbox.find(event.id)
                assert kept is not None
                assert (kept.event, kept.state, kept.attempts, kept.failure) == (event, InboxState.PENDING, 0, "Down")
                assert work.billing.inbox.find("evt_unknown") is None

    def test_an_event_is_settled_once_however_many_deliver_it(self, world: World) -> None:
        event = an_event()

        def settle() -> bool:
            with world.unit_of_work() as work:
                first = work.billing.inbox.settle(event, InboxState.DONE, user_id=None)
                work.commit()
            return first

        assert sum(together([settle] * THREADS)) == 1
        assert not settle()

    def test_a_settlement_that_is_rolled_back_was_none(self, world: World) -> None:
        event = an_event()
        for _ in range(2):
            with world.unit_of_work() as work:
                assert work.billing.inbox.settle(event, InboxState.DONE, user_id=None)

    def test_a_pending_event_can_be_settled_and_is_not_put_off_again(self, world: World) -> None:
        user, event = world.user(), an_event()
        write(world, lambda work: work.billing.inbox.postpone(event, failure="Down", retry=AT_ONCE))
        write(world, lambda work: work.billing.inbox.settle(event, InboxState.DONE, user_id=user.id))
        write(world, lambda work: work.billing.inbox.postpone(event, failure="Down", retry=AT_ONCE))
        with world.unit_of_work() as work:
            kept = work.billing.inbox.find(event.id)
            assert kept is not None
            assert (kept.state, kept.failure) == (InboxState.DONE, None)
            assert not work.billing.inbox.take_pending(limit=9, retry=AT_ONCE)

    def test_a_pending_event_is_taken_until_its_attempts_are_used_up(self, world: World) -> None:
        event = an_event()
        write(world, lambda work: work.billing.inbox.postpone(event, failure="Down", retry=AT_ONCE))

        def take() -> list[PaymentEvent]:
            with world.unit_of_work() as work:
                taken = list(work.billing.inbox.take_pending(limit=9, retry=AT_ONCE))
                work.commit()
            return taken

        assert [take() for _ in range(5)] == [[event], [event], [event], [], []]
        with world.unit_of_work() as work:
            kept = work.billing.inbox.find(event.id)
            assert kept is not None
            assert (kept.state, kept.attempts) == (InboxState.FAILED, 3)
        write(world, lambda work: work.billing.inbox.note_failure(event.id, "Worse"))
        with world.unit_of_work() as work:
            assert work.billing.inbox.reopen(event.id) == event
            assert work.billing.inbox.reopen("evt_unknown") is None
            work.commit()
        assert take() == [event]
        with world.unit_of_work() as work:
            kept = work.billing.inbox.find(event.id)
            assert kept is not None
            assert (kept.state, kept.attempts, kept.failure) == (InboxState.PENDING, 1, "Worse")

    def test_an_event_that_was_taken_is_not_due_again_at_once(self, world: World) -> None:
        event = an_event()
        write(world, lambda work: work.billing.inbox.postpone(event, failure="Down", retry=LATER))
        with world.unit_of_work() as work:
            assert not work.billing.inbox.take_pending(limit=9, retry=LATER)
        write(world, lambda work: work.billing.inbox.reopen(event.id))
        taken: list[PaymentEvent] = []
        for _ in range(2):
            with world.unit_of_work() as work:
                taken += work.billing.inbox.take_pending(limit=9, retry=LATER)
                work.commit()
        assert taken == [event]

    def test_a_commit_that_fails_has_settled_nothing(self, world: World) -> None:
        event = an_event()
        with pytest.raises(DependencyDown), world.unit_of_work() as work:
            work.billing.inbox.settle(event, InboxState.DONE, user_id=None)
            world.break_commit(work)
            work.commit()
        with world.unit_of_work() as work:
            assert work.billing.inbox.find(event.id) is None

    def test_an_event_keeps_the_user_it_names_until_that_user_is_erased(self, world: World) -> None:
        user = world.user()
        event = an_event(named_user=user.id)
        write(world, lambda work: work.billing.inbox.postpone(event, failure="Down", retry=AT_ONCE))
        with world.unit_of_work() as work:
            kept = work.billing.inbox.find(event.id)
            assert kept is not None
            assert kept.event == event
        write(world, lambda work: work.erasure.erase(user.id, phone_digest="0" * 24))
        with world.unit_of_work() as work:
            kept = work.billing.inbox.find(event.id)
            assert kept is not None
            assert kept.event.named_user is None

    def test_whose_events_were_ignored_is_known(self, world: World) -> None:
        stranger, other = CustomerId(f"cus_{uuid4().hex}"), CustomerId(f"cus_{uuid4().hex}")
        for customer, state in ((stranger, InboxState.IGNORED), (other, InboxState.DONE)):
            event = an_event(customer_id=customer)
            write(world, lambda work, e=event, s=state: work.billing.inbox.settle(e, s, user_id=None))  # type: ignore[misc]
        with world.unit_of_work() as work:
            assert work.billing.inbox.has_ignored(stranger)
            assert not work.billing.inbox.has_ignored(other)

    def test_old_events_are_purged_but_those_that_wait(self, world: World) -> None:
        done, pending = an_event(), an_event()
        write(world, lambda work: work.billing.inbox.settle(done, InboxState.DONE, user_id=None))
        write(world, lambda work: work.billing.inbox.postpone(pending, failure="Down", retry=LATER))
        later = datetime.now(UTC) + timedelta(days=1)
        with world.unit_of_work() as work:
            assert work.billing.inbox.purge_before(datetime.now(UTC) - timedelta(days=1), limit=9) == 0
            assert work.billing.inbox.purge_before(later, limit=9) == 1
            assert work.billing.inbox.find(done.id) is None
            assert work.billing.inbox.find(pending.id) is not None

    # --- The ledger ---

    def test_running_totals_are_recorded_as_what_they_add(self, world: World, ledger: Ledger) -> None:
        user, charge = world.user(), f"ch_{uuid4().hex}"

        def record(total: int) -> None:
            event = an_event(concern=Concern.MONEY, money=Money(MoneyKind.REFUND, total, "usd", charge))
            with world.unit_of_work() as work:
                work.billing.inbox.record_money(event, user_id=user.id)
                work.commit()

        for total in (300, 500, 500, 300, 900):
            record(total)
        assert sorted(line.amount for line in ledger.billing_file(user.id).money) == [200, 300, 400]
        together([lambda: record(1_000)] * THREADS)
        assert sum(line.amount for line in ledger.billing_file(user.id).money) == 1_000

    def test_what_is_owed_is_taken_until_it_is_settled(self, world: World, ledger: Ledger) -> None:
        first, second, failed = (f"sub_{number}_{uuid4().hex}" for number in range(3))
        customer = CustomerId("cus_1")
        write(world, lambda work: work.billing.refunds_owed.note(first, customer))
        write(world, lambda work: work.billing.refunds_owed.note(second, None))
        write(world, lambda work: work.billing.refunds_owed.note(failed, None, state=OwedState.FAILED))

        def take(wait: timedelta) -> set[str]:
            with world.unit_of_work() as work:
                taken = work.billing.refunds_owed.take_due(limit=9, wait=wait)
                work.commit()
            return {one.reference for one in taken}

        assert take(timedelta()) == {first, second}
        assert take(timedelta(hours=1)) == {first, second}
        assert take(timedelta(hours=1)) == set()
        write(world, lambda work: work.billing.refunds_owed.become(first, OwedState.SETTLED))
        write(world, lambda work: work.billing.refunds_owed.become(second, OwedState.REFUSED))
        assert {(line.reference, line.state) for line in ledger.refunds_owed()} == {
            (second, "refused"),
            (failed, "failed"),
        }
        write(world, lambda work: work.billing.refunds_owed.note(first, customer))  # owed anew
        write(world, lambda work: work.billing.refunds_owed.note(second, customer))  # stays refused
        assert take(timedelta()) == {first}

    def test_the_ledger_tells_what_was_charged_and_given_back(self, world: World, ledger: Ledger) -> None:
        user = world.user()
        room = world.room(user)
        assert ledger.days(user.id, days=7) == []
        for _ in range(2):
            write(world, lambda work: work.usage.spend(user.id, allowances=ALLOWANCES))
        good, bad = world.ask(room), world.ask(world.room(user))
        for claimed in world.claim():
            with world.unit_of_work() as work:
                if claimed.claim.reply_id == good.id:
                    work.replies.finish(claimed.claim, Answer("Because.", "m"))
                else:
                    charge = work.replies.fail(claimed.claim, FailureReason.REFUSED)
                    assert charge is not None
                    work.usage.refund(charge)
                work.commit()
        assert ledger.days(user.id, days=7) == [DayOfUse(world.today(), 1, 1)]
        assert ledger.days(world.user().id, days=7) == []
        told = {one.reply_id: one for one in ledger.prompts(user.id, days=1)}
        assert told.keys() == {good.id, bad.id}
        assert (told[good.id].state, told[good.id].refunded_at) == (ReplyState.DONE, None)
        assert told[bad.id].failure is FailureReason.REFUSED
        assert told[bad.id].refunded_at is not None
        world.pass_a_day()
        assert ledger.days(user.id, days=1) == []
        assert len(ledger.days(user.id, days=2)) == 1

    def test_the_ledger_tells_what_there_is_on_a_user(self, world: World, ledger: Ledger) -> None:
        user = world.user()
        empty = ledger.billing_file(user.id)
        assert (empty.customer_id, empty.record, empty.version) == (None, None, 0)
        event = an_event(concern=Concern.MONEY, money=Money(MoneyKind.REFUND, 900, "usd", "ch_1"))

        def everything(work: UnitOfWork) -> None:
            work.billing.customers.add(user.id, CustomerId("cus_1"))
            work.billing.subscriptions.put(user.id, RECORD, over=0)
            work.billing.inbox.settle(event, InboxState.DONE, user_id=user.id)
            for _ in range(2):
                work.billing.inbox.record_money(event, user_id=user.id)

        write(world, everything)
        found = ledger.billing_file(user.id)
        assert (found.customer_id, found.record, found.version) == ("cus_1", RECORD, 1)
        assert [line[:4] for line in found.money] == [(event.id, "refund", 900, "usd")]
        assert [line[:4] for line in found.events] == [(event.id, event.type, "done", 0)]
        for known in (user.phone.e164, str(user.id)):
            assert ledger.user_of(known) == user.id
        for unknown in ("+910000000000", str(uuid4()), "nobody", ""):
            assert ledger.user_of(unknown) is None


class TestMemoryBilling(BillingWorkContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world

    @pytest.fixture
    def ledger(self, memory_world: MemoryWorld) -> Ledger:
        return MemoryLedger(memory_world._database)


@pytest.mark.parametrize("status", [SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING])
@pytest.mark.parametrize(
    ("synced_days_ago", "period_ended_days_ago", "plan"),
    [
        (0, 30, Plan.PRO),
        (6, 30, Plan.PRO),
        (8, 30, Plan.BASIC),
        (8, 6, Plan.PRO),
        (60, -1, Plan.PRO),
        (8, None, Plan.BASIC),
    ],
)
def test_sql_and_domain_agree_on_what_has_lapsed(
    real_world: SqlWorld,
    status: SubscriptionStatus,
    synced_days_ago: int,
    period_ended_days_ago: int | None,
    plan: Plan,
) -> None:
    now, user = datetime.now(UTC), real_world.user()
    synced_at = now - timedelta(days=synced_days_ago)
    end = None if period_ended_days_ago is None else now - timedelta(days=period_ended_days_ago)
    record = replace(RECORD, status=status, current_period_end=end)
    write(real_world, lambda work: work.billing.subscriptions.put(user.id, record, over=0))
    real_world._run("UPDATE subscriptions SET synced_at = %(synced_at)s", synced_at=synced_at)
    assert replace(record.at(now), lapsed=has_lapsed(end, synced_at, now)).plan is plan
    assert real_world.reader.plan_status(user.id, allowances=ALLOWANCES).plan is plan
    with real_world.unit_of_work() as work:
        assert work.usage.spend(user.id, allowances=ALLOWANCES).limit == ALLOWANCES[plan].daily_prompts
    # As the statement that accepts messages reads it.
    [(is_pro,)] = real_world._rows(f"SELECT {IS_PRO} FROM subscriptions")
    assert is_pro is (plan is Plan.PRO)


class TestSqlBilling(BillingWorkContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    @pytest.fixture
    def ledger(self, real_world: SqlWorld) -> Ledger:
        return SqlLedger(real_world.database)

    def test_each_attempt_puts_the_next_one_off_as_the_policy_says(self, real_world: SqlWorld) -> None:
        retry = RetryEvents(timedelta(seconds=10), longest_wait=timedelta(seconds=50), max_attempts=4)
        event = an_event()
        write(real_world, lambda work: work.billing.inbox.settle(event, InboxState.FAILED, user_id=None))
        write(real_world, lambda work: work.billing.inbox.reopen(event.id))
        waits: list[timedelta] = []
        for _ in range(4):
            with real_world.database.transaction() as transaction:
                assert list(SqlBilling(transaction).inbox.take_pending(limit=1, retry=retry)) == [event]
                transaction.execute("SELECT due_at - now() FROM payment_events")
                waits += transaction.fetchone() or ()
                transaction.execute("UPDATE payment_events SET due_at = now()")
                transaction.commit()
        assert waits == [retry.wait(attempt) for attempt in (1, 2, 3, 4)]
        assert waits == retry.waits
