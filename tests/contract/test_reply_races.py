"""What PostgreSQL makes of two who are at one reply at once."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.sql.database import Transaction
from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.chat import Chatroom
from domain.errors import DependencyDown
from domain.replies import Charge, Claim, ClaimedReply, EndedReply, FailureReason, QueuedReply, ReplyId, ReplyState
from tests.concurrency import eventually
from tests.contract.world import (
    A_DEADLINE,
    A_LEASE,
    ALLOWANCES,
    ANSWER,
    CANCELLED,
    POLICY,
    QUEUED,
    SqlWorld,
    a_message,
    a_reply,
    ids,
    new_id,
)

TakeAway = Callable[[SqlWorld, Chatroom], Collection[ReplyId]]


@contextmanager
def claimed_meanwhile(
    world: SqlWorld, reply: QueuedReply, *, commit: bool = True
) -> Iterator[tuple[SqlUnitOfWork, Claim, "Future[list[ClaimedReply]]"]]:
    """A unit of work that writes to a reply whose lease has run out, while another worker claims it."""
    claim = world.claim_one().claim
    assert claim.reply_id == reply.id
    world.pass_time(A_LEASE)
    with ThreadPoolExecutor(1) as thread, world.unit_of_work() as work:
        assert isinstance(work, SqlUnitOfWork)
        # What it finds due now it must look at again when it gets the row.
        theirs: Future[list[ClaimedReply]] = Future()
        yield work, claim, theirs
        running = thread.submit(world.claim)
        assert eventually(lambda: world.waiting_for("transactionid") == 1)
        if commit:
            work.commit()
        else:
            assert isinstance(work._transaction, Transaction)
            work._transaction.rollback()
        theirs.set_result(running.result(30))


class TestSqlReplies:
    def test_claims_take_turns(self, real_world: SqlWorld) -> None:
        user = real_world.user()
        first, second = real_world.ask(real_world.room(user)), real_world.ask(real_world.room(user))
        with ThreadPoolExecutor(1) as thread:
            with real_world.unit_of_work() as work:
                (mine,) = work.replies.claim_due(limit=1, basic_first=0, policy=POLICY)
                theirs = thread.submit(real_world.claim)
                assert eventually(lambda: real_world.waiting_for("advisory") == 1)
                work.commit()
            assert mine.claim.reply_id == first.id
            assert ids(theirs.result(30)) == [second.id]

    def test_a_claim_that_dies_takes_its_turn_with_it(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with ThreadPoolExecutor(1) as thread:
            with pytest.raises(DependencyDown), real_world.unit_of_work() as work:
                assert len(work.replies.claim_due(limit=1, basic_first=0, policy=POLICY)) == 1
                theirs = thread.submit(real_world.claim)
                assert eventually(lambda: real_world.waiting_for("advisory") == 1)
                real_world.break_commit(work)
                work.commit()
            (claimed,) = theirs.result(30)
            assert (claimed.claim.reply_id, claimed.attempt) == (reply.id, 1)

    def test_what_is_being_finished_late_is_not_claimed(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with claimed_meanwhile(real_world, reply) as (work, claim, theirs):
            assert work.replies.finish(claim, ANSWER)
        assert theirs.result(30) == []
        assert real_world.reply(reply.id).state is ReplyState.DONE
        assert real_world.reply(reply.id).attempt == 1

    def test_what_is_being_postponed_late_is_not_claimed(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with claimed_meanwhile(real_world, reply) as (work, claim, theirs):
            assert work.replies.postpone(claim, delay=timedelta(seconds=30), counted=True)
        assert theirs.result(30) == []
        assert real_world.reply(reply.id) == replace(QUEUED, attempt=1)

    def test_what_is_being_cancelled_late_is_not_claimed(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with claimed_meanwhile(real_world, reply) as (work, _, theirs):
            assert work.replies.cancel(reply.id) is ReplyState.RUNNING
        assert theirs.result(30) == []
        assert len(real_world.fail_expired()) == 1
        assert real_world.reply(reply.id) == replace(CANCELLED, attempt=1)

    def test_what_could_not_be_finished_late_is_claimed(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with claimed_meanwhile(real_world, reply, commit=False) as (work, claim, theirs):
            assert work.replies.finish(claim, ANSWER)
        (claimed,) = theirs.result(30)
        assert (claimed.claim.reply_id, claimed.attempt, claimed.generation) == (reply.id, 2, 2)

    def test_of_a_cancel_and_a_claim_at_once_one_is_first(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with ThreadPoolExecutor(1) as thread:
            with real_world.unit_of_work() as work:
                (claimed,) = work.replies.claim_due(limit=1, basic_first=0, policy=POLICY)
                outcome = thread.submit(real_world.cancel, reply.id)
                assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
                work.commit()
            assert outcome.result(30) is ReplyState.RUNNING
        assert real_world.to_be_stopped([reply.id]) == {reply.id}
        assert real_world.stop(claimed.claim) == Charge(reply.user_id, reply.charged_on)

    def test_of_a_late_answer_and_a_reader_at_once_the_answer_is_first(self, real_world: SqlWorld) -> None:
        reply, claim = overdue_in_a_workers_hands(real_world)
        with real_world.unit_of_work() as work:
            assert work.replies.finish(claim, ANSWER)
            assert real_world.fail_expired(among=[reply.id]) == []
            work.commit()
        assert real_world.fail_expired(among=[reply.id]) == []
        assert real_world.reply(reply.id).state is ReplyState.DONE

    def test_of_a_reader_and_a_late_answer_at_once_the_failure_is_first(self, real_world: SqlWorld) -> None:
        reply, claim = overdue_in_a_workers_hands(real_world)
        with ThreadPoolExecutor(1) as thread:
            with real_world.unit_of_work() as work:
                (ended,) = work.replies.fail_expired(limit=10, policy=POLICY, among=[reply.id])
                answered = thread.submit(real_world.finish, claim)
                assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
                work.commit()
            assert not answered.result(30)
        assert ended.failure is FailureReason.DEADLINE_EXCEEDED
        assert real_world.reply(reply.id).state is ReplyState.FAILED

    def test_what_another_is_sweeping_is_passed_over_not_waited_for(self, real_world: SqlWorld) -> None:
        for _ in range(2):
            real_world.ask(real_world.room())
        real_world.pass_time(A_DEADLINE)
        with real_world.unit_of_work() as one, real_world.unit_of_work() as other:
            assert len(one.replies.fail_expired(limit=1, policy=POLICY)) == 1
            assert len(other.replies.fail_expired(limit=10, policy=POLICY)) == 1
            assert other.replies.claim_due(limit=10, basic_first=0, policy=POLICY) == []


def overdue_in_a_workers_hands(world: SqlWorld) -> tuple[QueuedReply, Claim]:
    """A reply whose worker has let its lease run out, and does not know that its time is up."""
    reply = world.ask(world.room())
    claim = world.claim_one().claim
    world.pass_time(A_DEADLINE + A_LEASE)
    return reply, claim


def remove(world: SqlWorld, room: Chatroom) -> Collection[ReplyId]:
    with world.unit_of_work() as work:
        named = work.chatrooms.remove(work.chatrooms.owned(room.id, by=room.user_id))
        work.commit()
    return named


def erase(world: SqlWorld, room: Chatroom) -> Collection[ReplyId]:
    with world.unit_of_work() as work:
        named = work.erasure.erase(room.user_id, phone_digest="").replies
        work.commit()
    return named


@pytest.mark.parametrize("take_away", [remove, erase])
class TestTakenAway:
    """Of what goes with a chatroom or a user no reply is unnamed, and there is no deadlock."""

    def test_what_is_asked_again_meanwhile_is_named(self, real_world: SqlWorld, take_away: TakeAway) -> None:
        room = real_world.room()
        asked = real_world.ask(room)
        again = replace(asked, id=ReplyId(new_id()))
        with ThreadPoolExecutor(1) as thread, real_world.unit_of_work() as work:
            assert work.messages.of(room.user_id, asked.message_id) is not None
            named = thread.submit(take_away, real_world, room)
            assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
            work.replies.add(again)
            work.commit()
            assert set(named.result(30)) == {asked.id, again.id}

    def test_what_is_sent_meanwhile_is_named(self, real_world: SqlWorld, take_away: TakeAway) -> None:
        room = real_world.room()
        message = a_message(room)
        reply = a_reply(message, real_world.today())
        with ThreadPoolExecutor(1) as thread, real_world.unit_of_work() as work:
            work.chatrooms.assert_owned(room.id, by=room.user_id)
            work.messages.add(message)
            named = thread.submit(take_away, real_world, room)
            assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
            work.replies.add(reply)
            work.commit()
            assert set(named.result(30)) == {reply.id}

    def test_what_is_cancelled_meanwhile_is_named(self, real_world: SqlWorld, take_away: TakeAway) -> None:
        room = real_world.room()
        asked = real_world.ask(room)
        with ThreadPoolExecutor(1) as thread, real_world.unit_of_work() as work:
            assert work.messages.of(room.user_id, asked.message_id) is not None
            named = thread.submit(take_away, real_world, room)
            assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
            assert isinstance(work.replies.cancel(asked.id), EndedReply)
            work.commit()
            assert set(named.result(30)) == {asked.id}


def test_who_asks_again_while_the_chatroom_goes_holds_nothing_that_has_to_go_with_it(real_world: SqlWorld) -> None:
    room = real_world.room()
    asked = real_world.ask(room)

    def ask_again() -> object:
        with real_world.unit_of_work() as work:
            return work.messages.of(room.user_id, asked.message_id)

    with ThreadPoolExecutor(1) as thread, real_world.unit_of_work() as work:
        locked = work.chatrooms.owned(room.id, by=room.user_id)
        found = thread.submit(ask_again)
        assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
        assert list(work.chatrooms.remove(locked)) == [asked.id]
        work.commit()
        assert found.result(30) is None


def test_a_worker_that_fails_a_reply_and_the_removal_of_its_chatroom_do_not_deadlock(real_world: SqlWorld) -> None:
    room = real_world.room()
    running, waiting = real_world.ask(room), real_world.ask(room)
    with real_world.unit_of_work() as work:
        for _ in (running, waiting):
            work.usage.spend(room.user_id, allowances=ALLOWANCES)
        work.commit()
    claim = real_world.claim_one().claim

    def remove() -> None:
        with real_world.unit_of_work() as work:
            locked = work.chatrooms.owned(room.id, by=room.user_id)
            for charge in work.replies.not_begun_in(room.id):
                work.usage.refund(charge)
            work.chatrooms.remove(locked)
            work.commit()

    with ThreadPoolExecutor(1) as thread, real_world.unit_of_work() as work:
        charge = work.replies.fail(claim, FailureReason.REFUSED)
        assert charge is not None
        removed = thread.submit(remove)
        assert eventually(lambda: real_world.waiting_for("transactionid") == 1)
        work.usage.refund(charge)
        work.commit()
        removed.result(30)
    assert real_world.used(room.user_id) == 0
