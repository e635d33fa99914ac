"""The contract of the queue of record: what becomes of a reply that was claimed."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from application.ports.reader import ReplyEntry
from domain.chat import Chatroom
from domain.plans import Plan
from domain.replies import Answer, Charge, Claim, EndedReply, FailureReason, QueuedReply, ReplyId, ReplyState
from tests.concurrency import together
from tests.contract.world import (
    A_DEADLINE,
    A_LEASE,
    ANSWER,
    POLICY,
    QUEUED,
    RUNNING,
    THREADS,
    MemoryWorld,
    ReplyFacts,
    SqlWorld,
    World,
    ended_in,
    ids,
    new_id,
)


class OutcomesContract:
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
        assert world.finish(world.claim_one().claim, answer)
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

    def test_who_finishes_one_learns_whether_others_of_the_user_wait(self, world: World) -> None:
        room = world.room()
        for _ in range(2):
            world.ask(room)
        world.ask(world.room())  # of another user
        theirs = [claimed.claim for claimed in world.claim(limit=2) if claimed.user_id == room.user_id]
        others = []
        while theirs:
            with world.unit_of_work.autocommit() as work:
                finished = work.replies.finish(theirs.pop(), ANSWER)
            assert finished is not None
            others.append(finished.others_wait)
            theirs = [claimed.claim for claimed in world.claim(limit=2)]
        assert others == [True, False]

    def test_done_is_final(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        assert world.finish(claim)
        done = world.reply(reply.id)
        assert not world.finish(claim, replace(ANSWER, text="Something else"))
        assert not world.postpone(claim, timedelta())
        assert not world.release(claim)
        assert world.fail(claim) is None
        world.pass_time(A_DEADLINE)
        assert world.claim() == []
        assert world.fail_expired() == []
        assert world.reply(reply.id) == done

    def test_a_finish_that_is_rolled_back_leaves_it_running(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        with world.unit_of_work() as work:
            assert work.replies.finish(claim, ANSWER)
        assert world.reply(reply.id) == RUNNING
        assert world.finish(claim)

    def test_late_is_good_enough_while_it_was_not_claimed_again(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.pass_time(A_LEASE)
        assert world.finish(claim)
        assert world.reply(reply.id).state is ReplyState.DONE

    def test_a_worker_that_wakes_up_too_late_is_fenced(self, world: World) -> None:
        reply = world.ask(world.room())
        zombie = world.claim_one().claim
        world.pass_time(A_LEASE)
        heir = world.claim_one().claim
        before = world.reply(reply.id)
        assert not world.finish(zombie, replace(ANSWER, text="From the dead"))
        assert not world.postpone(zombie, timedelta())
        assert not world.release(zombie)
        assert world.fail(zombie) is None
        assert world.reply(reply.id) == before
        assert world.finish(heir)
        assert world.reply(reply.id).content == ANSWER.text

    def test_a_renewed_lease_counts_from_now(self, world: World) -> None:
        reply = world.ask(world.room())
        claimed = world.claim_one()
        for _ in range(4):
            world.pass_time(timedelta(seconds=59))
            assert world.renew_lease(claimed.claim)
            assert world.claim() == []
        assert world.reply(reply.id) == RUNNING
        assert world.finish(claimed.claim)

    def test_an_expired_lease_is_renewed_while_nobody_else_has_claimed_the_reply(self, world: World) -> None:
        world.ask(world.room())
        claimed = world.claim_one()
        world.pass_time(A_LEASE)
        assert world.renew_lease(claimed.claim)
        assert world.claim() == []

    def test_a_lost_lease_is_not_renewed(self, world: World) -> None:
        reply = world.ask(world.room())
        lost = world.claim_one().claim
        world.pass_time(A_LEASE)
        heir = world.claim_one().claim
        world.pass_time(timedelta(seconds=59))
        assert not world.renew_lease(lost)
        world.pass_time(timedelta(seconds=2))
        assert ids(world.claim()) == [reply.id]  # the lease of the heir was not prolonged either
        assert not world.renew_lease(heir)

    def test_only_a_running_reply_has_a_lease_to_renew(self, world: World) -> None:
        for end in (world.finish, world.fail, world.stop, world.release):
            reply = world.ask(world.room())
            claim = next(one.claim for one in world.claim() if one.claim.reply_id == reply.id)
            end(claim)
            before = world.reply(reply.id)
            assert not world.renew_lease(claim)
            assert world.reply(reply.id) == before

    def test_a_cancelled_reply_keeps_its_lease_until_its_worker_has_stopped(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert world.renew_lease(claim)
        assert world.to_be_stopped([reply.id]) == {reply.id}
        assert world.stop(claim, "Once upon")
        assert not world.renew_lease(claim)

    def test_a_token_that_was_never_given_opens_nothing(self, world: World) -> None:
        reply = world.ask(world.room())
        world.claim_one()
        forged = Claim(reply.id, uuid4())
        nowhere = Claim(ReplyId(new_id()), uuid4())
        for claim in (forged, nowhere):
            assert not world.finish(claim)
            assert not world.postpone(claim, timedelta())
            assert not world.release(claim)
            assert world.fail(claim) is None
        assert world.reply(reply.id) == RUNNING

    def test_of_many_who_finish_with_one_claim_exactly_one_does(self, world: World) -> None:
        world.ask(world.room())
        claim = world.claim_one().claim
        assert sum(together([lambda: world.finish(claim)] * THREADS)) == 1

    # Postponing and releasing

    def test_a_postponed_one_is_due_after_the_delay_and_the_attempt_counts(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        assert world.postpone(claim, timedelta(seconds=10))
        assert world.reply(reply.id) == replace(QUEUED, attempt=1)
        assert not world.finish(claim)
        world.pass_time(timedelta(seconds=5))
        assert world.claim() == []
        world.pass_time(timedelta(seconds=6))
        assert world.claim_one().attempt == 2

    def test_a_released_one_is_due_at_once_and_the_attempt_does_not_count(self, world: World) -> None:
        reply = world.ask(world.room())
        for _ in range(5):
            claimed = world.claim_one()
            assert claimed.attempt == 1
            assert world.release(claimed.claim)
            assert world.reply(reply.id) == QUEUED
            assert not world.finish(claimed.claim)

    def test_one_postponed_uncounted_is_due_after_the_delay_and_the_attempt_does_not_count(self, world: World) -> None:
        reply = world.ask(world.room())
        for _ in range(5):
            claimed = world.claim_one()
            assert claimed.attempt == 1
            assert world.postpone(claimed.claim, timedelta(seconds=10), counted=False)
            assert world.reply(reply.id) == QUEUED
            assert not world.finish(claimed.claim)
            world.pass_time(timedelta(seconds=5))
            assert world.claim() == []
            world.pass_time(timedelta(seconds=6))

    # Failing

    @pytest.mark.parametrize("reason", FailureReason)
    def test_a_failed_one_says_why_and_gives_its_charge_back_once(self, world: World, reason: FailureReason) -> None:
        room = world.room()
        yesterday = world.today() - timedelta(days=1)
        reply = world.ask(room, charged_on=yesterday)
        claim = world.claim_one().claim
        assert world.fail(claim, reason) == Charge(room.user_id, yesterday)
        assert world.fail(claim, reason) is None
        failed = ReplyFacts(ReplyState.FAILED, 1, leased=False, content=None, failure=reason, finished=True)
        assert world.reply(reply.id) == failed
        world.pass_time(A_DEADLINE)
        assert world.fail_expired() == []
        assert world.claim() == []
        assert world.reply(reply.id) == failed

    def test_of_many_who_fail_with_one_claim_exactly_one_gets_the_charge(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        claim = world.claim_one().claim
        charges = together([lambda: world.fail(claim)] * THREADS)
        assert [charge for charge in charges if charge is not None] == [Charge(room.user_id, reply.charged_on)]

    # Expired replies

    def test_queued_past_its_deadline_is_expired(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        assert world.fail_expired() == []
        world.pass_time(A_DEADLINE)
        assert world.fail_expired() == [ended_in(0, reply, FailureReason.DEADLINE_EXCEEDED)]
        assert world.reply(reply.id) == ReplyFacts(
            ReplyState.FAILED, 0, leased=False, content=None, failure=FailureReason.DEADLINE_EXCEEDED, finished=True
        )
        assert world.fail_expired() == []

    def test_running_is_expired_only_when_its_lease_has_run_out(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room, policy=replace(POLICY, deadline=timedelta(seconds=30)))
        claim = world.claim_one().claim
        world.pass_time(timedelta(seconds=31))  # past the deadline, and the worker still holds its lease
        assert world.fail_expired() == []
        world.pass_time(A_LEASE)
        assert world.fail_expired() == [ended_in(1, reply, FailureReason.DEADLINE_EXCEEDED)]
        assert world.reply(reply.id).failure is FailureReason.DEADLINE_EXCEEDED
        assert not world.finish(claim)

    def test_a_message_that_kills_its_worker_fails_when_its_attempts_are_used_up(self, world: World) -> None:
        room = world.room()
        reply = world.ask(room)
        for _ in range(POLICY.max_attempts):
            assert world.fail_expired() == []
            world.claim_one()
            assert world.fail_expired() == []
            world.pass_time(A_LEASE)
        assert world.fail_expired() == [ended_in(POLICY.max_attempts, reply, FailureReason.ATTEMPTS_EXHAUSTED)]
        assert world.reply(reply.id).failure is FailureReason.ATTEMPTS_EXHAUSTED

    def test_an_expired_one_no_longer_holds_back_the_later_ones(self, world: World) -> None:
        room = world.room()
        world.ask(room, policy=replace(POLICY, deadline=timedelta(seconds=30)))
        second = world.ask(room)
        world.pass_time(timedelta(seconds=31))
        assert world.claim() == []
        assert len(world.fail_expired()) == 1
        assert world.claim_one().claim.reply_id == second.id

    def test_no_more_fail_at_a_time_than_asked_for(self, world: World) -> None:
        user = world.user()
        for _ in range(5):
            world.ask(world.room(user))
        world.pass_time(A_DEADLINE)
        assert [len(world.fail_expired(limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    def test_of_some_no_others_are_ended(self, world: World) -> None:
        first, second, fresh = (world.ask(world.room()) for _ in range(3))
        world.pass_time(A_DEADLINE)
        world.ask(world.room())
        failure = FailureReason.DEADLINE_EXCEEDED
        assert world.fail_expired(among=[]) == []
        assert world.fail_expired(among=[second.id, ReplyId(new_id())]) == [ended_in(0, second, failure)]
        assert world.fail_expired(among=[second.id]) == []
        assert {ended.reply_id for ended in world.fail_expired()} == {first.id, fresh.id}

    def test_what_is_overdue(self, world: World) -> None:
        mine, others = world.room(), world.room()
        first, second = world.ask(mine), world.ask(mine)
        other = world.ask(others, plan=Plan.PRO)
        assert world.overdue() == set()
        claimed = world.claim(limit=1)
        assert ids(claimed) == [other.id]
        world.pass_time(POLICY.deadline - timedelta(seconds=1))
        assert world.renew_lease(claimed[0].claim)
        world.pass_time(timedelta(seconds=2))
        fresh = world.ask(others)
        # Its worker still holds it.
        assert world.overdue() == {first.id, second.id}
        world.pass_time(A_LEASE)
        assert world.overdue() == {first.id, second.id, other.id}
        assert world.overdue(mine.user_id) == {first.id, second.id}
        assert world.overdue(limit=1) == {first.id, other.id}
        assert world.overdue(world.user().id) == set()
        assert len(world.fail_expired()) == 3
        assert world.overdue() == set()
        assert world.reply(fresh.id) == QUEUED

    def test_a_reader_is_told_what_is_overdue(self, world: World) -> None:
        room = world.room()
        answered = world.ask(room)
        assert world.finish(world.claim_one().claim)
        again, queued = world.ask_again(answered), world.ask(room)
        assert overdue_as_read(world, room, answered, queued) == [False] * 5
        world.pass_time(A_DEADLINE)
        assert overdue_as_read(world, room, answered, queued) == [True] * 5
        assert {ended.reply_id for ended in world.fail_expired()} == {again.id, queued.id}
        assert overdue_as_read(world, room, answered, queued) == [False] * 5

    def test_many_sweepers_return_each_charge_once(self, world: World) -> None:
        rooms = [world.room() for _ in range(40)]
        due = {ended_in(0, world.ask(room), FailureReason.DEADLINE_EXCEEDED) for room in rooms}
        world.pass_time(A_DEADLINE)

        def sweep() -> list[EndedReply]:
            mine: list[EndedReply] = []
            while ended := world.fail_expired(limit=3):
                mine += ended
            return mine

        shares = together([sweep] * 8)
        everything = [ended for share in shares for ended in share]
        everything += world.fail_expired()
        assert len(everything) == len(due)
        assert set(everything) == due

    def test_a_sweep_that_is_rolled_back_gives_nothing_back(self, world: World) -> None:
        room = world.room()
        reply: QueuedReply = world.ask(room)
        world.pass_time(A_DEADLINE)
        with world.unit_of_work() as work:
            assert len(work.replies.fail_expired(limit=10, policy=POLICY)) == 1
        assert world.reply(reply.id) == QUEUED
        assert len(world.fail_expired()) == 1


def overdue_as_read(world: World, room: Chatroom, answered: QueuedReply, queued: QueuedReply) -> list[bool]:
    """What each way of reading says of two messages, of which the first is being answered once more."""
    conversation = world.reader.conversation(room.user_id, room.id, turns=10, before=None)
    entries = world.reader.entries_after(room.user_id, room.id, entry_id=answered.id, limit=10)
    found = [world.reader.entry(room.user_id, reply.id) for reply in (answered, queued)]
    assert conversation is not None
    assert entries is not None
    of_entries = {entry.overdue for entry in entries if isinstance(entry, ReplyEntry)}
    assert len(of_entries) == 1
    turns = [*conversation.turns, *(entry.turn for entry in found if entry is not None)]
    return [*(turn.overdue for turn in turns), *of_entries]


class TestMemoryOutcomes(OutcomesContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlOutcomes(OutcomesContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
