"""The contract of the reader: the queries of the entry points."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from adapters.sql.reader import LONG_BYTES
from application.ports.language_model import Exchange
from application.ports.reader import ChatroomSummary, PlanStatus, Profile, ReplyEntry, RoomCursor
from domain.accounts import Session, SessionId, User, UserId
from domain.billing import Subscription, SubscriptionStatus
from domain.chat import Chatroom, ChatroomId, MessageId
from domain.plans import Allowance, DailyQuota, Plan
from domain.replies import Answer, FailureReason, QueuedReply, ReplyId, ReplyState
from entrypoints.api.entries import MAX_PER_PAGE, turns_for
from tests.contract.world import (
    ACTIVE,
    ALLOWANCES,
    ANSWER,
    MOMENT,
    POLICY,
    MemoryWorld,
    SqlWorld,
    World,
    a_message,
    a_reply,
    a_session,
    new_id,
)


def spend(world: World, user_id: UserId, times: int) -> None:
    with world.unit_of_work() as work:
        for _ in range(times):
            work.usage.spend(user_id, allowances=ALLOWANCES)
        work.commit()


def logged_in(world: World, user: User) -> Session:
    session = a_session(user)
    with world.unit_of_work() as work:
        work.sessions.add(session)
        work.commit()
    return session


def answered(world: World, room: Chatroom, *texts: str) -> list[QueuedReply]:
    """A message for each text, which answers it."""
    asked = []
    for text in texts:
        asked.append(world.ask(room))
        assert world.finish(world.claim_one().claim, replace(ANSWER, text=text))
    return asked


def names_of_pages(world: World, user: User, limit: int, *, archived: bool) -> list[str]:
    """The names of a user's chatrooms, read page by page."""
    names: list[str] = []
    before = None
    while True:
        page = world.reader.rooms(user.id, limit=limit, before=before, archived=archived)
        names += [line.name for line in page.rooms]
        before = page.next_before
        if before is None:
            return names


# A page is full with so many of them.
LONG_TEXT, FULL = "x" * 700_000, 3
MOST_TURNS = turns_for(MAX_PER_PAGE)


