"""The contract of the queue of record: who is given which reply, and when."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from threading import Lock

import pytest

from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.errors import BacklogFull, TooManyUnfinishedReplies
from domain.plans import Plan
from domain.replies import ReplyId
from tests.concurrency import together
from tests.contract.world import (
    A_DEADLINE,
    A_LEASE,
    MAX_CHATROOMS,
    POLICY,
    QUEUED,
    RUNNING,
    THREADS,
    MemoryWorld,
    SqlWorld,
    World,
    a_message,
    a_reply,
    a_room,
    ids,
)

# Where the limit of a user's running replies is not what is looked at.
UNLIMITED = replace(POLICY, user_concurrency=1_000)


class ClaimsContract:
    # Whose turn it is

    def test_a_new_one_is_due_together(self, world: World) -> None:
        reply = world.ask(world.room(), "Why is the sky blue? 🌤")
        assert world.reply(reply.id) == QUEUED
        claimed = world.claim_one()
        assert claimed.claim.reply_id == reply.id
        assert claimed.attempt == 1
        assert claimed.prompt == "Why is the sky blue? 🌤"
        assert 0 < claimed.seconds_left <= POLICY.deadline.total_seconds()
        assert world.reply(reply.id) == RUNNING

    def test_nothing_is_due_where_nothing_is(self, world: World) -> None:
        assert world.claim() == []

    def test_a_claimed_one_is_not_claimed_again(self, world: World) -> None:
        world.ask(world.room())
        world.claim_one()
        assert world.claim() == []

    def test_a_claim_that_is_rolled_back_is_none(self, world: World) -> None:
        reply = world.ask(world.room())
        with world.unit_of_work() as work:
            assert len(work.replies.claim_due(limit=1, basic_first=0, policy=POLICY)) == 1
        assert world.reply(reply.id) == QUEUED
        assert world.claim_one().attempt == 1

    def test_no_more_than_asked_for_and_the_oldest_first(self, world: World) -> None:
        asked = [world.ask(world.room()).id for _ in range(5)]
        first = world.claim(limit=2)
        second = world.claim(limit=2)
        assert [set(ids(first)), set(ids(second)), ids(world.claim())] == [set(asked[:2]), set(asked[2:4]), asked[4:]]

    def test_one_of_a_chatroom_at_a_time_in_the_order_of_asking(self, world: World) -> None:
        room = world.room()
        asked = [world.ask(room, f"{number}").id for number in range(3)]
        answered = []
        while claimed := world.claim():
            (reply,) = claimed
            answered.append(reply.claim.reply_id)
            assert world.finish(reply.claim)
        assert answered == asked

    def test_a_postponed_one_holds_back_the_later_ones(self, world: World) -> None:
        room = world.room()
        first, second = world.ask(room), world.ask(room)
        assert world.postpone(world.claim_one().claim, timedelta(seconds=30))
        assert world.claim() == []
        world.pass_time(timedelta(seconds=31))
        claimed = world.claim_one()
        assert claimed.claim.reply_id == first.id
        assert world.fail(claimed.claim) is not None
        assert world.claim_one().claim.reply_id == second.id

    def test_other_chatrooms_are_not_held_back(self, world: World) -> None:
        user = world.user()
        one, other = world.room(user), world.room(user)
        first = world.ask(one)
        world.ask(one)
        elsewhere = world.ask(other)
        assert set(ids(world.claim())) == {first.id, elsewhere.id}

    def test_a_silent_workers_reply_is_due_when_its_lease_runs_out(self, world: World) -> None:
        world.ask(world.room())
        silent = world.claim_one()
        world.pass_time(POLICY.lease - timedelta(seconds=5))
        assert world.claim() == []
        world.pass_time(timedelta(seconds=6))
        heir = world.claim_one()
        assert heir.claim.reply_id == silent.claim.reply_id
        assert heir.claim.lease_token != silent.claim.lease_token
        assert heir.attempt == 2
        assert heir.seconds_left < silent.seconds_left

    def test_no_more_attempts_than_the_policy_allows(self, world: World) -> None:
        reply = world.ask(world.room())
        for attempt in (1, 2, 3):
            assert world.claim_one().attempt == attempt
            world.pass_time(A_LEASE)
        assert world.claim() == []
        assert world.reply(reply.id).attempt == 3

    def test_nothing_is_claimed_after_its_deadline(self, world: World) -> None:
        world.ask(world.room())
        world.pass_time(A_DEADLINE)
        assert world.claim() == []

    def test_many_workers_claim_disjoint_sets(self, world: World) -> None:
        user = world.user()
        asked = {world.ask(world.room(user)).id for _ in range(60)}

        def work_until_nothing_is_due() -> list[ReplyId]:
            mine: list[ReplyId] = []
            while claimed := world.claim(limit=3, policy=UNLIMITED):
                mine += ids(claimed)
            return mine

        shares = together([work_until_nothing_is_due] * 8)
        everything = [reply_id for share in shares for reply_id in share]
        assert len(everything) == len(asked)
        assert set(everything) == asked

    def test_many_workers_keep_the_order_of_each_chatroom(self, world: World) -> None:
        user = world.user()
        asked: dict[ChatroomId, list[ReplyId]] = {}
        for _ in range(4):
            room = world.room(user)
            asked[room.id] = [world.ask(room).id for _ in range(6)]
        room_of = {reply_id: room_id for room_id, replies in asked.items() for reply_id in replies}
        answered: dict[ChatroomId, list[ReplyId]] = defaultdict(list)

        def work_until_all_is_answered() -> None:
            # Each round answers at least one, in either thread.
            for _ in range(2_000):
                for reply in world.claim(limit=2):
                    answered[room_of[reply.claim.reply_id]].append(reply.claim.reply_id)
                    assert world.finish(reply.claim)
                if sum(map(len, answered.values())) == len(room_of):
                    return

        together([work_until_all_is_answered] * 6)
        assert answered == asked

    def test_a_run_is_counted_with_every_claim(self, world: World) -> None:
        room = world.room()
        world.ask(room)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.generation) == (1, 1)
        assert world.release(claimed.claim)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.generation) == (1, 2)
        assert world.postpone(claimed.claim, timedelta(), counted=False)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.generation) == (1, 3)
        assert world.postpone(claimed.claim, timedelta(), counted=True)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.generation) == (2, 4)
        world.pass_time(A_LEASE)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.generation) == (3, 5)
        assert world.finish(claimed.claim)
        conversation = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert conversation is not None
        assert conversation.turns[0].generation == 5

    def test_runs_go_on_from_those_of_the_earlier_replies(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert world.release(world.claim_one().claim)
        assert world.finish(world.claim_one().claim)
        second = world.ask_again(first)
        claimed = world.claim_one()
        assert (claimed.claim.reply_id, claimed.attempt, claimed.generation) == (second.id, 1, 3)
        assert world.fail(claimed.claim) is not None
        world.ask_again(first)
        assert world.claim_one().generation == 4
        # Another message begins anew.
        world.ask(world.room())
        assert world.claim_one().generation == 1

    def test_a_claim_says_where_it_belongs(self, world: World) -> None:
        room = world.room(system_prompt="Be brief. 🌤")
        reply = world.ask(room)
        claimed = world.claim_one()
        assert (claimed.message_id, claimed.chatroom_id, claimed.user_id) == (reply.message_id, room.id, room.user_id)
        assert claimed.system_prompt == "Be brief. 🌤"
        world.ask(world.room(system_prompt=None))
        assert world.claim_one().system_prompt is None

    # Fairness

    def test_a_user_has_no_more_running_than_the_policy_allows(self, world: World) -> None:
        user = world.user()
        asked = [world.ask(world.room(user)).id for _ in range(5)]
        first = world.claim()
        assert set(ids(first)) == set(asked[:2])
        assert world.claim() == []
        assert world.finish(first[0].claim)
        assert ids(world.claim()) == [asked[2]]
        assert world.fail(first[1].claim) is not None
        assert ids(world.claim()) == [asked[3]]
        assert world.claim() == []

    def test_one_whose_lease_ran_out_does_not_count_as_running(self, world: World) -> None:
        user = world.user()
        asked = [world.ask(world.room(user)).id for _ in range(4)]
        assert set(ids(world.claim())) == set(asked[:2])
        world.pass_time(A_LEASE)
        claimed = world.claim()
        # Those two and the others are due now, and two of all may run.
        assert len(claimed) == 2
        assert world.claim() == []

    def test_others_are_not_held_back_by_one_who_is_at_the_limit(self, world: World) -> None:
        user = world.user()
        for _ in range(5):
            world.ask(world.room(user))
        other = world.ask(world.room())
        claimed = ids(world.claim())
        assert len(claimed) == 3
        assert other.id in claimed

    def test_urgent_ones_first_then_the_oldest(self, world: World) -> None:
        basic = [world.ask(world.room()).id for _ in range(3)]
        pro = [world.ask(world.room(), plan=Plan.PRO).id for _ in range(3)]
        order = [ids(world.claim(limit=1)) for _ in range(6)]
        assert order == [[reply_id] for reply_id in (*pro, *basic)]

    def test_some_that_are_not_urgent_may_come_first(self, world: World) -> None:
        basic = [world.ask(world.room()).id for _ in range(3)]
        pro = [world.ask(world.room(), plan=Plan.PRO).id for _ in range(3)]
        first, second = world.claim(limit=3, basic_first=1), world.claim(limit=2, basic_first=3)
        assert set(ids(first)) == {basic[0], *pro[:2]}
        assert set(ids(second)) == {basic[1], basic[2]}
        assert [reply.urgent for reply in second] == [False, False]
        (last,) = world.claim(limit=3, basic_first=3)
        assert (last.claim.reply_id, last.urgent) == (pro[2], True)

    def test_a_users_own_urgent_ones_come_before_the_others(self, world: World) -> None:
        user = world.user()
        for _ in range(2):
            world.ask(world.room(user))
        pro = {world.ask(world.room(user), plan=Plan.PRO).id for _ in range(2)}
        assert set(ids(world.claim())) == pro

    def test_one_user_has_not_more_places_among_those_that_come_first(self, world: World) -> None:
        user = world.user()
        for _ in range(4):
            world.ask(world.room(user))
        pro = [world.ask(world.room(), plan=Plan.PRO).id for _ in range(3)]
        claimed = ids(world.claim(limit=5, basic_first=4))
        assert len(claimed) == 5
        assert set(pro) < set(claimed)

    def test_an_urgent_one_does_not_overtake_in_its_own_chatroom(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        world.ask(room, plan=Plan.PRO)
        assert ids(world.claim()) == [first.id]

    @pytest.mark.parametrize("limit", [1, 10])
    def test_one_who_floods_does_not_keep_others_waiting(self, world: World, limit: int) -> None:
        flooder, other = world.user(), world.user()
        # More than a claim looks at. Two of the flooder's may run, and then it is everybody else's turn.
        flood = [a_message(a_room(flooder)) for _ in range(4 * limit + 100)]
        with world.unit_of_work() as work:
            for message in flood:
                work.chatrooms.add(a_room(flooder, id=message.chatroom_id), limit=MAX_CHATROOMS)
                work.messages.add(message)
                work.replies.add(a_reply(message, world.today()))
            work.commit()
        theirs = world.ask(world.room(other))
        claimed = [reply for _ in range(3) for reply in world.claim(limit=limit)]
        assert len(claimed) == 3
        assert theirs.id in ids(claimed)

    @pytest.mark.parametrize("user_concurrency", [1, 2, 3])
    def test_however_many_claim_at_once_the_limits_hold(self, world: World, user_concurrency: int) -> None:
        policy = replace(POLICY, user_concurrency=user_concurrency)
        users = [world.user() for _ in range(3)]
        rooms = [world.room(user) for user in users for _ in range(5)]
        room_of = {world.ask(room).id: room for _ in range(2) for room in rooms}

        for _ in range(3):
            shares = together([lambda: world.claim(limit=2, policy=policy)] * THREADS)
            claimed = [reply for share in shares for reply in share]
            running = [room_of[reply.claim.reply_id] for reply in claimed]
            assert Counter(room.user_id for room in running) == {user.id: user_concurrency for user in users}
            assert len({room.id for room in running}) == len(running), "two of one chatroom"
            for reply in claimed:
                assert world.finish(reply.claim)

    def test_however_many_claim_and_finish_at_once_the_limits_hold(self, world: World) -> None:
        users = [world.user() for _ in range(3)]
        rooms = [world.room(user) for user in users for _ in range(4)]
        room_of = {world.ask(room).id: room for _ in range(3) for room in rooms}
        # Counted from after the claim to before the finish: never more than are really running.
        guard = Lock()
        of_user: Counter[UserId] = Counter()
        of_room: Counter[ChatroomId] = Counter()
        most = {"user": 0, "room": 0}
        done: list[ReplyId] = []

        def work_until_all_is_answered() -> None:
            for _ in range(2_000):
                claimed = world.claim(limit=2)
                with guard:
                    for reply in claimed:
                        room = room_of[reply.claim.reply_id]
                        of_user[room.user_id] += 1
                        of_room[room.id] += 1
                        most["user"] = max(most["user"], of_user[room.user_id])
                        most["room"] = max(most["room"], of_room[room.id])
                for reply in claimed:
                    room = room_of[reply.claim.reply_id]
                    with guard:
                        of_user[room.user_id] -= 1
                        of_room[room.id] -= 1
                    assert world.finish(reply.claim)
                    with guard:
                        done.append(reply.claim.reply_id)
                if len(done) == len(room_of):
                    return

        together([work_until_all_is_answered] * 6)
        assert sorted(done) == sorted(room_of)
        assert most["user"] <= POLICY.user_concurrency
        assert most["room"] == 1

    # Room for more

    def test_a_backlog_of_ones_own_that_is_full(self, world: World) -> None:
        policy = replace(POLICY, user_backlog=2)
        user, other = world.user(), world.user()
        room = world.room(user)
        world.check_backlog(user.id, policy)
        world.ask(room)
        world.claim_one()
        world.check_backlog(user.id, policy)
        second = world.ask(room)
        with pytest.raises(TooManyUnfinishedReplies) as refusal:
            world.check_backlog(user.id, policy)
        assert refusal.value.limit == 2
        world.check_backlog(other.id, policy)
        world.cancel(second.id)
        world.check_backlog(user.id, policy)

    def test_a_backlog_of_everybody_that_is_full(self, world: World) -> None:
        policy = replace(POLICY, backlog=3)
        replies = [world.ask(world.room()) for _ in range(3)]
        for user_id in (replies[0].user_id, world.user().id):
            with pytest.raises(BacklogFull):
                world.check_backlog(user_id, policy)
        assert world.finish(world.claim(limit=1)[0].claim)
        world.check_backlog(replies[0].user_id, policy)


class TestMemoryClaims(ClaimsContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlClaims(ClaimsContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
