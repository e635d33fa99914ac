"""The contract of the queue of record: replies are cancelled, and stopped."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from domain.chat import ChatroomId
from domain.replies import Charge, Claim, EndedReply, FailureReason, ReplyId, ReplyState
from tests.concurrency import together
from tests.contract.world import (
    A_DEADLINE,
    A_LEASE,
    CANCELLED,
    QUEUED,
    RUNNING,
    THREADS,
    MemoryWorld,
    SqlWorld,
    World,
    ended_in,
    ids,
    new_id,
)


class StoppingContract:
    def test_a_queued_one_is_cancelled_at_once_and_gives_its_charge_back_once(self, world: World) -> None:
        room = world.room()
        yesterday = world.today() - timedelta(days=1)
        reply = world.ask(room, charged_on=yesterday)
        second = world.ask(room)
        assert world.cancel(reply.id) == ended_in(0, reply)
        assert world.reply(reply.id) == CANCELLED
        assert world.cancel(reply.id) is ReplyState.CANCELLED
        assert world.to_be_stopped([reply.id]) == set()
        assert ids(world.claim()) == [second.id]
        world.pass_time(A_DEADLINE)
        assert world.fail_expired() == [ended_in(1, second, FailureReason.DEADLINE_EXCEEDED)]

    def test_a_postponed_one_is_cancelled_at_once(self, world: World) -> None:
        reply = world.ask(world.room())
        assert world.postpone(world.claim_one().claim, timedelta(seconds=30))
        assert world.cancel(reply.id) == ended_in(1, reply)
        assert world.reply(reply.id) == replace(CANCELLED, attempt=1)

    def test_a_cancel_that_is_rolled_back_is_none(self, world: World) -> None:
        reply = world.ask(world.room())
        with world.unit_of_work() as work:
            assert isinstance(work.replies.cancel(reply.id), EndedReply)
        assert world.reply(reply.id) == QUEUED

    def test_a_running_one_is_marked_for_its_worker(self, world: World) -> None:
        reply, other = world.ask(world.room()), world.ask(world.room())
        claims = {reply.claim.reply_id: reply.claim for reply in world.claim()}
        both = [reply.id, other.id]
        assert world.to_be_stopped(both) == set()
        for _ in range(2):
            assert world.cancel(reply.id) is ReplyState.RUNNING
            assert world.reply(reply.id) == RUNNING
            assert world.to_be_stopped(both) == {reply.id}
            assert world.to_be_stopped([other.id]) == set()
            assert world.to_be_stopped([]) == set()
        assert world.stop(claims[reply.id], "Once upon") == Charge(reply.user_id, reply.charged_on)

    def test_what_is_gone_is_to_be_stopped(self, world: World) -> None:
        room = world.room()
        reply, other = world.ask(room), world.ask(world.room())
        claims = {claimed.claim.reply_id: claimed.claim for claimed in world.claim()}
        nobodys = ReplyId(new_id())
        assert world.to_be_stopped([nobodys, reply.id, other.id]) == {nobodys}
        with world.unit_of_work() as work:
            work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
            work.commit()
        assert world.to_be_stopped([reply.id, other.id]) == {reply.id}
        assert world.stop(claims[reply.id], "Once upon") is None

    def test_a_queued_one_is_given_up_once(self, world: World) -> None:
        reply = world.ask(world.room())
        assert world.give_up(reply.id) == ended_in(0, reply, FailureReason.GIVEN_UP)
        failed = replace(QUEUED, state=ReplyState.FAILED, failure=FailureReason.GIVEN_UP, finished=True)
        assert world.reply(reply.id) == failed
        assert world.give_up(reply.id) is None
        assert world.claim() == []
        assert world.give_up(ReplyId(new_id())) is None

    def test_a_running_one_is_given_up_whoever_writes_it(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        assert world.give_up(reply.id) == ended_in(1, reply, FailureReason.GIVEN_UP)
        assert world.to_be_stopped([reply.id]) == {reply.id}
        assert not world.finish(claim)
        assert world.stop(claim, "Once upon", refund=True) is None
        assert world.reply(reply.id).failure is FailureReason.GIVEN_UP

    def test_what_has_not_begun_in_a_room(self, world: World) -> None:
        room = world.room()
        world.end_three(room)
        yesterday = world.today() - timedelta(days=1)
        running, queued = world.ask(room), world.ask(room, charged_on=yesterday)
        world.ask(world.room())
        assert running.id in ids(world.claim())
        with world.unit_of_work() as work:
            work.chatrooms.owned(room.id, by=room.user_id)
            assert list(work.replies.not_begun_in(room.id)) == [Charge(queued.user_id, yesterday)]
            assert list(work.replies.not_begun_in(ChatroomId(new_id()))) == []

    @pytest.mark.parametrize("end", [ReplyState.DONE, ReplyState.FAILED, ReplyState.CANCELLED])
    def test_what_is_finished_cannot_be_cancelled(self, world: World, end: ReplyState) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        ways = {ReplyState.DONE: world.finish, ReplyState.FAILED: world.fail, ReplyState.CANCELLED: world.stop}
        assert ways[end](claim)  # type: ignore[operator]
        before = world.reply(reply.id)
        assert world.cancel(reply.id) is end
        assert world.reply(reply.id) == before
        assert world.to_be_stopped([reply.id]) == set()

    @pytest.mark.parametrize("partial", ["Once upon a 🌤 \u202e'%s", ""])
    def test_a_stopped_one_keeps_what_there_is(self, world: World, partial: str) -> None:
        room = world.room()
        reply = world.ask(room)
        second = world.ask(room)
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert world.stop(claim, partial) == Charge(room.user_id, reply.charged_on)
        stopped = replace(CANCELLED, attempt=1, content=partial or None)
        assert world.reply(reply.id) == stopped
        assert world.stop(claim, "again") is None
        assert world.fail(claim) is None
        assert not world.finish(claim)
        assert not world.postpone(claim, timedelta())
        assert world.reply(reply.id) == stopped
        assert ids(world.claim()) == [second.id]

    def test_one_that_is_to_be_stopped_is_not_tried_again(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.cancel(reply.id)
        for counted in (True, False):
            assert not world.postpone(claim, timedelta(), counted=counted)
        assert world.reply(reply.id) == RUNNING
        assert world.stop(claim) == Charge(reply.user_id, reply.charged_on)

    def test_one_that_is_done_before_it_was_stopped_is_done(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert world.finish(claim)
        assert world.reply(reply.id).state is ReplyState.DONE

    def test_one_whose_worker_died_before_it_stopped_is_cancelled_by_a_sweeper(self, world: World) -> None:
        room = world.room()
        reply, second = world.ask(room), world.ask(room)
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert world.fail_expired() == []
        world.pass_time(A_LEASE)
        assert world.claim() == []
        assert world.fail_expired() == [ended_in(1, reply)]
        assert world.reply(reply.id) == replace(CANCELLED, attempt=1)
        assert world.stop(claim, "From the dead") is None
        assert ids(world.claim()) == [second.id]

    def test_a_worker_that_wakes_up_too_late_stops_nothing(self, world: World) -> None:
        reply = world.ask(world.room())
        zombie = world.claim_one().claim
        world.pass_time(A_LEASE)
        world.claim_one()
        assert world.stop(zombie, "From the dead") is None
        assert world.stop(Claim(reply.id, uuid4())) is None
        assert world.reply(reply.id) == replace(RUNNING, attempt=2)

    def test_of_many_who_cancel_at_once_exactly_one_gets_the_charge(self, world: World) -> None:
        reply = world.ask(world.room())
        outcomes = together([lambda: world.cancel(reply.id)] * THREADS)
        ended = [outcome for outcome in outcomes if isinstance(outcome, EndedReply)]
        assert ended == [ended_in(0, reply)]
        assert set(outcomes) - set(ended) == {ReplyState.CANCELLED}

    def test_of_those_who_cancel_stop_and_finish_at_once_one_ends_it(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        outcomes = together(
            [
                lambda: world.finish(claim),
                lambda: world.stop(claim) is not None,
                lambda: world.fail(claim) is not None,
            ]
            * 4
        )
        assert sum(outcomes) == 1
        assert world.reply(reply.id).finished


class TestMemoryStopping(StoppingContract):
    @pytest.fixture
    def world(self, memory_world: MemoryWorld) -> World:
        return memory_world


class TestSqlStopping(StoppingContract):
    @pytest.fixture
    def world(self, real_world: SqlWorld) -> World:
        return real_world