class ReaderContract:
    # Profile and plan_status

    def test_a_profile_shows_the_user_plan_and_use(self, world: World) -> None:
        user = world.user(name="Ünï 👩🏽‍🚀", email=None)
        spend(world, user.id, 2)
        assert world.reader.profile(user.id, allowances=ALLOWANCES) == Profile(
            user.id, user.phone.e164, "Ünï 👩🏽‍🚀", None, user.created_at, Plan.BASIC, DailyQuota(world.today(), 2, 5)
        )

    def test_a_profile_of_an_unknown_user_is_none(self, world: World) -> None:
        world.user()
        assert world.reader.profile(UserId(new_id()), allowances=ALLOWANCES) is None

    def test_who_is_asking_comes_with_the_profile(self, world: World) -> None:
        user = world.user(name="Asha")
        session, ended = a_session(user), a_session(user)
        with world.unit_of_work() as work:
            work.sessions.add(session)
            work.sessions.add(ended)
            work.sessions.end(ended.id, of=user.id)
            work.commit()
        world.subscribe(user.id, ACTIVE)
        spend(world, user.id, 2)
        assert world.reader.principal_with_profile(session.id, allowances=ALLOWANCES) == (
            world.reader.principal(session.id),
            world.reader.profile(user.id, allowances=ALLOWANCES),
        )
        for nobodys in (ended.id, SessionId(new_id())):
            assert world.reader.principal_with_profile(nobodys, allowances=ALLOWANCES) is None

    @pytest.mark.parametrize("messages", [0, 1, 3])
    def test_who_is_asking_comes_with_a_conversation(self, world: World, messages: int) -> None:
        user, other = world.user(), world.user()
        room, foreign = world.room(user), world.room(other)
        world.end_three(foreign)
        asked = [world.ask(room, f"Why {number}?") for number in range(messages)]
        session = logged_in(world, user)

        def found(chatroom_id: ChatroomId, before: MessageId | None = None) -> object:
            return world.reader.principal_with_conversation(session.id, chatroom_id=chatroom_id, turns=2, before=before)

        principal = world.reader.principal(session.id)
        for before in (None, *(one.message_id for one in asked)):
            page = world.reader.conversation(user.id, room.id, turns=2, before=before)
            assert page is not None
            assert found(room.id, before) == (principal, page)
        assert found(foreign.id) == found(ChatroomId(new_id())) == (principal, None)

    def test_a_session_that_ended_reads_no_conversation(self, world: World) -> None:
        user = world.user()
        room, ended = world.room(user), a_session(user)
        with world.unit_of_work() as work:
            work.sessions.add(ended)
            work.sessions.end(ended.id, of=room.user_id)
            work.commit()
        for nobodys in (ended.id, SessionId(new_id())):
            found = world.reader.principal_with_conversation(nobodys, chatroom_id=room.id, turns=2, before=None)
            assert found is None

    def test_one_who_pays_is_pro(self, world: World) -> None:
        user, other = world.user(), world.user()
        world.subscribe(user.id, ACTIVE)
        profile = world.reader.profile(user.id, allowances=ALLOWANCES)
        assert profile is not None
        assert (profile.plan, profile.quota) == (Plan.PRO, DailyQuota(world.today(), 0, None, Plan.PRO))
        others = world.reader.profile(other.id, allowances=ALLOWANCES)
        assert others is not None
        assert others.plan is Plan.BASIC

    def test_standing_of_one_who_never_subscribed(self, world: World) -> None:
        user = world.user()
        spend(world, user.id, 3)
        assert world.reader.plan_status(user.id, allowances=ALLOWANCES) == PlanStatus(
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
        plan_status = world.reader.plan_status(user.id, allowances=ALLOWANCES)
        assert plan_status.subscription == subscription
        assert plan_status.plan is subscription.plan
        assert plan_status.quota.limit == ALLOWANCES[subscription.plan].daily_prompts

    def test_a_subscription_comes_and_goes(self, world: World) -> None:
        user = world.user()
        for status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.UNPAID, SubscriptionStatus.TRIALING):
            subscription = Subscription(status, MOMENT, cancel_at_period_end=True)
            world.subscribe(user.id, subscription)
            assert world.reader.plan_status(user.id, allowances=ALLOWANCES).subscription == subscription

    def test_limits_are_those_that_are_given(self, world: World) -> None:
        user = world.user()
        plan_status = world.reader.plan_status(
            user.id, allowances={Plan.BASIC: Allowance(99), Plan.PRO: Allowance(None)}
        )
        assert plan_status.quota.limit == 99

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
            world.room()  # of another user
        expected = [
            ChatroomSummary(room.id, room.name, MOMENT, MOMENT + timedelta(days=1), pinned=False, archived=False)
            for room in reversed(rooms)
        ]

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
            page = world.reader.rooms(user.id, limit=3, before=RoomCursor(before))
            assert [line.id for line in page.rooms] == [mine.id]

    @pytest.mark.parametrize("limit", [1, 2, 3, 10])
    def test_pinned_rooms_come_first_and_archived_ones_are_a_list_of_their_own(self, world: World, limit: int) -> None:
        user = world.user()
        for number in range(6):
            pinned = MOMENT if number in {0, 3} else None
            archived = MOMENT if number in {1, 4} else None
            world.room(user, name=str(number), pinned_at=pinned, archived_at=archived)
        world.room(pinned_at=MOMENT)
        world.room(archived_at=MOMENT)
        assert names_of_pages(world, user, limit, archived=False) == ["3", "0", "5", "2"]
        assert names_of_pages(world, user, limit, archived=True) == ["4", "1"]

    def test_each_says_whether_it_is_pinned_or_archived(self, world: World) -> None:
        user = world.user()
        pinned, archived = world.room(user, pinned_at=MOMENT), world.room(user, archived_at=MOMENT)
        for room, is_archived in ((pinned, False), (archived, True)):
            (line,) = world.reader.rooms(user.id, limit=2, archived=is_archived).rooms
            found = world.reader.conversation(user.id, room.id, turns=1, before=None)
            assert found is not None
            assert (line.pinned, line.archived) == (found.pinned, found.archived) == (not is_archived, is_archived)

    def test_a_room_that_is_pinned_between_two_pages_moves_no_others(self, world: World) -> None:
        user = world.user()
        rooms = [world.room(user, name=str(number)) for number in range(5)]
        first = world.reader.rooms(user.id, limit=2)
        with world.unit_of_work() as work:
            work.chatrooms.change(replace(rooms[0], pinned_at=MOMENT))
            work.commit()
        second = world.reader.rooms(user.id, limit=2, before=first.next_before)
        assert [line.name for line in (*first.rooms, *second.rooms)] == ["4", "3", "2", "1"]
        assert second.next_before is None

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
        with world.unit_of_work() as work:
            work.replies.finish(claim, Answer("Because.", "scripted"))
            work.commit()
        look(room)
        room = world.room(user)
        world.ask(room)
        claim = world.claim_one().claim
        with world.unit_of_work() as work:
            work.replies.fail(claim, FailureReason.REFUSED)
            work.commit()
        look(room)
        assert seen == {
            ReplyState.QUEUED: (None, None, None, False),
            ReplyState.RUNNING: (None, None, None, False),
            ReplyState.DONE: ("Because.", "scripted", None, True),
            ReplyState.FAILED: (None, None, FailureReason.REFUSED, True),
        }

    @pytest.mark.parametrize("big", [LONG_TEXT, "\N{SNOWMAN}" * (LONG_BYTES // 3), "x" * (LONG_BYTES + 1)])
    def test_a_page_comes_whole_however_long_its_texts_are(self, world: World, big: str) -> None:
        user = world.user()
        room, session = world.room(user), logged_in(world, user)
        answered(world, room, "Because.", big, "x")
        whole = world.reader.conversation(user.id, room.id, turns=5, before=None)
        assert whole is not None
        assert [turn.reply_content for turn in whole.turns] == ["Because.", big, "x"]
        found = world.reader.principal_with_conversation(session.id, chatroom_id=room.id, turns=5, before=None)
        assert found == (world.reader.principal(session.id), whole)

    def test_the_largest_page_is_full_of_long_texts_and_not_of_others(self, world: World) -> None:
        user = world.user()
        room, session = world.room(user), logged_in(world, user)
        answered(world, room, *["x" * LONG_BYTES] * (MOST_TURNS + 1))
        found = world.reader.principal_with_conversation(session.id, chatroom_id=room.id, turns=MOST_TURNS, before=None)
        page = world.reader.conversation(user.id, room.id, turns=MOST_TURNS, before=None)
        assert page is not None
        assert len(page.turns) == MOST_TURNS
        assert found == (world.reader.principal(session.id), page)

    def test_a_page_ends_where_its_texts_are_long(self, world: World) -> None:
        user = world.user()
        room, session = world.room(user), logged_in(world, user)
        asked = answered(world, room, *[LONG_TEXT] * (FULL + 2))
        ids = [one.message_id for one in asked]
        for before, shown, next_before in (
            (None, ids[-FULL:], ids[-FULL]),
            (ids[-FULL], ids[:-FULL], None),
            (ids[1], ids[:1], None),
        ):
            page = world.reader.conversation(user.id, room.id, turns=len(ids), before=before)
            assert page is not None
            assert ([turn.message_id for turn in page.turns], page.next_before) == (shown, next_before)
            found = world.reader.principal_with_conversation(
                session.id, chatroom_id=room.id, turns=len(ids), before=before
            )
            assert found == (world.reader.principal(session.id), page)

    def test_what_is_new_ends_where_its_texts_are_long(self, world: World) -> None:
        room = world.room()
        asked = answered(world, room, *[LONG_TEXT] * (FULL + 2))
        seen: list[UUID] = []
        sizes = []
        while True:
            after = ReplyId(seen[-1]) if seen else MessageId(UUID(int=0))
            entries = world.reader.entries_after(room.user_id, room.id, entry_id=after, limit=100)
            assert entries is not None
            if not entries:
                break
            seen += [one.reply_id if isinstance(one, ReplyEntry) else one.message_id for one in entries]
            sizes.append(sum(isinstance(one, ReplyEntry) for one in entries))
        assert sizes == [FULL, 2]
        assert seen == [id_ for one in asked for id_ in (one.message_id, one.id)]

    def test_the_replies_to_a_message_end_where_their_texts_are_long(self, world: World) -> None:
        room = world.room()
        asked = world.ask(room)
        again = [asked]
        for _ in range(FULL + 1):
            assert world.finish(world.claim_one().claim, replace(ANSWER, text=LONG_TEXT))
            again.append(world.ask_again(asked))
        first = world.reader.replies(room.user_id, asked.message_id, limit=100, after=None)
        assert first is not None
        assert [one.reply_id for one in first.replies] == [one.id for one in again[:FULL]]
        assert first.next_after == again[FULL - 1].id
        rest = world.reader.replies(room.user_id, asked.message_id, limit=100, after=first.next_after)
        assert rest is not None
        assert [one.reply_id for one in rest.replies] == [one.id for one in again[FULL:]]
        assert rest.next_after is None

    def test_of_several_replies_to_a_message_the_newest_finished_one_is_shown(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("The first answer", "scripted"))
        second = world.ask_again(first)
        assert world.finish(world.claim_one().claim, Answer("The second answer", "scripted"))
        page = world.reader.conversation(room.user_id, room.id, turns=10, before=None)
        assert page is not None
        (turn,) = page.turns
        assert (turn.reply_id, turn.reply_state, turn.reply_content) == (
            second.id,
            ReplyState.DONE,
            "The second answer",
        )
        assert turn.reply_created_at == second.created_at
        assert turn.message_id == first.message_id

    def test_a_turn_says_which_run_it_is(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        for generation in (0, 1, 2):
            entry = world.reader.entry(room.user_id, reply.id)
            assert entry is not None
            assert entry.turn.generation == generation
            world.pass_time(POLICY.lease + timedelta(seconds=1))
            world.claim_one()

    # What was added after an entry

    def test_entries_after_one_are_only_the_owners(self, world: World) -> None:
        reply = world.ask(world.room())
        stranger = world.user()
        theirs = world.room(stranger)
        after_it = partial(world.reader.entries_after, entry_id=reply.message_id, limit=10)
        assert after_it(stranger.id, reply.chatroom_id) is None
        assert after_it(stranger.id, ChatroomId(new_id())) is None
        assert after_it(reply.user_id, ChatroomId(new_id())) is None
        # An entry of another chatroom is no place in this one: nothing of it is shown.
        assert list(after_it(stranger.id, theirs.id) or ()) == []

    def test_entries_come_in_the_order_in_which_they_were_added(self, world: World) -> None:
        user = world.user()
        room, other = world.room(user), world.room(user)
        everything: list[MessageId | ReplyId] = []
        for number in range(4):
            reply = world.ask(room, f"question {number}")
            everything += [reply.message_id, reply.id]
            world.ask(other, "elsewhere")
        for nth, entry_id in enumerate(everything):
            assert world.ids_after(room, entry_id) == everything[nth + 1 :]
            assert world.ids_after(room, entry_id, limit=3) == everything[nth + 1 : nth + 4]
        for before_all in (MessageId(UUID(int=0)), MessageId(other.id)):
            assert world.ids_after(room, before_all) == everything
        for behind_all in (MessageId(new_id()), MessageId(UUID(int=(1 << 128) - 1))):
            assert world.ids_after(room, behind_all) == []

    def test_not_in_that_of_their_ids(self, world: World) -> None:
        room = world.room()
        messages = [a_message(room, f"question {number}") for number in range(3)]
        everything: list[MessageId | ReplyId] = []
        for message in reversed(messages):
            reply = a_reply(message, world.today())
            with world.unit_of_work() as work:
                work.messages.add(message)
                work.replies.add(reply)
                work.commit()
            everything += [message.id, reply.id]
        assert world.ids_after(room, MessageId(UUID(int=0))) == everything
        pages = world.reader.conversation(room.user_id, room.id, turns=3, before=None)
        assert pages is not None
        assert [turn.message_id for turn in pages.turns] == everything[::2]
        older = world.reader.conversation(room.user_id, room.id, turns=3, before=messages[0].id)
        assert older is not None
        assert [turn.message_id for turn in older.turns] == everything[:4:2]
        # So are they claimed, and so does what was said before go along.
        for message in reversed(messages):
            claimed = world.claim_one()
            assert claimed.message_id == message.id
            history = world.reader.history(room.id, before=message.id, turns=50)
            assert [exchange.prompt for exchange in history] == [
                earlier.content for earlier in messages[messages.index(message) + 1 :]
            ]
            assert world.finish(claimed.claim)

    def test_another_reply_is_added_behind_everything(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("The first answer", "scripted"))
        second = world.ask(room)
        again = world.ask_again(first)
        assert world.ids_after(room, first.id) == [second.message_id, second.id, again.id]
        assert world.finish(world.claim_one().claim)
        assert world.finish(world.claim_one().claim, Answer("The second answer", "scripted"))
        (entry,) = world.reader.entries_after(room.user_id, room.id, entry_id=second.id, limit=10) or ()
        assert isinstance(entry, ReplyEntry)
        assert (entry.message_id, entry.reply_id, entry.reply_state, entry.reply_content) == (
            first.message_id,
            again.id,
            ReplyState.DONE,
            "The second answer",
        )

    # Which reply shows

    @pytest.mark.parametrize("then", ["queued", "running", "failed", "cancelled", "stopped"])
    def test_an_answer_shows_until_there_is_another(self, world: World, then: str) -> None:
        room = world.room()
        first = world.ask(room, "My name is Ada")
        assert world.finish(world.claim_one().claim, Answer("Hello Ada", "scripted"))
        again = world.ask_again(first)
        if then == "cancelled":
            world.cancel(again.id)
        elif then != "queued":
            claim = world.claim_one().claim
            if then == "failed":
                assert world.fail(claim)
            if then == "stopped":
                assert world.stop(claim, "Hel")
        state = ReplyState.CANCELLED if then == "stopped" else ReplyState(then)
        page = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert page is not None
        (turn,) = page.turns
        assert (turn.reply_id, turn.reply_state, turn.reply_content) == (first.id, ReplyState.DONE, "Hello Ada")
        failure = FailureReason.REFUSED if then == "failed" else None
        assert (turn.latest_id, turn.latest_state, turn.latest_failure) == (again.id, state, failure)
        history = world.reader.history(room.id, before=MessageId(new_id()), turns=50)
        assert list(history) == [Exchange("My name is Ada", "Hello Ada")]
        with world.unit_of_work() as work:
            found = work.messages.of(room.user_id, first.id)
        assert found is not None
        assert (found.reply_id, found.state, found.answered) == (again.id, state, True)

    def test_what_was_stopped_shows_until_there_is_an_answer(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.stop(world.claim_one().claim, "Once upon")
        second = world.ask_again(first)

        def shown() -> tuple[ReplyId, ReplyId | None]:
            page = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
            assert page is not None
            (turn,) = page.turns
            return turn.reply_id, turn.latest_id

        assert shown() == (first.id, second.id)
        assert world.finish(world.claim_one().claim)
        assert shown() == (second.id, None)

    def test_without_any_answer_the_newest_shows(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.fail(world.claim_one().claim)
        second = world.ask_again(first)
        world.cancel(second.id)
        page = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert page is not None
        (turn,) = page.turns
        assert (turn.reply_id, turn.latest_id) == (second.id, None)
        with world.unit_of_work() as work:
            found = work.messages.of(room.user_id, first.id)
        assert found is not None
        assert not found.answered

    def test_turns_are_the_same_however_they_are_asked_for(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room, "Why? 🌤")
        answer = Answer("Because. 🌈", "scripted", 2**40, 0, truncated=True)
        assert world.finish(world.claim_one().claim, answer)
        page = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        found = world.reader.entries_after(room.user_id, room.id, entry_id=reply.message_id, limit=1)
        entry = world.reader.entry(room.user_id, reply.id)
        assert page is not None
        assert entry is not None
        assert list(page.turns) == [entry.turn]
        assert [one._asdict() for one in found or ()] == [
            {name: getattr(entry.turn, name) for name in ReplyEntry._fields}
        ]
        turn = entry.turn
        assert (turn.reply_content, turn.model, turn.input_tokens, turn.output_tokens, turn.truncated) == (
            "Because. 🌈",
            "scripted",
            2**40,
            0,
            True,
        )

    # One entry

    def test_an_entry_is_only_its_owners(self, world: World) -> None:
        reply = world.ask(world.room())
        stranger = world.user()
        world.ask(world.room(stranger))
        for entry_id in (reply.id, reply.message_id, MessageId(new_id())):
            assert world.reader.entry(stranger.id, entry_id) is None
        assert world.reader.entry(reply.user_id, ReplyId(new_id())) is None

    def test_a_message_is_shown_with_its_newest_reply_and_a_reply_is_itself(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("The first answer", "scripted"))
        second = world.ask_again(first)
        third = world.ask_again(first)
        shown = {}
        for entry_id in (first.message_id, first.id, second.id, third.id):
            entry = world.reader.entry(room.user_id, entry_id)
            assert entry is not None
            assert entry.chatroom_id == room.id
            assert entry.turn.message_id == first.message_id
            assert list(entry.replies) == [first.id, second.id, third.id]
            shown[entry_id] = (entry.turn.reply_id, entry.turn.reply_content)
        assert shown == {
            first.message_id: (third.id, None),
            first.id: (first.id, "The first answer"),
            second.id: (second.id, None),
            third.id: (third.id, None),
        }

    # All replies to a message

    def test_the_replies_to_a_message_are_only_its_owners(self, world: World) -> None:
        reply = world.ask(world.room())
        stranger = world.user()
        world.ask(world.room(stranger))
        for entry_id in (reply.id, reply.message_id, MessageId(new_id())):
            assert world.reader.replies(stranger.id, entry_id, limit=10, after=None) is None
        assert world.reader.replies(reply.user_id, ReplyId(new_id()), limit=10, after=None) is None

    def test_all_replies_to_a_message_oldest_first_a_page_at_a_time(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("The first answer", "scripted"))
        second = world.ask_again(first)
        assert world.fail(world.claim_one().claim)
        third = world.ask_again(first)
        world.ask(room, "Another message")
        asked: tuple[MessageId | ReplyId, ...] = (first.message_id, first.id, second.id, third.id)
        for entry_id in asked:
            page = world.reader.replies(room.user_id, entry_id, limit=2, after=None)
            assert page is not None
            assert page.chatroom_id == room.id
            assert [(one.reply_id, one.reply_state, one.reply_content, one.failure) for one in page.replies] == [
                (first.id, ReplyState.DONE, "The first answer", None),
                (second.id, ReplyState.FAILED, None, FailureReason.REFUSED),
            ]
            assert {one.message_id for one in page.replies} == {first.message_id}
            assert page.next_after == second.id
            rest = world.reader.replies(room.user_id, entry_id, limit=2, after=page.next_after)
            assert rest is not None
            assert [one.reply_id for one in rest.replies] == [third.id]
            assert rest.next_after is None

    def test_a_last_page_of_replies_that_is_full_is_the_last(self, world: World) -> None:
        first = world.ask(world.room())
        second = world.ask_again(first)
        page = world.reader.replies(first.user_id, first.id, limit=2, after=None)
        assert page is not None
        assert ([one.reply_id for one in page.replies], page.next_after) == ([first.id, second.id], None)
        behind = world.reader.replies(first.user_id, first.id, limit=2, after=second.id)
        assert behind is not None
        assert (list(behind.replies), behind.next_after) == ([], None)

    def test_replies_after_one_to_another_message_begin_with_the_first(self, world: World) -> None:
        room = world.room()
        reply, other = world.ask(room), world.ask(room)
        page = world.reader.replies(room.user_id, reply.id, limit=2, after=other.id)
        assert page is not None
        assert [one.reply_id for one in page.replies] == [reply.id]

    # History

    def test_history_is_what_was_answered_newest_first(self, world: World) -> None:
        room, other = world.room(), world.room()
        asked = []
        for number in range(4):
            asked.append(world.ask(room, f"question {number}"))
            assert world.finish(world.claim_one().claim, Answer(f"answer {number} 🌈", "scripted"))
            world.ask(other, "elsewhere")
            assert world.finish(world.claim_one().claim, Answer("elsewhere", "scripted"))
        everything = [Exchange(f"question {number}", f"answer {number} 🌈") for number in range(4)]
        now = world.ask(room, "and now?")

        def history(before: MessageId, turns: int = 50) -> list[Exchange]:
            return list(world.reader.history(room.id, before=before, turns=turns))

        assert history(now.message_id) == everything[::-1]
        assert history(now.message_id, turns=2) == everything[:1:-1]
        # Asked again, a message is answered with what was said before it.
        assert history(asked[2].message_id) == everything[1::-1]
        assert history(asked[0].message_id) == []
        assert list(world.reader.history(ChatroomId(new_id()), before=now.message_id, turns=50)) == []

    def test_history_leaves_out_what_was_not_answered(self, world: World) -> None:
        room = world.room()

        def ask(text: str) -> QueuedReply:
            return world.ask(room, text)

        ask("answered")
        assert world.finish(world.claim_one().claim, Answer("yes", "scripted"))
        ask("failed")
        claim = world.claim_one().claim
        with world.unit_of_work() as work:
            work.replies.fail(claim, FailureReason.REFUSED)
            work.commit()
        ask("stopped")
        claim = world.claim_one().claim
        with world.unit_of_work() as work:
            work.replies.stop(claim, partial="half an ans", refund=False)
            work.commit()
        world.cancel(ask("cancelled").id)
        ask("running")
        world.claim_one()
        ask("queued")
        now = ask("now")
        history = list(world.reader.history(room.id, before=now.message_id, turns=50))
        assert history == [Exchange("stopped", "half an ans"), Exchange("answered", "yes")]
        # The others do not count as turns either.
        assert list(world.reader.history(room.id, before=now.message_id, turns=2)) == history

    def test_history_has_the_newest_finished_reply_of_a_message(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.finish(world.claim_one().claim, Answer("The first answer", "scripted"))
        world.ask_again(first)
        now = MessageId(new_id())
        answered = [Exchange("Why?", "The first answer")]
        assert list(world.reader.history(room.id, before=now, turns=50)) == answered
        assert world.finish(world.claim_one().claim, Answer("The second answer", "scripted"))
        assert list(world.reader.history(room.id, before=now, turns=50)) == [Exchange("Why?", "The second answer")]


class TestMemoryReader(ReaderContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlReader(ReaderContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
