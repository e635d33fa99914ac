"""The contract of the replies: the queue of record."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Lock
from uuid import uuid4

import pytest

from adapters.sql.database import Transaction
from adapters.sql.unit_of_work import SqlWork
from domain.accounts import UserId
from domain.chat import ChatroomId
from domain.errors import BacklogFull, DependencyDown, TooManyUnfinishedReplies
from domain.plans import Plan
from domain.replies import (
    Answer,
    Charge,
    Claim,
    ClaimedReply,
    FailureReason,
    QueuedReply,
    ReplyId,
    ReplyPolicy,
    ReplyState,
)
from tests.concurrency import eventually, together
from tests.contract.world import (
    POLICY,
    THREADS,
    MemoryWorld,
    ReplyFacts,
    SqlWorld,
    World,
    a_message,
    a_reply,
    a_room,
    new_id,
)

ANSWER = Answer("Because.", "scripted", input_tokens=1, output_tokens=1)
QUEUED = ReplyFacts(ReplyState.QUEUED, 0, leased=False, content=None, failure=None, finished=False)
RUNNING = replace(QUEUED, state=ReplyState.RUNNING, attempt=1, leased=True)
CANCELLED = replace(QUEUED, state=ReplyState.CANCELLED, finished=True)
# Where the limit of a user's running replies is not what is looked at.
UNLIMITED = replace(POLICY, user_concurrency=1_000)
A_LEASE = POLICY.lease + timedelta(seconds=1)
A_DEADLINE = POLICY.deadline + timedelta(seconds=1)


def finish(world: World, claim: Claim, answer: Answer = ANSWER) -> bool:
    return world.finish(claim, answer)


def postpone(world: World, claim: Claim, delay: timedelta, *, counted: bool = True) -> bool:
    with world.begin() as work:
        done = work.replies.postpone(claim, delay=delay, counted=counted)
        work.commit()
    return done


def fail(world: World, claim: Claim, reason: FailureReason = FailureReason.REFUSED) -> Charge | None:
    with world.begin() as work:
        charge = work.replies.fail(claim, reason)
        work.commit()
    return charge


def stop(world: World, claim: Claim, partial: str = "") -> Charge | None:
    with world.begin() as work:
        charge = work.replies.stop(claim, partial=partial)
        work.commit()
    return charge


def to_be_stopped(world: World, reply_ids: Collection[ReplyId]) -> set[ReplyId]:
    with world.begin() as work:
        return set(work.replies.to_be_stopped(reply_ids))


def assert_room_for_more(world: World, user_id: UserId, policy: ReplyPolicy) -> None:
    with world.begin() as work:
        work.replies.assert_room_for_more(user_id, policy=policy)


def release(world: World, claim: Claim) -> bool:
    with world.begin() as work:
        done = work.replies.postpone(claim, delay=timedelta(), counted=False)
        work.commit()
    return done


def fail_hopeless(world: World, limit: int = 100) -> list[Charge]:
    with world.begin() as work:
        charges = list(work.replies.fail_hopeless(limit=limit, policy=POLICY))
        work.commit()
    return charges


def ids(claimed: list[ClaimedReply]) -> list[ReplyId]:
    return [reply.claim.reply_id for reply in claimed]


def waiting_for(world: SqlWorld, kind: str) -> int:
    """How many wait for a lock of this kind."""
    waiting = "SELECT count(*)::int FROM pg_locks WHERE NOT granted AND locktype = %(kind)s"
    count: int = world._rows(waiting, kind=kind)[0][0]
    return count


@contextmanager
def claimed_meanwhile(
    world: SqlWorld, reply: QueuedReply, *, commit: bool = True
) -> Iterator[tuple[SqlWork, Claim, "Future[list[ClaimedReply]]"]]:
    """A unit of work that writes to a reply whose lease has run out, while another worker claims it."""
    claim = world.claim_one().claim
    assert claim.reply_id == reply.id
    world.pass_time(A_LEASE)
    with ThreadPoolExecutor(1) as thread, world.begin() as work:
        assert isinstance(work, SqlWork)
        # What it finds due now it must look at again when it gets the row.
        theirs: Future[list[ClaimedReply]] = Future()
        yield work, claim, theirs
        running = thread.submit(world.claim)
        assert eventually(lambda: waiting_for(world, "transactionid") == 1)
        if commit:
            work.commit()
        else:
            assert isinstance(work._transaction, Transaction)
            work._transaction.rollback()
        theirs.set_result(running.result(30))


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
            # Each round answers at least one, whoever does it.
            for _ in range(2_000):
                for reply in world.claim(limit=2):
                    answered[room_of[reply.claim.reply_id]].append(reply.claim.reply_id)
                    assert finish(world, reply.claim)
                if sum(map(len, answered.values())) == len(room_of):
                    return

        together([work_until_all_is_answered] * 6)
        assert answered == asked

    def test_a_run_is_counted_with_every_claim(self, world: World) -> None:
        room = world.room()
        world.ask(room)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.run) == (1, 1)
        assert release(world, claimed.claim)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.run) == (1, 2)
        assert postpone(world, claimed.claim, timedelta(), counted=False)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.run) == (1, 3)
        assert postpone(world, claimed.claim, timedelta(), counted=True)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.run) == (2, 4)
        world.pass_time(A_LEASE)
        claimed = world.claim_one()
        assert (claimed.attempt, claimed.run) == (3, 5)
        assert finish(world, claimed.claim)
        conversation = world.reader.conversation(room.user_id, room.id, turns=1, before=None)
        assert conversation is not None
        assert conversation.turns[0].run == 5

    def test_runs_go_on_from_those_of_the_earlier_replies(self, world: World) -> None:
        room = world.room()
        first = world.ask(room)
        assert release(world, world.claim_one().claim)
        assert finish(world, world.claim_one().claim)
        second = world.ask_again(first)
        claimed = world.claim_one()
        assert (claimed.claim.reply_id, claimed.attempt, claimed.run) == (second.id, 1, 3)
        assert fail(world, claimed.claim) is not None
        world.ask_again(first)
        assert world.claim_one().run == 4
        # Another message begins anew.
        world.ask(world.room())
        assert world.claim_one().run == 1

    def test_a_claim_says_where_it_belongs(self, world: World) -> None:
        room = world.room(system_prompt="Be brief. 🌤")
        reply = world.ask(room)
        claimed = world.claim_one()
        assert (claimed.message_id, claimed.chatroom_id) == (reply.message_id, room.id)
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
        assert finish(world, first[0].claim)
        assert ids(world.claim()) == [asked[2]]
        assert fail(world, first[1].claim) is not None
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
        with world.begin() as work:
            for message in flood:
                work.chatrooms.add(a_room(flooder, id=message.chatroom_id))
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
                assert finish(world, reply.claim)

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
                    assert finish(world, reply.claim)
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
        assert_room_for_more(world, user.id, policy)
        world.ask(room)
        world.claim_one()
        assert_room_for_more(world, user.id, policy)
        second = world.ask(room)
        with pytest.raises(TooManyUnfinishedReplies) as refusal:
            assert_room_for_more(world, user.id, policy)
        assert refusal.value.limit == 2
        assert_room_for_more(world, other.id, policy)
        world.cancel(second.id)
        assert_room_for_more(world, user.id, policy)

    def test_a_backlog_of_everybody_that_is_full(self, world: World) -> None:
        policy = replace(POLICY, backlog=3)
        replies = [world.ask(world.room()) for _ in range(3)]
        for user_id in (replies[0].user_id, world.user().id):
            with pytest.raises(BacklogFull):
                assert_room_for_more(world, user_id, policy)
        assert finish(world, world.claim(limit=1)[0].claim)
        assert_room_for_more(world, replies[0].user_id, policy)

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

    def test_one_postponed_uncounted_is_due_after_the_delay_and_the_attempt_does_not_count(self, world: World) -> None:
        reply = world.ask(world.room())
        for _ in range(5):
            claimed = world.claim_one()
            assert claimed.attempt == 1
            assert postpone(world, claimed.claim, timedelta(seconds=10), counted=False)
            assert world.reply(reply.id) == QUEUED
            assert not finish(world, claimed.claim)
            world.pass_time(timedelta(seconds=5))
            assert world.claim() == []
            world.pass_time(timedelta(seconds=6))

    # Cancelling and stopping

    def test_a_queued_one_is_cancelled_at_once_and_gives_its_charge_back_once(self, world: World) -> None:
        room = world.room()
        yesterday = world.today() - timedelta(days=1)
        reply = world.ask(room, charged_on=yesterday)
        second = world.ask(room)
        assert world.cancel(reply.id) == Charge(room.user_id, yesterday)
        assert world.reply(reply.id) == CANCELLED
        assert world.cancel(reply.id) is ReplyState.CANCELLED
        assert to_be_stopped(world, [reply.id]) == set()
        assert ids(world.claim()) == [second.id]
        world.pass_time(A_DEADLINE)
        assert [charge.day for charge in fail_hopeless(world)] == [second.charged_on]

    def test_a_postponed_one_is_cancelled_at_once(self, world: World) -> None:
        reply = world.ask(world.room())
        assert postpone(world, world.claim_one().claim, timedelta(seconds=30))
        assert world.cancel(reply.id) == Charge(reply.user_id, reply.charged_on)
        assert world.reply(reply.id) == replace(CANCELLED, attempt=1)

    def test_a_cancel_that_is_rolled_back_is_none(self, world: World) -> None:
        reply = world.ask(world.room())
        with world.begin() as work:
            assert isinstance(work.replies.cancel(reply.id), Charge)
        assert world.reply(reply.id) == QUEUED

    def test_a_running_one_is_marked_for_its_worker(self, world: World) -> None:
        reply, other = world.ask(world.room()), world.ask(world.room())
        claims = {reply.claim.reply_id: reply.claim for reply in world.claim()}
        both = [reply.id, other.id]
        assert to_be_stopped(world, both) == set()
        for _ in range(2):
            assert world.cancel(reply.id) is ReplyState.RUNNING
            assert world.reply(reply.id) == RUNNING
            assert to_be_stopped(world, both) == {reply.id}
            assert to_be_stopped(world, [other.id]) == set()
            assert to_be_stopped(world, []) == set()
        assert to_be_stopped(world, [ReplyId(new_id()), reply.id]) == {reply.id}
        assert stop(world, claims[reply.id], "Once upon") == Charge(reply.user_id, reply.charged_on)

    @pytest.mark.parametrize("end", [ReplyState.DONE, ReplyState.FAILED, ReplyState.CANCELLED])
    def test_what_is_finished_cannot_be_cancelled(self, world: World, end: ReplyState) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        ways = {ReplyState.DONE: finish, ReplyState.FAILED: fail, ReplyState.CANCELLED: stop}
        assert ways[end](world, claim)  # type: ignore[operator]
        before = world.reply(reply.id)
        assert world.cancel(reply.id) is end
        assert world.reply(reply.id) == before
        assert to_be_stopped(world, [reply.id]) == set()

    @pytest.mark.parametrize("partial", ["Once upon a 🌤 \u202e'%s", ""])
    def test_a_stopped_one_keeps_what_there_is(self, world: World, partial: str) -> None:
        room = world.room()
        reply = world.ask(room)
        second = world.ask(room)
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert stop(world, claim, partial) == Charge(room.user_id, reply.charged_on)
        stopped = replace(CANCELLED, attempt=1, content=partial or None)
        assert world.reply(reply.id) == stopped
        assert stop(world, claim, "again") is None
        assert fail(world, claim) is None
        assert not finish(world, claim)
        assert not postpone(world, claim, timedelta())
        assert world.reply(reply.id) == stopped
        assert ids(world.claim()) == [second.id]

    def test_one_that_is_to_be_stopped_is_not_tried_again(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.cancel(reply.id)
        for counted in (True, False):
            assert not postpone(world, claim, timedelta(), counted=counted)
        assert world.reply(reply.id) == RUNNING
        assert stop(world, claim) == Charge(reply.user_id, reply.charged_on)

    def test_one_that_is_done_before_it_was_stopped_is_done(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert finish(world, claim)
        assert world.reply(reply.id).state is ReplyState.DONE

    def test_one_whose_worker_died_before_it_stopped_is_cancelled_by_a_sweeper(self, world: World) -> None:
        room = world.room()
        reply, second = world.ask(room), world.ask(room)
        claim = world.claim_one().claim
        world.cancel(reply.id)
        assert fail_hopeless(world) == []
        world.pass_time(A_LEASE)
        assert world.claim() == []
        assert fail_hopeless(world) == [Charge(room.user_id, reply.charged_on)]
        assert world.reply(reply.id) == replace(CANCELLED, attempt=1)
        assert stop(world, claim, "From the dead") is None
        assert ids(world.claim()) == [second.id]

    def test_a_worker_that_wakes_up_too_late_stops_nothing(self, world: World) -> None:
        reply = world.ask(world.room())
        zombie = world.claim_one().claim
        world.pass_time(A_LEASE)
        world.claim_one()
        assert stop(world, zombie, "From the dead") is None
        assert stop(world, Claim(reply.id, uuid4())) is None
        assert world.reply(reply.id) == replace(RUNNING, attempt=2)

    def test_of_many_who_cancel_at_once_exactly_one_gets_the_charge(self, world: World) -> None:
        reply = world.ask(world.room())
        outcomes = together([lambda: world.cancel(reply.id)] * THREADS)
        charges = [outcome for outcome in outcomes if isinstance(outcome, Charge)]
        assert charges == [Charge(reply.user_id, reply.charged_on)]
        assert set(outcomes) - set(charges) == {ReplyState.CANCELLED}

    def test_of_those_who_cancel_stop_and_finish_at_once_one_ends_it(self, world: World) -> None:
        reply = world.ask(world.room())
        claim = world.claim_one().claim
        outcomes = together(
            [
                lambda: finish(world, claim),
                lambda: stop(world, claim) is not None,
                lambda: fail(world, claim) is not None,
            ]
            * 4
        )
        assert sum(outcomes) == 1
        assert world.reply(reply.id).finished

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

    def test_claims_take_turns(self, real_world: SqlWorld) -> None:
        user = real_world.user()
        first, second = real_world.ask(real_world.room(user)), real_world.ask(real_world.room(user))
        with ThreadPoolExecutor(1) as thread:
            with real_world.begin() as work:
                (mine,) = work.replies.claim_due(limit=1, policy=POLICY)
                theirs = thread.submit(real_world.claim)
                assert eventually(lambda: waiting_for(real_world, "advisory") == 1)
                work.commit()
            assert mine.claim.reply_id == first.id
            assert ids(theirs.result(30)) == [second.id]

    def test_a_claim_that_dies_takes_its_turn_with_it(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with ThreadPoolExecutor(1) as thread:
            with pytest.raises(DependencyDown), real_world.begin() as work:
                assert len(work.replies.claim_due(limit=1, policy=POLICY)) == 1
                theirs = thread.submit(real_world.claim)
                assert eventually(lambda: waiting_for(real_world, "advisory") == 1)
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
        assert len(fail_hopeless(real_world)) == 1
        assert real_world.reply(reply.id) == replace(CANCELLED, attempt=1)

    def test_what_could_not_be_finished_late_is_claimed(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with claimed_meanwhile(real_world, reply, commit=False) as (work, claim, theirs):
            assert work.replies.finish(claim, ANSWER)
        (claimed,) = theirs.result(30)
        assert (claimed.claim.reply_id, claimed.attempt, claimed.run) == (reply.id, 2, 2)

    def test_of_a_cancel_and_a_claim_at_once_one_is_first(self, real_world: SqlWorld) -> None:
        reply = real_world.ask(real_world.room())
        with ThreadPoolExecutor(1) as thread:
            with real_world.begin() as work:
                (claimed,) = work.replies.claim_due(limit=1, policy=POLICY)
                outcome = thread.submit(real_world.cancel, reply.id)
                assert eventually(lambda: waiting_for(real_world, "transactionid") == 1)
                work.commit()
            assert outcome.result(30) is ReplyState.RUNNING
        assert to_be_stopped(real_world, [reply.id]) == {reply.id}
        assert stop(real_world, claimed.claim) == Charge(reply.user_id, reply.charged_on)

    def test_what_another_is_sweeping_is_passed_over_not_waited_for(self, real_world: SqlWorld) -> None:
        for _ in range(2):
            real_world.ask(real_world.room())
        real_world.pass_time(A_DEADLINE)
        with real_world.begin() as one, real_world.begin() as other:
            assert len(one.replies.fail_hopeless(limit=1, policy=POLICY)) == 1
            assert len(other.replies.fail_hopeless(limit=10, policy=POLICY)) == 1
            assert other.replies.claim_due(limit=10, policy=POLICY) == []
