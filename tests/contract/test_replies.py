"""The contract of the replies: the queue of record."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from domain.chat import ChatroomId
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyState,
)
from tests.concurrency import together
from tests.contract.world import POLICY, THREADS, MemoryWorld, ReplyFacts, SqlWorld, World, new_id

ANSWER = Answer("Because.", "scripted", input_tokens=1, output_tokens=1)
QUEUED = ReplyFacts(ReplyState.QUEUED, 0, leased=False, content=None, failure=None, finished=False)
RUNNING = replace(QUEUED, state=ReplyState.RUNNING, attempt=1, leased=True)
A_LEASE = POLICY.lease + timedelta(seconds=1)
A_DEADLINE = POLICY.deadline + timedelta(seconds=1)


def finish(world: World, claim: Claim, answer: Answer = ANSWER) -> bool:
    with world.begin() as work:
        done = work.replies.finish(claim, answer)
        work.commit()
    return done


def postpone(world: World, claim: Claim, delay: timedelta) -> bool:
    with world.begin() as work:
        done = work.replies.postpone(claim, delay=delay)
        work.commit()
    return done


def fail(world: World, claim: Claim, reason: FailureReason = FailureReason.REFUSED) -> Charge | None:
    with world.begin() as work:
        charge = work.replies.fail(claim, reason)
        work.commit()
    return charge


def release(world: World, claim: Claim) -> bool:
    with world.begin() as work:
        done = work.replies.release(claim)
        work.commit()
    return done


def fail_hopeless(world: World, limit: int = 100) -> list[Charge]:
    with world.begin() as work:
        charges = list(work.replies.fail_hopeless(limit=limit, policy=POLICY))
        work.commit()
    return charges


def ids(claimed: list[ClaimedReply]) -> list[ReplyId]:
    return [reply.claim.reply_id for reply in claimed]


class RepliesContract:
    """What every implementation of Replies does."""

    # Claiming

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
        with world.begin() as work:
            assert len(work.replies.claim_due(limit=1, policy=POLICY)) == 1
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
            assert finish(world, reply.claim)
        assert answered == asked

    def test_a_postponed_one_holds_back_the_later_ones(self, world: World) -> None:
        room = world.room()
        first, second = world.ask(room), world.ask(room)
        assert postpone(world, world.claim_one().claim, timedelta(seconds=30))
        assert world.claim() == []
        world.pass_time(timedelta(seconds=31))
        claimed = world.claim_one()
        assert claimed.claim.reply_id == first.id
        assert fail(world, claimed.claim) is not None
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
            while claimed := world.claim(limit=3):
                mine += ids(claimed)
            return mine

        shares = together([work_until_nothing_is_due] * 8)
        everything = [reply_id for share in shares for reply_id in share]
        everything += ids(world.claim(limit=100))  # whoever was passed over by all of them
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
            # Each round answers at least one, whoever does it.
            for _ in range(2_000):
                for reply in world.claim(limit=2):
                    answered[room_of[reply.claim.reply_id]].append(reply.claim.reply_id)
                    assert finish(world, reply.claim)
                if sum(map(len, answered.values())) == len(room_of):
                    return

        together([work_until_all_is_answered] * 6)
        assert answered == asked

    # Finishing

    @pytest.mark.parametrize(
        "answer",
        [
            ANSWER,
            Answer("", "m"),
            Answer("नमस्ते 👩🏽‍🚀 \u202e\n\t%s %(id)s \\ '", "gemini-flash-latest-001", 2**40, 0, truncated=True),
        ],
    )
    def test_the_answer_is_stored_unchanged(self, world: World, answer: Answer) -> None:
        room = world.room()
        reply = world.ask(room)
        assert finish(world, world.claim_one().claim, answer)
        conversation = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert conversation is not None
        (turn,) = conversation.turns
        shown = Answer(
            turn.reply_content or "", turn.model or "", turn.input_tokens, turn.output_tokens, truncated=turn.truncated
        )
        assert shown == answer
        assert (turn.reply_id, turn.reply_state, turn.failure) == (reply.id, ReplyState.DONE, None)
        assert turn.finished_at is not None
        assert turn.finished_at.utcoffset() == timedelta(0)
        assert world.reply(reply.id) == ReplyFacts(ReplyState.DONE, 1, False, answer.text, None, True)

    def test_done_is_final(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        assert finish(world, claim)
        done = world.reply(reply.id)
        assert not finish(world, claim, replace(ANSWER, text="Something else"))
        assert not postpone(world, claim, timedelta())
        assert not release(world, claim)
        assert fail(world, claim) is None
        world.pass_time(A_DEADLINE)
        assert world.claim() == []
        assert fail_hopeless(world) == []
        assert world.reply(reply.id) == done

    def test_a_finish_that_is_rolled_back_leaves_it_running(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        with world.begin() as work:
            assert work.replies.finish(claim, ANSWER)
        assert world.reply(reply.id) == RUNNING
        assert finish(world, claim)

    def test_late_is_good_enough_while_nobody_else_was_given_it(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.pass_time(A_LEASE)
        assert finish(world, claim)
        assert world.reply(reply.id).state is ReplyState.DONE

    def test_a_worker_that_wakes_up_too_late_is_fenced(self, world: World) -> None:
        reply = world.ask(world.room())
        zombie = world.claim_one().claim
        world.pass_time(A_LEASE)
        heir = world.claim_one().claim
        before = world.reply(reply.id)
        assert not finish(world, zombie, replace(ANSWER, text="From the dead"))
        assert not postpone(world, zombie, timedelta())
        assert not release(world, zombie)
        assert fail(world, zombie) is None
        assert world.reply(reply.id) == before
        assert finish(world, heir)
        assert world.reply(reply.id).content == ANSWER.text

    def test_a_token_that_was_never_given_opens_nothing(self, world: World) -> None:
        reply = world.ask(world.room())
        world.claim_one()
        forged = Claim(reply.id, uuid4())
        nowhere = Claim(ReplyId(new_id()), uuid4())
        for claim in (forged, nowhere):
            assert not finish(world, claim)
            assert not postpone(world, claim, timedelta())
            assert not release(world, claim)
            assert fail(world, claim) is None
        assert world.reply(reply.id) == RUNNING

    def test_of_many_who_finish_with_one_claim_exactly_one_does(self, world: World) -> None:
        world.ask(world.room())
        claim = world.claim_one().claim
        assert sum(together([lambda: finish(world, claim)] * THREADS)) == 1

    # Postponing and releasing

    def test_a_postponed_one_is_due_after_the_delay_and_the_attempt_counts(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        assert postpone(world, claim, timedelta(seconds=10))
        assert world.reply(reply.id) == replace(QUEUED, attempt=1)
        assert not finish(world, claim)
        world.pass_time(timedelta(seconds=5))
        assert world.claim() == []
        world.pass_time(timedelta(seconds=6))
        assert world.claim_one().attempt == 2

    def test_a_released_one_is_due_at_once_and_the_attempt_does_not_count(self, world: World) -> None:
        reply = world.ask(world.room())
        for _ in range(5):
            claimed = world.claim_one()
            assert claimed.attempt == 1
            assert release(world, claimed.claim)
            assert world.reply(reply.id) == QUEUED
            assert not finish(world, claimed.claim)

    # Failing

    @pytest.mark.parametrize("reason", FailureReason)
    def test_a_failed_one_says_why_and_gives_its_charge_back_once(self, world: World, reason: FailureReason) -> None:
        room = world.room()
        yesterday = world.today() - timedelta(days=1)
        reply = world.ask(room, charged_on=yesterday)
        claim = world.claim_one().claim
        assert fail(world, claim, reason) == Charge(room.user_id, yesterday)
        assert fail(world, claim, reason) is None
        failed = ReplyFacts(ReplyState.FAILED, 1, leased=False, content=None, failure=reason, finished=True)
        assert world.reply(reply.id) == failed
        world.pass_time(A_DEADLINE)
        assert fail_hopeless(world) == []
        assert world.claim() == []
        assert world.reply(reply.id) == failed

    def test_of_many_who_fail_with_one_claim_exactly_one_gets_the_charge(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        claim = world.claim_one().claim
        charges = together([lambda: fail(world, claim)] * THREADS)
        assert [charge for charge in charges if charge is not None] == [Charge(room.user_id, reply.charged_on)]

    # What nobody may try any more

    def test_queued_past_its_deadline_is_hopeless(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        assert fail_hopeless(world) == []
        world.pass_time(A_DEADLINE)
        assert fail_hopeless(world) == [Charge(room.user_id, reply.charged_on)]
        assert world.reply(reply.id) == ReplyFacts(
            ReplyState.FAILED, 0, leased=False, content=None, failure=FailureReason.DEADLINE_EXCEEDED, finished=True
        )
        assert fail_hopeless(world) == []

    def test_running_is_hopeless_only_when_its_lease_has_run_out(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room, policy=replace(POLICY, deadline=timedelta(seconds=30)))
        claim = world.claim_one().claim
        world.pass_time(timedelta(seconds=31))  # past the deadline, and the worker still holds its lease
        assert fail_hopeless(world) == []
        world.pass_time(A_LEASE)
        assert fail_hopeless(world) == [Charge(room.user_id, reply.charged_on)]
        assert world.reply(reply.id).failure is FailureReason.DEADLINE_EXCEEDED
        assert not finish(world, claim)

    def test_a_message_that_kills_its_worker_fails_when_its_attempts_are_used_up(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        for _ in range(POLICY.max_attempts):
            assert fail_hopeless(world) == []
            world.claim_one()
            assert fail_hopeless(world) == []
            world.pass_time(A_LEASE)
        assert fail_hopeless(world) == [Charge(room.user_id, reply.charged_on)]
        assert world.reply(reply.id).failure is FailureReason.ATTEMPTS_EXHAUSTED

    def test_a_hopeless_one_no_longer_holds_back_the_later_ones(self, world: World) -> None:
        room = world.room()
        world.ask(room, policy=replace(POLICY, deadline=timedelta(seconds=30)))
        second = world.ask(room)
        world.pass_time(timedelta(seconds=31))
        assert world.claim() == []
        assert len(fail_hopeless(world)) == 1
        assert world.claim_one().claim.reply_id == second.id

    def test_no_more_fail_at_a_time_than_asked_for(self, world: World) -> None:
        user = world.user()
        for _ in range(5):
            world.ask(world.room(user))
        world.pass_time(A_DEADLINE)
        assert [len(fail_hopeless(world, limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    def test_many_sweepers_return_each_charge_once(self, world: World) -> None:
        rooms = [world.room() for _ in range(40)]
        due = {Charge(room.user_id, world.ask(room).charged_on) for room in rooms}
        world.pass_time(A_DEADLINE)

        def sweep() -> list[Charge]:
            mine: list[Charge] = []
            while charges := fail_hopeless(world, limit=3):
                mine += charges
            return mine

        shares = together([sweep] * 8)
        everything = [charge for share in shares for charge in share]
        everything += fail_hopeless(world)
        assert len(everything) == len(due)
        assert set(everything) == due

    def test_a_sweep_that_is_rolled_back_gives_nothing_back(self, world: World) -> None:
        room = world.room()
        reply: QueuedReply = world.ask(room)
        world.pass_time(A_DEADLINE)
        with world.begin() as work:
            assert len(work.replies.fail_hopeless(limit=10, policy=POLICY)) == 1
        assert world.reply(reply.id) == QUEUED
        assert len(fail_hopeless(world)) == 1


class TestMemoryReplies(RepliesContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlReplies(RepliesContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world

    def test_what_another_is_claiming_is_passed_over_not_waited_for(self, real_world: SqlWorld) -> None:
        user = real_world.user()
        first, second = real_world.ask(real_world.room(user)), real_world.ask(real_world.room(user))
        with real_world.begin() as one, real_world.begin() as other:
            (mine,) = one.replies.claim_due(limit=1, policy=POLICY)
            theirs = other.replies.claim_due(limit=10, policy=POLICY)
            assert mine.claim.reply_id == first.id
            assert ids(list(theirs)) == [second.id]

    def test_what_another_is_sweeping_is_passed_over_not_waited_for(self, real_world: SqlWorld) -> None:
        for _ in range(2):
            real_world.ask(real_world.room())
        real_world.pass_time(A_DEADLINE)
        with real_world.begin() as one, real_world.begin() as other:
            assert len(one.replies.fail_hopeless(limit=1, policy=POLICY)) == 1
            assert len(other.replies.fail_hopeless(limit=10, policy=POLICY)) == 1
            assert other.replies.claim_due(limit=10, policy=POLICY) == []
