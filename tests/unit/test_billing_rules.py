"""When a subscription makes a user Pro, and which one counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.billing import (
    ENDED,
    PAID_FOR,
    BillingPolicy,
    CustomerId,
    ProvidedSubscription,
    RetryEvents,
    SubscriptionId,
    SubscriptionStatus,
)
from domain.plans import Plan

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
POLICY = BillingPolicy(price="price_pro", old_prices=frozenset({"price_old"}), grace=timedelta(days=7))
S = SubscriptionStatus

moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


@st.composite
def provided(draw: st.DrawFn) -> ProvidedSubscription:
    start = draw(moments)
    return ProvidedSubscription(
        id=SubscriptionId(f"sub_{draw(st.integers(0, 10_000))}"),
        customer_id=CustomerId("cus_1"),
        status=draw(st.sampled_from(S)),
        price_ids=tuple(draw(st.lists(st.sampled_from(["price_pro", "price_old", "price_x"]), max_size=2))),
        created_at=draw(moments),
        period_start=draw(st.none() | st.just(start)),
        period_end=start + timedelta(days=30),
        cancel_at_period_end=draw(st.booleans()),
    )


many = st.lists(provided(), max_size=6, unique_by=lambda one: one.id)


@given(provided(), moments)
def test_pro_is_what_is_paid_for_or_overdue_for_a_few_days_at_a_price_of_ours(one: ProvidedSubscription, now: datetime):
    plan = POLICY.to_record(one).at(now).plan
    ours = bool({"price_pro", "price_old"} & set(one.price_ids))
    forgiven = one.status is S.PAST_DUE and one.period_start is not None and now < one.period_start + POLICY.grace
    assert plan is (Plan.PRO if ours and (one.status in PAID_FOR or forgiven) else Plan.BASIC)


@given(provided(), moments)
def test_whether_it_will_end_changes_nothing_until_it_does(one: ProvidedSubscription, now: datetime):
    record = POLICY.to_record(one)
    assert record.cancel_at_period_end == one.cancel_at_period_end
    assert record.at(now).cancel_at_period_end == one.cancel_at_period_end


@pytest.mark.parametrize("status", [S.UNPAID, S.CANCELED, S.INCOMPLETE, S.INCOMPLETE_EXPIRED, S.PAUSED])
def test_what_is_not_paid_is_basic_at_once(status: SubscriptionStatus):
    one = ProvidedSubscription(
        SubscriptionId("sub_1"), CustomerId("cus_1"), status, ("price_pro",), NOW, NOW, NOW, cancel_at_period_end=False
    )
    assert POLICY.to_record(one).at(NOW).plan is Plan.BASIC


def test_the_grace_ends_to_the_microsecond():
    one = ProvidedSubscription(
        SubscriptionId("s"), CustomerId("c"), S.PAST_DUE, ("price_pro",), NOW, NOW, NOW, cancel_at_period_end=False
    )
    end = NOW + POLICY.grace
    record = POLICY.to_record(one)
    assert record.at(end - timedelta(microseconds=1)).plan is Plan.PRO
    assert record.at(end).plan is Plan.BASIC


@given(many, st.randoms())
def test_which_one_counts_does_not_depend_on_the_order(subscriptions: list[ProvidedSubscription], random):
    shuffled = list(subscriptions)
    random.shuffle(shuffled)
    assert POLICY.current(shuffled) == POLICY.current(subscriptions)
    by_id = {one.subscription.id: one.refund for one in POLICY.duplicates(shuffled)}
    assert by_id == {one.subscription.id: one.refund for one in POLICY.duplicates(subscriptions)}


@given(many)
def test_what_is_paid_for_counts_before_all_else(subscriptions: list[ProvidedSubscription]):
    counts = POLICY.current(subscriptions)
    assert (counts is None) == (not subscriptions)
    paid_for = [one for one in subscriptions if POLICY.sells(one) and one.status in PAID_FOR]
    if paid_for:
        assert counts is not None
        assert counts in paid_for
        going_on = [one for one in paid_for if not one.cancel_at_period_end] or paid_for
        assert all(counts.created_at <= one.created_at for one in going_on)


@given(many)
def test_surplus_is_ours_runs_and_stands_beside_one_that_is_paid_for(subscriptions: list[ProvidedSubscription]):
    counts = POLICY.current(subscriptions)
    duplicates = POLICY.duplicates(subscriptions)
    for one in duplicates:
        assert counts is not None
        assert counts.status in PAID_FOR
        assert POLICY.sells(counts)
        assert one.subscription != counts
        assert POLICY.sells(one.subscription)
        assert one.subscription.status not in ENDED
        assert one.subscription.status is not S.INCOMPLETE  # its payment may be on its way
        # Never back what was bought first.
        assert not (one.refund and one.subscription.created_at < counts.created_at)
    left = [one for one in subscriptions if one not in [s.subscription for s in duplicates]]
    assert POLICY.current(left) == counts
    assert POLICY.duplicates(left) == []


@given(many)
def test_duplicates_may_be_kept(subscriptions: list[ProvidedSubscription]):
    assert BillingPolicy(price="price_pro", cancels_duplicates=False).duplicates(subscriptions) == []


@given(st.integers(0, 1_000_000))
def test_a_pending_event_waits_longer_each_time_and_never_longer_than_the_longest(attempt: int):
    retry = RetryEvents()
    assert retry.first_wait <= retry.wait(attempt) <= retry.wait(attempt + 1) <= retry.longest_wait
