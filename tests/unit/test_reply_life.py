"""Whatever workers and users do and however they are interrupted, every reply ends once, and only answers cost."""

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.memory.tables import ReplyRow
from application.ports.language_model import Stop
from domain.accounts import Principal
from domain.errors import ReplyFinished, ReplyNotDone, ReplyNotFailed
from domain.replies import Answer, AnswerFailed, ClaimedReply, FailureReason, ReplyId, ReplyPolicy, ReplyState
from tests.builders import ASHA, RAVI, House

POLICY = ReplyPolicy(
    lease=timedelta(seconds=10),
    max_attempts=3,
    deadline=timedelta(seconds=60),
    first_backoff=timedelta(seconds=2),
)

OUTCOMES = st.one_of(
    st.just(Answer("answer", "scripted")),
    st.builds(AnswerFailed, st.sampled_from(FailureReason)),
    st.builds(
        AnswerFailed,
        st.just(FailureReason.MODEL_BUSY),
        retry_after=st.sampled_from([timedelta(0), timedelta(seconds=7), timedelta(seconds=90)]),
    ),
    st.builds(AnswerFailed, st.just(FailureReason.MODEL_UNREACHABLE), asked=st.just(False)),
    st.just(RuntimeError("a bug")),
)

UNANSWERED = {ReplyState.FAILED, ReplyState.CANCELLED}


