"""The contract of the daily use."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from adapters.sql.usage import SqlUsage
from domain.accounts import UserId
from domain.billing import SubscriptionStatus
from domain.errors import QuotaExhausted
from domain.plans import Allowance, Allowances, DailyQuota, Plan
from domain.replies import Charge
from tests.contract.world import ACTIVE, ALLOWANCES, MemoryWorld, SqlWorld, World


def spend(world: World, user_id: UserId, allowances: Allowances = ALLOWANCES) -> DailyQuota:
    with world.unit_of_work() as work:
        quota = work.usage.spend(user_id, allowances=allowances)
        work.commit()
    return quota


def refund(world: World, charge: Charge) -> None:
    with world.unit_of_work() as work:
        work.usage.refund(charge)
        work.commit()


def limited_to(daily_prompts: int) -> Allowances:
    return {Plan.BASIC: Allowance(daily_prompts), Plan.PRO: Allowance(None)}


class UsageContract:
    def test_counts_up_to_the_limit_and_then_refuses(self, world: World) -> None:
        user = world.user()
        today = world.today()
        assert [spend(world, user.id) for _ in range(5)] == [DailyQuota(today, used, 5) for used in range(1, 6)]
        with pytest.raises(QuotaExhausted) as refusal:
            spend(world, user.id)
        midnight = datetime.combine(today + timedelta(days=1), time(), tzinfo=UTC)
        assert refusal.value.facts() == {"limit": 5, "used": 5, "resets_at": midnight}
        assert world.used(user.id) == 5

    def test_a_prompt_whose_work_is_rolled_back_costs_nothing(self, world: World) -> None:
        user = world.user()
        for _ in range(9):
            with world.unit_of_work() as work:
                assert work.usage.spend(user.id, allowances=ALLOWANCES).used == 1
        assert world.used(user.id) == 0

    def test_users_do_not_share(self, world: World) -> None:
        one, other = world.user(), world.user()
        spend(world, one.id)
        assert spend(world, other.id).used == 1

    def test_one_given_back_can_be_spent_again(self, world: World) -> None:
        user = world.user()
        quotas = [spend(world, user.id) for _ in range(5)]
        refund(world, Charge(user.id, quotas[-1].day))
        assert world.used(user.id) == 4
        assert spend(world, user.id).used == 5

    def test_nothing_is_given_back_to_a_day_that_was_not_charged(self, world: World) -> None:
        user = world.user()
        refund(world, Charge(user.id, world.today()))
        assert world.used(user.id) == 0
        assert spend(world, user.id).used == 1
        refund(world, Charge(user.id, world.today() - timedelta(days=1)))
        assert world.used(user.id) == 1

    def test_never_less_than_nothing_is_used(self, world: World) -> None:
        user = world.user()
        spend(world, user.id)
        for _ in range(3):
            refund(world, Charge(user.id, world.today()))
        assert world.used(user.id) == 0

    def test_a_new_day_begins_at_nothing(self, world: World) -> None:
        user = world.user()
        for _ in range(5):
            spend(world, user.id)
        world.pass_a_day()
        assert world.used(user.id) == 0
        assert spend(world, user.id) == DailyQuota(world.today(), 1, 5)

    def test_several_are_refunded_at_once_and_no_more_than_were_charged(self, world: World) -> None:
        user = world.user()
        with world.unit_of_work() as work:
            for _ in range(4):
                work.usage.spend(user.id, allowances=ALLOWANCES)
            work.commit()
        for prompts, left in ((3, 1), (3, 0)):
            with world.unit_of_work() as work:
                work.usage.refund(Charge(user.id, world.today()), prompts=prompts)
                work.commit()
            assert world.used(user.id) == left

    def test_yesterdays_refund_does_not_count_today(self, world: World) -> None:
        user = world.user()
        spend(world, user.id)
        world.pass_a_day()
        spend(world, user.id)
        refund(world, Charge(user.id, world.today() - timedelta(days=1)))
        assert world.used(user.id) == 1

    def test_the_plan_is_that_of_the_moment(self, world: World) -> None:
        user = world.user()
        for _ in range(5):
            spend(world, user.id)
        world.subscribe(user.id, ACTIVE)
        assert spend(world, user.id) == DailyQuota(world.today(), 6, None, Plan.PRO)
        world.subscribe(user.id, replace(ACTIVE, status=SubscriptionStatus.CANCELED))
        with pytest.raises(QuotaExhausted) as refusal:
            spend(world, user.id)
        assert (refusal.value.limit, refusal.value.used) == (5, 6)

    def test_a_limit_of_nothing_allows_nothing(self, world: World) -> None:
        user = world.user()
        with pytest.raises(QuotaExhausted) as refusal:
            spend(world, user.id, limited_to(0))
        assert (refusal.value.limit, refusal.value.used) == (0, 0)
        assert world.used(user.id) == 0
        spend(world, user.id)
        with pytest.raises(QuotaExhausted):
            spend(world, user.id, limited_to(0))

    def test_a_limit_that_was_raised_counts_at_once(self, world: World) -> None:
        user = world.user()
        assert spend(world, user.id, limited_to(1)).remaining == 0
        with pytest.raises(QuotaExhausted):
            spend(world, user.id, limited_to(1))
        assert spend(world, user.id, limited_to(2)) == DailyQuota(world.today(), 2, 2)

    def erase(self, world: World, user_id: UserId, digest: str) -> None:
        with world.unit_of_work() as work:
            work.erasure.erase(user_id, phone_digest=digest)
            work.commit()

    def test_what_was_used_today_before_an_erasure_counts_for_the_same_number(self, world: World) -> None:
        first, again, other = world.user(), world.user(), world.user()
        for _ in range(3):
            spend(world, first.id)
        self.erase(world, first.id, "older")
        with world.unit_of_work() as work:
            work.usage.restore(again.id, phone_digests=["newer", "older"])
            work.usage.restore(again.id, phone_digests=["newer", "older"])
            work.usage.restore(other.id, phone_digests=["another"])
            work.commit()
        assert (world.used(again.id), world.used(other.id)) == (3, 0)
        assert spend(world, again.id).used == 4
        self.erase(world, again.id, "newer")
        third = world.user()
        with world.unit_of_work() as work:
            work.usage.restore(third.id, phone_digests=["newer", "older"])
            assert work.usage.purge_erased(limit=10) == 0
            work.commit()
        assert world.used(third.id) == 4


class TestMemoryUsage(UsageContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlUsage(UsageContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    def test_a_purge_keeps_to_its_limit_whatever_the_plan(self, real_world: SqlWorld) -> None:
        real_world._run(
            "INSERT INTO erased_usage (phone_digest, day, used)"
            " SELECT n::text, (now() AT TIME ZONE 'utc')::date - 2, 1 FROM generate_series(1, 10) AS n"
        )
        with real_world.unit_of_work() as work:
            assert isinstance(work.usage, SqlUsage)
            for plan in ("hashjoin", "mergejoin", "material", "hashagg", "sort"):
                work.usage._cursor.execute(f"SET LOCAL enable_{plan} = off")
            assert [work.usage.purge_erased(limit=4) for _ in range(4)] == [4, 4, 2, 0]
