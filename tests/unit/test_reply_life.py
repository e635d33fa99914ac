"""Whatever workers do and however they are interrupted, every reply ends once, and only answers cost."""

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.memory.tables import ReplyRow
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
    st.just(RuntimeError("a bug")),
)


class RepliesOfSeveralWorkers(RuleBasedStateMachine):
    """Two people with two rooms each; workers that claim, write, hand back, die and come back too late."""

    def __init__(self) -> None:
        """An open house at eleven at night, so that some days end in the middle."""
        super().__init__()
        self.house = House(basic_daily_prompts=1_000, reply_policy=POLICY)
        self.people = [self.house.user(ASHA), self.house.user(RAVI)]
        self.rooms = [(person, self.house.room(person)) for person in self.people for _ in range(2)]
        self.house.clock.now = self.house.clock.now.replace(hour=23, minute=58)
        self.claims: list[ClaimedReply] = []
        self.ended: dict[ReplyId, ReplyRow] = {}

    @property
    def replies(self) -> dict[ReplyId, ReplyRow]:
        """The rows as they are."""
        return self.house.database.tables.replies

    def holds(self, claimed: ClaimedReply) -> bool:
        """Whether nobody was given the reply since."""
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
        assert (after.attempt, after.state) == (before.attempt - 1, ReplyState.QUEUED) if held else after is before

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
    def only_what_has_not_failed_is_charged(self) -> None:
        charged = Counter(
            (row.queued.user_id, row.queued.charged_on)
            for row in self.replies.values()
            if row.state is not ReplyState.FAILED
        )
        assert +Counter(self.house.database.tables.daily_usage) == charged

    def teardown(self) -> None:
        """Time passes, and somebody sweeps."""
        self.house.clock.advance(POLICY.deadline + POLICY.lease)
        while self.house.sweep():
            pass
        self.what_has_ended_stays_as_it_is()
        assert {row.state for row in self.replies.values()} <= {ReplyState.DONE, ReplyState.FAILED}
        for row in self.replies.values():
            answered = (row.content is not None, row.failure is None, row.finished_at is not None)
            assert answered == (row.state is ReplyState.DONE, row.state is ReplyState.DONE, True)
        self.only_what_has_not_failed_is_charged()
        for claimed in self.claims:
            assert self.house.write(claimed) is None
        self.what_has_ended_stays_as_it_is()
        self.only_what_has_not_failed_is_charged()


TestRepliesOfSeveralWorkers = RepliesOfSeveralWorkers.TestCase
TestRepliesOfSeveralWorkers.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],  # how long an example takes is not what is tested
)