class RepliesOfSeveralWorkers(RuleBasedStateMachine):
    """Two people with two rooms each, who send, stop and ask again; workers that claim, write, stop, hand back, die and
    come back too late.
    """

    def __init__(self) -> None:
        super().__init__()
        self.house = House(basic_daily_prompts=1_000, reply_policy=POLICY)
        self.people = [self.house.user(ASHA), self.house.user(RAVI)]
        self.rooms = [(person, self.house.room(person)) for person in self.people for _ in range(2)]
        # So late that some days end in the middle.
        self.house.clock.now = self.house.clock.now.replace(hour=23, minute=58)
        self.claims: list[ClaimedReply] = []
        self.ended: dict[ReplyId, ReplyRow] = {}

    @property
    def replies(self) -> dict[ReplyId, ReplyRow]:
        return self.house.database.tables.replies

    def owner(self, row: ReplyRow) -> Principal:
        return next(person for person in self.people if person.user_id == row.queued.user_id)

    def newest(self, row: ReplyRow) -> ReplyRow:
        """The newest reply to the same message."""
        return self.replies[
            max(other for other in self.replies if self.replies[other].queued.message_id == row.queued.message_id)
        ]

    def holds(self, claimed: ClaimedReply) -> bool:
        """Whether the reply was not claimed again since."""
        return self.replies[claimed.claim.reply_id].lease_token == claimed.claim.lease_token

    @rule(where=st.integers(0, 3))
    def say(self, where: int) -> None:
        person, room = self.rooms[where]
        self.house.say(person, room, "hi")

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        self.claims += self.house.claim(limit)

    # Any claim that was ever made: newest, old, or written already.
    @precondition(lambda self: self.claims)
    @rule(data=st.data(), outcome=OUTCOMES)
    def write(self, data: st.DataObject, outcome: Answer | Exception) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        held = self.holds(claimed)
        self.house.model.will(outcome)
        try:
            state = self.house.write(claimed)
        except RuntimeError:
            assert isinstance(outcome, RuntimeError)
        else:
            assert (state is not None) == held

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        held = self.holds(claimed)
        before = self.replies[claimed.claim.reply_id]
        self.house.replying.release(claimed)
        after = self.replies[claimed.claim.reply_id]
        if not held:
            assert after is before
        elif before.stop_requested:
            assert after.state is ReplyState.CANCELLED
        else:
            assert (after.attempt, after.state) == (before.attempt - 1, ReplyState.QUEUED)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), chunks=st.lists(st.just("so "), max_size=2))
    def hear_that_it_is_to_stop(self, data: st.DataObject, chunks: list[str]) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        reply_id = claimed.claim.reply_id
        held = self.holds(claimed)
        if not self.house.replying.find_stops([reply_id]):
            return
        stop = Stop()
        self.house.model.will([*chunks, stop.request, "never said"])
        state = self.house.write(claimed, stop=stop)
        assert state == (ReplyState.CANCELLED if held else None)
        if held:
            assert self.replies[reply_id].content == ("".join(chunks) or None)

    # Any reply that ever was; it stands for its message.
    @precondition(lambda self: self.replies)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.replies.values())))
        before = self.newest(row)
        try:
            state = self.house.cancel(self.owner(row), row.queued.id)
        except ReplyFinished:
            assert not before.unfinished
        else:
            assert state is self.newest(row).state
            assert state is (ReplyState.RUNNING if before.state is ReplyState.RUNNING else ReplyState.CANCELLED)

    @precondition(lambda self: self.replies)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.replies.values())))
        before = self.newest(row).state
        try:
            again = self.house.retry(self.owner(row), row.queued.id)
        except ReplyNotFailed:
            assert before not in UNANSWERED
        else:
            assert before in UNANSWERED
            assert self.newest(row).queued.id == again.reply_id

    @precondition(lambda self: self.replies)
    @rule(data=st.data())
    def regenerate(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.replies.values())))
        replies = [other for other in self.replies.values() if other.queued.message_id == row.queued.message_id]
        may = any(other.answers for other in replies) and not self.newest(row).unfinished
        try:
            again = self.house.regenerate(self.owner(row), row.queued.id)
        except ReplyNotDone:
            assert not may
        else:
            assert may
            assert self.newest(row).queued.id == again.reply_id

    @rule()
    def sweep(self) -> None:
        self.house.sweep()

    @rule(seconds=st.sampled_from([1, 2, 4, 10, 30]))
    def wait(self, seconds: int) -> None:
        self.house.clock.advance(timedelta(seconds=seconds))

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        for reply_id, row in self.ended.items():
            assert self.replies[reply_id] == row
        self.ended = {reply_id: row for reply_id, row in self.replies.items() if not row.unfinished}

    @invariant()
    def only_a_running_reply_has_a_lease(self) -> None:
        for row in self.replies.values():
            assert (row.state is ReplyState.RUNNING) == (row.lease_token is not None) == (row.lease_until is not None)

    @invariant()
    def no_reply_is_tried_too_often(self) -> None:
        for row in self.replies.values():
            assert 0 <= row.attempt <= POLICY.max_attempts
            assert row.attempt < POLICY.max_attempts or row.state is not ReplyState.QUEUED  # it would wait for nothing

    @invariant()
    def a_room_is_answered_in_order(self) -> None:
        for _, room in self.rooms:
            rows = [row for row in self.replies.values() if row.queued.chatroom_id == room]
            for row in rows:
                if row.state in {ReplyState.RUNNING, ReplyState.DONE}:
                    assert not any(other.unfinished for other in rows if other.queued.id < row.queued.id)

    @invariant()
    def no_message_has_two_replies_underway(self) -> None:
        underway = Counter(row.queued.message_id for row in self.replies.values() if row.unfinished)
        assert max(underway.values(), default=0) <= 1

    @invariant()
    def no_user_has_more_running_than_allowed(self) -> None:
        now = self.house.clock()
        running = Counter(
            row.queued.user_id for row in self.replies.values() if row.lease_until is not None and row.lease_until > now
        )
        assert max(running.values(), default=0) <= POLICY.user_concurrency

    @invariant()
    def what_is_to_be_stopped_does_not_wait(self) -> None:
        assert not any(row.stop_requested and row.state is ReplyState.QUEUED for row in self.replies.values())

    @invariant()
    def only_what_was_said_or_cancelled_or_may_be_said_is_charged(self) -> None:
        charged = Counter(
            (row.queued.user_id, row.queued.charged_on) for row in self.replies.values() if row.refunded_at is None
        )
        assert all(row.refunded_at is None for row in self.replies.values() if row.unfinished or row.content)
        assert all(row.refunded_at for row in self.replies.values() if row.state is ReplyState.FAILED)
        assert +Counter(self.house.database.tables.daily_usage) == charged

    def teardown(self) -> None:
        """Time passes, then expired replies are failed."""
        self.house.clock.advance(POLICY.deadline + POLICY.lease)
        while self.house.sweep():
            pass
        self.what_has_ended_stays_as_it_is()
        for row in self.replies.values():
            assert not row.unfinished
            assert row.finished_at is not None
            assert (row.failure is not None) == (row.state is ReplyState.FAILED)
            assert row.content is not None if row.state is ReplyState.DONE else True
            assert row.content is None if row.state is ReplyState.FAILED else row.content != ""
        self.only_what_was_said_or_cancelled_or_may_be_said_is_charged()
        for claimed in self.claims:
            assert self.house.write(claimed) is None
        self.what_has_ended_stays_as_it_is()
        self.only_what_was_said_or_cancelled_or_may_be_said_is_charged()


TestRepliesOfSeveralWorkers = RepliesOfSeveralWorkers.TestCase
TestRepliesOfSeveralWorkers.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow],  # how long an example takes is not what is tested
)
