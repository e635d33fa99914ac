"""The contract of the reader: what the doors ask."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from application.ports.reader import Profile, RoomLine, Standing
from domain.accounts import UserId
from domain.billing import Subscription, SubscriptionStatus
from domain.chat import Chatroom, ChatroomId, MessageId
from domain.plans import Allowance, DailyQuota, Plan
from domain.replies import Answer, FailureReason, QueuedReply, ReplyId, ReplyState
from tests.contract.world import ACTIVE, ALLOWANCES, MOMENT, POLICY, MemoryWorld, SqlWorld, World, new_id


def spend(world: World, user_id: UserId, times: int) -> None:
    with world.begin() as work:
        for _ in range(times):
            work.usage.spend(user_id, allowances=ALLOWANCES)
        work.commit()


def ask_again(world: World, room: Chatroom, earlier: QueuedReply) -> QueuedReply:
    """Another reply to the same message."""
    reply = replace(earlier, id=ReplyId(new_id()), created_at=MOMENT + timedelta(minutes=1))
    with world.begin() as work:
        work.replies.add(reply)
        work.commit()
    return reply


class ReaderContract:
    """What every implementation of Reader does."""

    # Profile and standing

    def test_a_profile_shows_the_user_plan_and_use(self, world: World) -> None:
        user = world.user(name="Ünï 👩🏽‍🚀", email=None)
        spend(world, user.id, 2)
        assert world.reader.profile(user.id, allowances=ALLOWANCES) == Profile(
            user.id, user.phone.e164, "Ünï 👩🏽‍🚀", None, user.created_at, Plan.BASIC, DailyQuota(world.today(), 2, 5)
        )

    def test_a_profile_of_nobody_is_none(self, world: World) -> None:
        world.user()
        assert world.reader.profile(UserId(new_id()), allowances=ALLOWANCES) is None

    def test_one_who_pays_is_pro(self, world: World) -> None:
        user, other = world.user(), world.user()
        world.subscribe(user.id, ACTIVE)
        profile = world.reader.profile(user.id, allowances=ALLOWANCES)
        assert profile is not None
        assert (profile.plan, profile.quota) == (Plan.PRO, DailyQuota(world.today(), 0, None))
        others = world.reader.profile(other.id, allowances=ALLOWANCES)
        assert others is not None
        assert others.plan is Plan.BASIC

    def test_standing_of_one_who_never_subscribed(self, world: World) -> None:
        user = world.user()
        spend(world, user.id, 3)
        assert world.reader.standing(user.id, allowances=ALLOWANCES) == Standing(
            Plan.BASIC, None, DailyQuota(world.today(), 3, 5)
        )

    @pytest.mark.parametrize("status", SubscriptionStatus)
    @pytest.mark.parametrize(
        ("period_end", "cancels"), [(MOMENT, True), (MOMENT + timedelta(microseconds=1), False), (None, False)]
    )
    def test_standing_shows_the_subscription_unchanged(
        self, world: World, status: SubscriptionStatus, period_end: datetime | None, cancels: bool
    ) -> None:
        user = world.user()
        subscription = replace(ACTIVE, status=status, current_period_end=period_end, cancel_at_period_end=cancels)
        world.subscribe(user.id, subscription)
        standing = world.reader.standing(user.id, allowances=ALLOWANCES)
        assert standing.subscription == subscription
        assert standing.plan is subscription.plan
        assert standing.quota.limit == ALLOWANCES[subscription.plan].daily_prompts

    def test_a_subscription_comes_and_goes(self, world: World) -> None:
        user = world.user()
        for status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.UNPAID, SubscriptionStatus.TRIALING):
            subscription = Subscription(status, MOMENT, cancel_at_period_end=True)
            world.subscribe(user.id, subscription)
            assert world.reader.standing(user.id, allowances=ALLOWANCES).subscription == subscription

    def test_limits_are_those_that_are_given(self, world: World) -> None:
        user = world.user()
        standing = world.reader.standing(user.id, allowances={Plan.BASIC: Allowance(99), Plan.PRO: Allowance(None)})
        assert standing.quota.limit == 99

    def test_yesterdays_use_is_not_todays(self, world: World) -> None:
        user = world.user()
        spend(world, user.id, 5)
        world.pass_a_day()
        profile = world.reader.profile(user.id, allowances=ALLOWANCES)
        assert profile is not None
        assert profile.quota == DailyQuota(world.today(), 0, 5)
        assert world.used(user.id) == 0

    # Rooms

    def test_no_rooms(self, world: World) -> None:
        world.room()
        page = world.reader.rooms(world.user().id, limit=10, before=None)
        assert (list(page.rooms), page.next_before) == ([], None)

    def test_rooms_newest_first_a_page_at_a_time(self, world: World) -> None:
        user = world.user()
        rooms = []
        for number in range(7):
            rooms.append(world.room(user, name=f"room {number} 🌈", updated_at=MOMENT + timedelta(days=1)))
            world.room()  # somebody else's
        expected = [RoomLine(room.id, room.name, MOMENT, MOMENT + timedelta(days=1)) for room in reversed(rooms)]

        first = world.reader.rooms(user.id, limit=3, before=None)
        assert list(first.rooms) == expected[:3]
        world.room(user, name="made between two pages")
        second = world.reader.rooms(user.id, limit=3, before=first.next_before)
        assert list(second.rooms) == expected[3:6]
        third = world.reader.rooms(user.id, limit=3, before=second.next_before)
        assert (list(third.rooms), third.next_before) == (expected[6:], None)

    def test_a_last_page_that_is_full_is_the_last(self, world: World) -> None:
        user = world.user()
        for _ in range(3):
            world.room(user)
        page = world.reader.rooms(user.id, limit=3, before=None)
        assert (len(page.rooms), page.next_before) == (3, None)

    def test_rooms_before_one_that_is_gone_or_of_another(self, world: World) -> None:
        user = world.user()
        mine = world.room(user)
        foreign = world.room()
        for before in (foreign.id, ChatroomId(new_id())):
            page = world.reader.rooms(user.id, limit=3, before=before)
            assert [line.id for line in page.rooms] == [mine.id]

    # Conversations

    def test_a_conversation_is_only_its_owners(self, world: World) -> None:
        room = world.room()
        world.ask(room)
        stranger = world.user()
        assert world.reader.conversation(stranger.id, room.id, turns=10, before=None) is None
        assert world.reader.conversation(stranger.id, ChatroomId(new_id()), turns=10, before=None) is None

    def test_a_conversation_that_has_not_begun(self, world: World) -> None:
        room = world.room(system_prompt="Be brief.")
        found = world.reader.conversation(room.user_id, room.id, turns=10, before=None)
        assert found is not None
        assert (found.id, found.name, found.system_prompt) == (room.id, room.name, "Be brief.")
        assert (list(found.turns), found.next_before) == ([], None)

    def test_turns_oldest_first_the_newest_page_first(self, world: World) -> None:
        user = world.user()
        room, other = world.room(user), world.room(user)
        asked = []
        for number in range(7):
            asked.append(world.ask(room, f"question {number}"))
            world.ask(other, "elsewhere")
        pages = []
        before: MessageId | None = None
        for _ in range(3):
            page = world.reader.conversation(user.id, room.id, turns=3, before=before)
            assert page is not None
            pages.append([turn.content for turn in page.turns])
            before = page.next_before
        assert pages == [
            ["question 4", "question 5", "question 6"],
            ["question 1", "question 2", "question 3"],
            ["question 0"],
        ]
        assert before is None

    def test_a_last_page_of_turns_that_is_full_is_the_last(self, world: World) -> None:
        room = world.room()
        for _ in range(3):
            world.ask(room)
        page = world.reader.conversation(room.user_id, room.id, turns=3, before=None)
        assert page is not None
        assert (len(page.turns), page.next_before) == (3, None)

    def test_before_the_first_turn_there_is_the_room_and_nothing_else(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        page = world.reader.conversation(room.user_id, room.id, turns=3, before=first.message_id)
        assert page is not None
        assert (page.id, list(page.turns), page.next_before) == (room.id, [], None)

    def test_each_state_of_a_reply_as_it_is(self, world: World) -> None:
        user = world.user()
        seen = {}

        def look(room: Chatroom) -> None:
            page = world.reader.conversation(user.id, room.id, turns=1, before=None)
            assert page is not None
            (turn,) = page.turns
            seen[turn.reply_state] = (turn.reply_content, turn.model, turn.failure, turn.finished_at is not None)

        room = world.room(user)
        world.ask(room)
        look(room)
        claim = world.claim_one().claim
        look(room)
        with world.begin() as work:
            work.replies.finish(claim, Answer("Because.", "scripted"))
            work.commit()
        look(room)
        room = world.room(user)
        world.ask(room)
        claim = world.claim_one().claim
        with world.begin() as work:
            work.replies.fail(claim, FailureReason.REFUSED)
            work.commit()
        look(room)
        assert seen == {
            ReplyState.QUEUED: (None, None, None, False),
            ReplyState.RUNNING: (None, None, None, False),
            ReplyState.DONE: ("Because.", "scripted", None, True),
            ReplyState.FAILED: (None, None, FailureReason.REFUSED, True),
        }

    def test_of_several_replies_to_a_message_the_newest_is_shown(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        with world.begin() as work:
            (claimed,) = work.replies.claim_due(limit=1, policy=POLICY)
            assert work.replies.finish(claimed.claim, Answer("The first answer", "scripted"))
            work.commit()
        second = ask_again(world, room, first)
        page = world.reader.conversation(room.user_id, room.id, turns=10, before=None)
        assert page is not None
        (turn,) = page.turns
        assert (turn.reply_id, turn.reply_state, turn.reply_content) == (second.id, ReplyState.QUEUED, None)
        assert turn.reply_created_at == second.created_at
        assert turn.message_id == first.message_id


class TestMemoryReader(ReaderContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlReader(ReaderContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
