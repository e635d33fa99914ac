"""Five prompts a UTC day on Basic, as many as they like on Pro."""

from datetime import UTC, date, datetime, timedelta

import pytest

from application.ports.reader import PlanStatus
from domain.billing import PAID_FOR, Subscription, SubscriptionStatus
from domain.errors import QuotaExhausted
from domain.plans import DailyQuota, Plan
from tests.builders import ASHA, NOW, House

MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)


def accepted(house: House, who, room, times: int) -> int:
    """How many of so many messages were accepted."""
    count = 0
    for _ in range(times):
        try:
            house.say(who, room, "hi")
        except QuotaExhausted:
            continue
        count += 1
    return count


def test_the_sixth_prompt_of_a_day_is_refused_and_told_when_to_come_back():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    remaining = [house.say(asha, room, "hi").quota.remaining for _ in range(5)]
    assert remaining == [4, 3, 2, 1, 0]
    with pytest.raises(QuotaExhausted) as refused:
        house.say(asha, room, "hi")
    assert refused.value.facts() == {"limit": 5, "used": 5, "resets_at": MIDNIGHT}
    assert house.used(asha) == 5


def test_answers_do_not_count():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    accepted(house, asha, room, 5)
    house.work()
    assert house.used(asha) == 5


def test_the_day_ends_at_midnight_utc():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    house.clock.now = MIDNIGHT - timedelta(microseconds=1)
    assert accepted(house, asha, room, 6) == 5
    house.clock.now = MIDNIGHT
    assert house.used(asha) == 0
    assert accepted(house, asha, room, 6) == 5


# --- Pro ---


def test_the_plan_counts_from_the_moment_it_changes_not_from_the_login():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    assert accepted(house, asha, room, 6) == 5
    house.subscribe(asha)
    assert accepted(house, asha, room, 6) == 6
    house.subscribe(asha, SubscriptionStatus.CANCELED)
    assert accepted(house, asha, room, 6) == 0
    plan_status = house.use_cases.billing.show_plan_status(user_id=asha.user_id)
    assert (plan_status.quota.used, plan_status.quota.remaining) == (11, 0)


def test_who_never_subscribed_is_basic():
    house = House()
    plan_status = house.use_cases.billing.show_plan_status(user_id=house.user(ASHA).user_id)
    assert plan_status == PlanStatus(Plan.BASIC, None, DailyQuota(NOW.date(), 0, 5))


@pytest.mark.parametrize(("used", "limit", "remaining"), [(0, 5, 5), (5, 5, 0), (9, 5, 0), (9, None, None)])
def test_what_remains_is_never_less_than_nothing(used: int, limit: int | None, remaining: int | None):
    assert DailyQuota(NOW.date(), used, limit).remaining == remaining


@pytest.mark.parametrize(
    ("day", "resets_at"),
    [
        (date(2026, 12, 31), datetime(2027, 1, 1, tzinfo=UTC)),
        (date(2028, 2, 28), datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_midnight_may_be_in_another_month(day: date, resets_at: datetime):
    assert DailyQuota(day, 0, 5).resets_at == resets_at


def test_pro_is_paid_for():
    plans = {status: Subscription(status, None, cancel_at_period_end=False).plan for status in SubscriptionStatus}
    assert {status for status, plan in plans.items() if plan is Plan.PRO} == PAID_FOR
