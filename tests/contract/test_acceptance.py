"""The contract of accepting messages: it holds the statement in SQL to the rule in ``application.chat.acceptance``."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from adapters.sql.acceptance import EverybodysBacklog, KeptMessages
from application.chat.acceptance import accept_message
from application.ports.acceptance import AcceptedMessage
from domain.accounts import UserId
from domain.billing import SubscriptionId, SubscriptionRecord, SubscriptionStatus
from domain.chat import Chatroom, Message
from domain.errors import BacklogFull, ChatroomNotFound, QuotaExhausted, TooManyMessages, TooManyUnfinishedReplies
from domain.plans import Allowance, Allowances, DailyQuota, Plan
from domain.replies import ReplyId, ReplyPolicy, ReplyState
from tests.concurrency import at_once, eventually
from tests.contract.world import MOMENT, POLICY, THREADS, MemoryWorld, SqlWorld, World, a_message, new_id

FIVE: Allowances = {Plan.BASIC: Allowance(5), Plan.PRO: Allowance(None)}
NONE: Allowances = {Plan.BASIC: Allowance(0), Plan.PRO: Allowance(7)}
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


class AcceptanceContract:
    def accept(
        self, world: World, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
    ) -> AcceptedMessage:
        with world.unit_of_work.autocommit() as work:
            return work.acceptance.accept(message, reply_id, allowances=allowances, policy=policy)

    def send(
        self,
        world: World,
        room: Chatroom,
        text: str = "Why?",
        *,
        allowances: Allowances = FIVE,
        policy: ReplyPolicy = POLICY,
    ) -> tuple[DailyQuota, ReplyId]:
        reply_id = ReplyId(new_id())
        accepted = self.accept(world, a_message(room, text), reply_id, allowances=allowances, policy=policy)
        return accepted.quota, reply_id

    def title_from(self, world: World, room: Chatroom, text: str) -> str | None:
        """The title that a message gives its chatroom."""
        return self.accept(world, a_message(room, text), ReplyId(new_id()), allowances=FIVE, policy=POLICY).title

    def test_the_message_is_there_with_a_queued_reply_and_was_charged(self, world: World) -> None:
        room = world.room()
        quota, reply_id = self.send(world, room, "'; DROP TABLE messages; -- %s %(id)s 🌤")
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

    def test_the_first_message_names_a_chatroom_that_has_no_name(self, world: World) -> None:
        room, other = world.room(name=""), world.room(name="")
        assert self.title_from(world, room, "# नमस्ते!\n\nMore") == "नमस्ते!"
        assert self.title_from(world, room, "Something else") is None
        found = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert found is not None
        assert (found.name, found.updated_at) == ("नमस्ते!", MOMENT)
        unnamed = world.reader.conversation(other.user_id, other.id, turns=1, before=None)
        assert unnamed is not None
        assert unnamed.name == ""

    def test_a_name_stays(self, world: World) -> None:
        room = world.room(name="Physics")
        assert self.title_from(world, room, "Why?") is None
        found = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert found is not None
        assert found.name == "Physics"

    def test_a_message_of_which_nothing_can_be_seen_names_nothing(self, world: World) -> None:
        room = world.room(name="")
        assert self.title_from(world, room, "\u200b\u202e") is None
        assert self.title_from(world, room, "Why?") == "Why?"

    def test_a_refused_message_names_nothing(self, world: World) -> None:
        room = world.room(name="")
        with pytest.raises(QuotaExhausted):
            self.send(world, room, "Why?", allowances=NONE)
        assert self.title_from(world, room, "How?") == "How?"

    def test_a_message_takes_its_chatroom_out_of_the_archive(self, world: World) -> None:
        user = world.user()
        room, other = (world.room(user, archived_at=MOMENT) for _ in range(2))
        self.accept(world, a_message(room), ReplyId(new_id()), allowances=FIVE, policy=POLICY)
        assert [line.id for line in world.reader.rooms(user.id, limit=5).rooms] == [room.id]
        assert [line.id for line in world.reader.rooms(user.id, limit=5, archived=True).rooms] == [other.id]

    def test_it_names_one_in_the_archive_too(self, world: World) -> None:
        room = world.room(name="", archived_at=MOMENT)
        accepted = self.accept(world, a_message(room, "Why?"), ReplyId(new_id()), allowances=FIVE, policy=POLICY)
        assert accepted.title == "Why?"
        assert [line.name for line in world.reader.rooms(room.user_id, limit=5).rooms] == ["Why?"]

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
        quota, _ = self.send(world, room)
        plan = record.at(datetime.now(UTC)).plan
        assert (quota.plan, quota.limit) == (plan, FIVE[plan].daily_prompts)

    @pytest.mark.parametrize(("until", "plan"), [(TOMORROW, Plan.PRO), (YESTERDAY, Plan.BASIC)])
    def test_a_grant_gives_pro_until_it_ends(self, world: World, until: datetime, plan: Plan) -> None:
        room = world.room(world.user(pro_until=until))
        quota, _ = self.send(world, room)
        assert (quota.plan, quota.limit) == (plan, FIVE[plan].daily_prompts)

    def test_a_subscription_that_ended_leaves_a_grant(self, world: World) -> None:
        room = world.room(world.user(pro_until=TOMORROW))
        with world.unit_of_work() as work:
            canceled = replace(RECORD, status=SubscriptionStatus.CANCELED)
            work.billing.subscriptions.put(room.user_id, canceled, over=0)
            work.commit()
        assert self.send(world, room)[0].plan is Plan.PRO

    def test_pro_goes_first(self, world: World) -> None:
        basic, pro = world.room(), world.room()
        with world.unit_of_work() as work:
            work.billing.subscriptions.put(pro.user_id, RECORD, over=0)
            work.commit()
        self.send(world, basic)
        _, of_pro = self.send(world, pro)
        (first,) = world.claim(limit=1)
        assert first.claim.reply_id == of_pro

    def test_nothing_is_done_in_a_foreign_chatroom(self, world: World) -> None:
        room, stranger = world.room(), world.user()
        message = replace(a_message(room), user_id=stranger.id)
        with pytest.raises(ChatroomNotFound):
            self.accept(world, message, ReplyId(new_id()), allowances=NONE, policy=POLICY)
        assert world.used(stranger.id) == 0
        assert world.claim() == []

    def test_nothing_is_done_when_the_user_keeps_too_many_messages(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("adapters.sql.acceptance.RECOUNT_FULL_AFTER_SECONDS", 0.0)
        user = world.user()
        rooms = [world.room(user) for _ in range(2)]
        policy = replace(POLICY, user_messages=3, user_backlog=3)
        for room in (*rooms, rooms[0]):
            self.send(world, room, policy=policy)
        for room in rooms:
            with pytest.raises(TooManyMessages) as refusal:
                self.send(world, room, policy=policy, allowances=NONE)
            assert refusal.value.limit == 3
        assert world.used(user.id) == 3
        self.send(world, world.room(), policy=policy)

    def test_messages_that_were_removed_do_not_count(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("adapters.sql.acceptance.RECOUNT_FULL_AFTER_SECONDS", 0.0)
        user = world.user()
        room, other = world.room(user), world.room(user)
        policy = replace(POLICY, user_messages=1)
        self.send(world, room, policy=policy)
        with pytest.raises(TooManyMessages):
            self.send(world, other, policy=policy)
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=user.id))
            work.commit()
        self.send(world, other, policy=policy)

    def test_nothing_is_done_when_the_users_backlog_is_full(self, world: World) -> None:
        room = world.room()
        policy = replace(POLICY, user_backlog=2)
        for _ in range(2):
            self.send(world, room, policy=policy)
        with pytest.raises(TooManyUnfinishedReplies):
            self.send(world, room, policy=policy, allowances=NONE)
        assert world.used(room.user_id) == 2
        self.send(world, world.room(), policy=policy)

    def test_nothing_is_done_when_everybodys_backlog_is_full(self, world: World) -> None:
        policy = replace(POLICY, backlog=3)
        for _ in range(3):
            self.send(world, world.room(), policy=policy)
        room = world.room()
        with pytest.raises(BacklogFull):
            self.send(world, room, policy=policy, allowances=NONE)
        assert world.used(room.user_id) == 0
        assert len(world.claim()) == 3

    def test_nothing_is_done_when_nothing_is_left(self, world: World) -> None:
        room = world.room()
        for _ in range(5):
            self.send(world, room)
        with pytest.raises(QuotaExhausted) as refused:
            self.send(world, room)
        assert (refused.value.limit, refused.value.used) == (5, 5)
        with pytest.raises(QuotaExhausted):
            self.send(world, world.room(), allowances=NONE)
        assert world.used(room.user_id) == 5

    def test_the_first_reason_in_order_is_the_one_that_is_given(self, world: World) -> None:
        policy = replace(POLICY, user_backlog=1, backlog=1)
        mine, other = world.room(), world.room()
        self.send(world, mine, policy=policy)
        foreign = replace(a_message(other), user_id=mine.user_id)
        with pytest.raises(ChatroomNotFound):
            self.accept(world, foreign, ReplyId(new_id()), allowances=NONE, policy=policy)
        with pytest.raises(TooManyUnfinishedReplies):
            self.send(world, mine, allowances=NONE, policy=policy)
        with pytest.raises(BacklogFull):
            self.send(world, other, allowances=NONE, policy=policy)
        assert world.finish(world.claim_one().claim)
        with pytest.raises(QuotaExhausted):
            self.send(world, mine, allowances=NONE, policy=policy)
        assert (world.used(mine.user_id), world.used(other.user_id)) == (1, 0)
        conversation = world.reader.conversation(mine.user_id, mine.id, turns=2, before=None)
        assert conversation is not None
        assert len(conversation.turns) == 1

    @pytest.mark.parametrize("rooms", [1, 5])
    def test_of_many_at_once_five_are_accepted(self, world: World, rooms: int) -> None:
        user = world.user()
        rooms_of_user = [world.room(user) for _ in range(rooms)]

        outcomes = at_once(partial(self.send, world, rooms_of_user[number % rooms]) for number in range(THREADS))
        refused = [outcome for outcome in outcomes if isinstance(outcome, QuotaExhausted)]
        assert len(outcomes) - len(refused) == 5
        assert all(one.used == one.limit == 5 for one in refused)
        assert world.used(user.id) == 5


class TestInMemory(AcceptanceContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> MemoryWorld:
        return memory_world


class TestInSql(AcceptanceContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> SqlWorld:
        return real_world

    def test_a_name_that_is_given_at_the_same_moment_wins(self, real_world: SqlWorld) -> None:
        room = real_world.room(name="")
        with ThreadPoolExecutor() as threads, real_world.unit_of_work() as work:
            work.chatrooms.change(replace(room, name="Mine"))
            title = threads.submit(self.title_from, real_world, room, "Why?")
            assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
            work.commit()
            assert title.result() is None
        found = real_world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert found is not None
        assert (found.name, len(found.turns)) == ("Mine", 1)


class TestTheRuleInSql(TestInSql):
    """``accept_message`` on the repositories of PostgreSQL: what the one statement has to agree with."""

    def accept(
        self, world: World, message: Message, reply_id: ReplyId, *, allowances: Allowances, policy: ReplyPolicy
    ) -> AcceptedMessage:
        with world.unit_of_work() as work:
            accepted = accept_message(work, message, reply_id, allowances=allowances, policy=policy)
            work.commit()
        return accepted


def test_the_backlog_is_counted_before_it_could_be_full() -> None:
    backlog = EverybodysBacklog()
    assert [backlog.must_be_counted(limit=10) for _ in range(2)] == [True, True]
    backlog.was_counted(7)
    assert [backlog.must_be_counted(limit=10) for _ in range(4)] == [False, False, True, True]
    backlog.was_counted(2)
    assert not backlog.must_be_counted(limit=10)


def test_messages_are_estimated_for_a_minute_and_counted_when_there_may_be_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr("adapters.sql.acceptance.time.monotonic", lambda: now)
    kept, user = KeptMessages(), UserId(new_id())
    assert kept.estimate(user, limit=3) is None
    kept.were_counted(user, 1)
    assert kept.estimate(user, limit=3) == 1
    kept.one_more(user)
    kept.one_more(user)
    assert kept.estimate(user, limit=3) == 3
    now += 1.0
    assert kept.estimate(user, limit=3) is None
    kept.were_counted(user, 2)
    now += 59.0
    assert kept.estimate(user, limit=3) == 2
    now += 1.0
    assert kept.estimate(user, limit=3) is None


def test_users_that_have_not_sent_for_longest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sql.acceptance.ESTIMATED_USERS", 2)
    kept, users = KeptMessages(), [UserId(new_id()) for _ in range(3)]
    for user in users:
        kept.were_counted(user, 1)
    assert [kept.estimate(user, limit=3) for user in users] == [None, 1, 1]
