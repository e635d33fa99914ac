"""The contract of accepting messages: all that belongs to it, or the first reason against it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from adapters.sql.acceptance import EverybodysBacklog
from domain.billing import SubscriptionId, SubscriptionRecord, SubscriptionStatus
from domain.chat import Chatroom
from domain.errors import BacklogFull, ChatroomNotFound, QuotaExhausted, TooManyUnfinishedReplies
from domain.plans import Allowance, DailyQuota, Plan
from domain.replies import ReplyId, ReplyState
from tests.concurrency import at_once
from tests.contract.world import POLICY, THREADS, MemoryWorld, SqlWorld, World, a_message, new_id

FIVE = {Plan.BASIC: Allowance(5), Plan.PRO: Allowance(None)}
NONE = {Plan.BASIC: Allowance(0), Plan.PRO: Allowance(7)}
TOMORROW = datetime.now(UTC) + timedelta(days=1)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
RECORD = SubscriptionRecord(
    SubscriptionId("sub_1"),
    price_id="price_1",
    status=SubscriptionStatus.ACTIVE,
    current_period_end=TOMORROW,
    cancel_at_period_end=False,
    price_is_ours=True,
    grace_ends_at=None,
)


def accept(world: World, room: Chatroom, text: str = "Why?", **changes: object) -> tuple[DailyQuota, ReplyId]:
    """Accept a message into a chatroom of its owner."""
    reply_id = ReplyId(new_id())
    options = {"allowances": FIVE, "policy": POLICY} | changes
    with world.unit_of_work.autocommit() as work:
        quota = work.acceptance.accept(a_message(room, text), reply_id, **options)  # type: ignore[arg-type]
        work.commit()
    return quota, reply_id


class AcceptanceContract:
    """What every implementation of Acceptance does."""

    def test_the_message_is_there_with_a_queued_reply_and_was_charged(self, world: World) -> None:
        room = world.room()
        quota, reply_id = accept(world, room, "'; DROP TABLE messages; -- %s %(id)s 🌤")
        assert quota == DailyQuota(world.today(), 1, 5, Plan.BASIC)
        found = world.reader.conversation(room.user_id, room.id, turns=2, before=None)
        assert found is not None
        (turn,) = found.turns
        assert (turn.content, turn.reply_id, turn.reply_state) == (
            "'; DROP TABLE messages; -- %s %(id)s 🌤",
            reply_id,
            ReplyState.QUEUED,
        )
        assert world.used(room.user_id) == 1
        assert world.claim_one().claim.reply_id == reply_id

    def test_it_is_part_of_its_unit_of_work(self, world: World) -> None:
        room = world.room()
        with world.unit_of_work() as work:
            work.acceptance.accept(a_message(room), ReplyId(new_id()), allowances=FIVE, policy=POLICY)
        assert world.used(room.user_id) == 0
        assert world.claim() == []

    @pytest.mark.parametrize("status", SubscriptionStatus)
    @pytest.mark.parametrize("ours", [True, False], ids=["our price", "another price"])
    @pytest.mark.parametrize("grace", [None, TOMORROW, YESTERDAY], ids=["no grace", "in grace", "grace over"])
    def test_the_plan_is_that_of_the_subscription(
        self, world: World, status: SubscriptionStatus, ours: bool, grace: datetime | None
    ) -> None:
        record = replace(RECORD, status=status, price_is_ours=ours, grace_ends_at=grace)
        room = world.room()
        with world.unit_of_work() as work:
            work.billing.subscriptions.put(room.user_id, record, over=0)
            work.commit()
        quota, _ = accept(world, room)
        plan = record.at(datetime.now(UTC)).plan
        assert (quota.plan, quota.limit) == (plan, FIVE[plan].daily_prompts)

    def test_pro_goes_first(self, world: World) -> None:
        basic, pro = world.room(), world.room()
        with world.unit_of_work() as work:
            work.billing.subscriptions.put(pro.user_id, RECORD, over=0)
            work.commit()
        accept(world, basic)
        _, of_pro = accept(world, pro)
        (first,) = world.claim(limit=1)
        assert first.claim.reply_id == of_pro

    def test_nothing_is_done_in_a_foreign_chatroom(self, world: World) -> None:
        room, stranger = world.room(), world.user()
        message = replace(a_message(room), user_id=stranger.id)
        with pytest.raises(ChatroomNotFound), world.unit_of_work.autocommit() as work:
            work.acceptance.accept(message, ReplyId(new_id()), allowances=NONE, policy=POLICY)
        assert world.used(stranger.id) == 0
        assert world.claim() == []

    def test_nothing_is_done_when_the_users_backlog_is_full(self, world: World) -> None:
        room = world.room()
        policy = replace(POLICY, user_backlog=2)
        for _ in range(2):
            accept(world, room, policy=policy)
        with pytest.raises(TooManyUnfinishedReplies):
            accept(world, room, policy=policy, allowances=NONE)
        assert world.used(room.user_id) == 2
        accept(world, world.room(), policy=policy)

    def test_nothing_is_done_when_everybodys_backlog_is_full(self, world: World) -> None:
        policy = replace(POLICY, backlog=3)
        for _ in range(3):
            accept(world, world.room(), policy=policy)
        room = world.room()
        with pytest.raises(BacklogFull):
            accept(world, room, policy=policy, allowances=NONE)
        assert world.used(room.user_id) == 0
        assert len(world.claim()) == 3

    def test_nothing_is_done_when_nothing_is_left(self, world: World) -> None:
        room = world.room()
        for _ in range(5):
            accept(world, room)
        with pytest.raises(QuotaExhausted) as refused:
            accept(world, room)
        assert (refused.value.limit, refused.value.used) == (5, 5)
        with pytest.raises(QuotaExhausted):
            accept(world, world.room(), allowances=NONE)
        assert world.used(room.user_id) == 5


class TestInMemory(AcceptanceContract):
    """In memory."""

    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> MemoryWorld:
        """In memory."""
        return memory_world


class TestInSql(AcceptanceContract):
    """In PostgreSQL."""

    @pytest.fixture
    def world(self, real_world: SqlWorld) -> SqlWorld:
        """In PostgreSQL."""
        return real_world

    @pytest.mark.parametrize("rooms", [1, 5])
    def test_of_many_at_once_five_are_accepted(self, world: SqlWorld, rooms: int) -> None:
        user = world.user()
        rooms_of_user = [world.room(user) for _ in range(rooms)]

        outcomes = at_once(partial(accept, world, rooms_of_user[number % rooms]) for number in range(THREADS))
        refused = [outcome for outcome in outcomes if isinstance(outcome, QuotaExhausted)]
        assert len(outcomes) - len(refused) == 5
        assert all(one.used == one.limit == 5 for one in refused)
        assert world.used(user.id) == 5


def test_the_backlog_is_counted_before_it_could_be_full() -> None:
    backlog = EverybodysBacklog()
    assert [backlog.must_be_counted(limit=10) for _ in range(2)] == [True, True]
    backlog.was_counted(7)
    assert [backlog.must_be_counted(limit=10) for _ in range(4)] == [False, False, True, True]
    backlog.was_counted(2)
    assert not backlog.must_be_counted(limit=10)
