"""A user stops a reply, or asks for another one to the same message."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from application.ports.language_model import Stop
from domain.accounts import Principal
from domain.chat import ChatroomId, MessageId
from domain.errors import (
    BacklogFull,
    DependencyDown,
    MessageNotFound,
    QuotaExhausted,
    ReplyFinished,
    ReplyNotDone,
    ReplyNotFailed,
    TooManyUnfinishedReplies,
)
from domain.replies import Answer, AnswerFailed, ClaimedReply, FailureReason, ReplyId, ReplyPolicy, ReplyState
from tests.builders import ASHA, RAVI, House

SECONDS = timedelta(seconds=1)
POLICY = ReplyPolicy(lease=60 * SECONDS, max_attempts=3, deadline=300 * SECONDS, first_backoff=2 * SECONDS)

BUSY = AnswerFailed(FailureReason.MODEL_BUSY)
REFUSED = AnswerFailed(FailureReason.REFUSED)


class ManagedReply:
    """A user, a chatroom and one accepted message whose reply is pending."""

    def __init__(self, *, basic_daily_prompts: int = 5, policy: ReplyPolicy = POLICY) -> None:
        """Accept the message."""
        self.house = House(basic_daily_prompts=basic_daily_prompts, reply_policy=policy)
        self.asha = self.house.user(ASHA)
        self.room = self.house.room(self.asha)
        self.sent = self.house.say(self.asha, self.room, "hi")

    def cancel(self) -> ReplyState:
        """Stop the reply."""
        return self.house.cancel(self.asha, self.sent.reply_id)

    def write_and_stop_after(self, claimed: ClaimedReply, *chunks: str) -> ReplyState | None:
        """Write these chunks; then the worker learns that it is to stop."""
        stop = Stop()

        def look() -> None:
            assert list(self.house.replying.find_stops([claimed.claim.reply_id])) == [claimed.claim.reply_id]
            stop.request()

        self.house.model.will([*chunks, look, "never said"])
        return self.house.write(claimed, stop=stop)

    @property
    def state(self) -> ReplyState:
        """Where the reply is."""
        return self.house.reply(self.sent).state

    @property
    def used(self) -> int:
        """How many prompts were charged and not given back."""
        return self.house.used(self.asha)


def failed() -> ManagedReply:
    """The model has refused to answer."""
    managed = ManagedReply()
    managed.house.model.will(REFUSED)
    assert managed.house.work() == [ReplyState.FAILED]
    return managed


def done(*, basic_daily_prompts: int = 5) -> ManagedReply:
    """The message was answered."""
    managed = ManagedReply(basic_daily_prompts=basic_daily_prompts)
    managed.house.model.will(Answer("first", "scripted"))
    assert managed.house.work() == [ReplyState.DONE]
    return managed


# --- Stopping ---


@pytest.mark.parametrize("by", ["the reply", "the message"])
def test_what_has_not_begun_is_cancelled_at_once_and_costs_nothing(by: str):
    managed = ManagedReply()
    state = managed.house.cancel(managed.asha, managed.sent.reply_id if by == "the reply" else managed.sent.message.id)
    assert state is managed.state is ReplyState.CANCELLED
    assert managed.house.reply(managed.sent).finished_at == managed.house.clock()
    assert managed.used == 0
    assert managed.house.claim() == []


def test_the_room_goes_on_behind_what_was_cancelled():
    managed = ManagedReply()
    managed.house.say(managed.asha, managed.room, "and then")
    managed.cancel()
    assert managed.house.claim_one().prompt == "and then"


def test_what_is_running_stops_keeps_what_there_is_of_it_and_costs_a_prompt():
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    assert managed.cancel() is managed.state is ReplyState.RUNNING
    assert managed.write_and_stop_after(claimed, "Once ", "upon") is ReplyState.CANCELLED
    row = managed.house.reply(managed.sent)
    assert (row.content, row.failure, row.finished_at) == ("Once upon", None, managed.house.clock())
    assert managed.used == 1


def test_what_is_running_and_has_said_nothing_yet_costs_nothing():
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    managed.cancel()
    assert managed.write_and_stop_after(claimed) is ReplyState.CANCELLED
    assert managed.house.reply(managed.sent).content is None
    assert managed.used == 0


def test_no_other_reply_is_stopped():
    managed = ManagedReply()
    managed.house.say(managed.asha, managed.house.room(managed.asha), "elsewhere")
    running = [claimed.claim.reply_id for claimed in managed.house.claim()]
    assert list(managed.house.replying.find_stops(running)) == []
    managed.cancel()
    assert list(managed.house.replying.find_stops(running)) == [managed.sent.reply_id]
    assert list(managed.house.replying.find_stops([])) == []


def test_to_stop_what_stops_already_changes_nothing():
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    assert [managed.cancel(), managed.cancel()] == [ReplyState.RUNNING] * 2
    assert managed.write_and_stop_after(claimed, "Once") is ReplyState.CANCELLED
    with pytest.raises(ReplyFinished):
        managed.cancel()
    assert (managed.house.reply(managed.sent).content, managed.used) == ("Once", 1)


def test_an_answer_that_is_there_before_the_worker_has_heard_of_it_stays():
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    managed.cancel()
    assert managed.house.write(claimed) is ReplyState.DONE
    assert managed.house.conversation(managed.asha, managed.room)[1] == ("bot", "echo: hi")
    assert managed.used == 1


def test_a_failure_that_could_be_tried_again_is_not_when_it_was_to_be_stopped():
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    managed.cancel()
    managed.house.model.will(BUSY)
    assert managed.house.write(claimed) is ReplyState.CANCELLED
    assert managed.used == 0


def test_a_failure_for_good_is_a_failure_all_the_same():
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    managed.cancel()
    managed.house.model.will(REFUSED)
    assert managed.house.write(claimed) is ReplyState.FAILED
    assert managed.used == 0


def test_what_waits_for_its_next_attempt_is_cancelled_at_once_and_costs_nothing():
    managed = ManagedReply()
    managed.house.model.will(BUSY)
    assert managed.house.work() == [ReplyState.QUEUED]
    assert managed.cancel() is ReplyState.CANCELLED
    managed.house.clock.advance(2 * SECONDS)
    assert managed.house.claim() == []
    assert managed.used == 0


def test_when_the_worker_that_was_to_stop_is_dead_the_sweeper_cancels_and_gives_back():
    managed = ManagedReply()
    managed.house.claim_one()
    managed.cancel()
    assert managed.house.sweep() == 0
    managed.house.clock.advance(60 * SECONDS)
    assert managed.house.claim() == []  # nobody starts it again
    assert managed.house.sweep() == 1
    row = managed.house.reply(managed.sent)
    assert (row.state, row.content, row.failure) == (ReplyState.CANCELLED, None, None)
    assert managed.used == 0


@pytest.mark.parametrize("chunks", [[], ["too late"]])
def test_a_dead_worker_that_comes_back_to_stop_writes_nothing(chunks: list[str]):
    managed = ManagedReply()
    zombie = managed.house.claim_one()
    managed.cancel()
    managed.house.clock.advance(60 * SECONDS)
    managed.house.sweep()
    assert managed.write_and_stop_after(zombie, *chunks) is None
    assert (managed.house.reply(managed.sent).content, managed.used) == (None, 0)


def test_what_is_handed_back_while_it_was_to_be_stopped_ends_and_holds_nothing_up():
    managed = ManagedReply()
    managed.house.say(managed.asha, managed.room, "and then")
    claimed = managed.house.claim_one()
    managed.cancel()
    managed.house.replying.release(claimed)
    assert managed.state is ReplyState.CANCELLED
    assert managed.used == 1  # the other message
    assert managed.house.claim_one().prompt == "and then"


@pytest.mark.parametrize("outcome", [Answer("hello", "scripted"), REFUSED])
def test_what_has_ended_cannot_be_cancelled(outcome: Answer | Exception):
    managed = ManagedReply()
    managed.house.model.will(outcome)
    managed.house.work()
    before = managed.house.database.tables
    for entry_id in (managed.sent.reply_id, managed.sent.message.id):
        with pytest.raises(ReplyFinished):
            managed.house.cancel(managed.asha, entry_id)
    assert managed.house.database.tables == before


# --- Asking again ---


def test_a_failed_reply_is_retried_for_the_prompt_that_it_gave_back():
    managed = failed()
    assert managed.used == 0
    again = managed.house.retry(managed.asha, managed.sent.reply_id)
    assert (again.message, again.quota.used, again.repeated) == (managed.sent.message, 1, False)
    assert again.reply_id != managed.sent.reply_id
    assert managed.house.worker_notifier.notified == 2
    assert managed.house.conversation(managed.asha, managed.room) == [("user", "hi"), ("queued", "")]
    assert managed.house.work() == [ReplyState.DONE]
    assert managed.house.conversation(managed.asha, managed.room) == [("user", "hi"), ("bot", "echo: hi")]
    assert managed.used == 1


def test_a_retry_may_fail_and_be_retried():
    managed = failed()
    for _ in range(7):  # more often than there are prompts: none of them costs anything
        managed.house.model.will(REFUSED)
        managed.house.retry(managed.asha, managed.sent.message.id)
        assert managed.house.work() == [ReplyState.FAILED]
    assert managed.used == 0


@pytest.mark.parametrize(("chunks", "charged"), [([], 1), (["Once"], 2)])
def test_a_cancelled_reply_may_be_retried(chunks: list[str], charged: int):
    managed = ManagedReply()
    claimed = managed.house.claim_one()
    managed.cancel()
    managed.write_and_stop_after(claimed, *chunks)
    managed.house.retry(managed.asha, managed.sent.reply_id)
    assert managed.house.work() == [ReplyState.DONE]
    assert managed.used == charged


def test_a_done_reply_is_regenerated_for_another_prompt_and_the_newest_shows():
    managed = done()
    managed.house.model.will(Answer("second", "scripted"))
    again = managed.house.regenerate(managed.asha, managed.sent.reply_id)
    assert (again.message, again.quota.used) == (managed.sent.message, 2)
    assert managed.house.work() == [ReplyState.DONE]
    assert managed.house.conversation(managed.asha, managed.room) == [("user", "hi"), ("bot", "second")]
    assert managed.used == 2


def test_older_replies_stay_readable():
    managed = done()
    second = managed.house.regenerate(managed.asha, managed.sent.reply_id)
    managed.house.model.will(Answer("second", "scripted"))
    managed.house.work()
    third = managed.house.regenerate(managed.asha, managed.sent.message.id)
    replies = [managed.sent.reply_id, second.reply_id, third.reply_id]
    ids: list[MessageId | ReplyId] = [*replies, managed.sent.message.id]
    shown = {entry_id: managed.house.entry(managed.asha, entry_id) for entry_id in ids}
    assert all(entry.replies == replies for entry in shown.values())
    assert [shown[reply].turn.reply_content for reply in replies] == ["first", "second", None]
    assert [shown[reply].turn.reply_id for reply in replies] == replies
    assert shown[managed.sent.message.id].turn.reply_id == third.reply_id


def test_an_id_of_any_reply_stands_for_its_message():
    managed = done()
    managed.house.regenerate(managed.asha, managed.sent.reply_id)
    managed.house.work()
    managed.house.regenerate(managed.asha, managed.sent.reply_id)  # the oldest's, and the newest is done
    assert managed.house.cancel(managed.asha, managed.sent.reply_id) is ReplyState.CANCELLED  # the newest
    assert managed.house.reply(managed.sent).state is ReplyState.DONE


@pytest.mark.parametrize("prepare", [ManagedReply, done])
def test_only_what_failed_is_retried(prepare):
    managed = prepare()
    with pytest.raises(ReplyNotFailed):
        managed.house.retry(managed.asha, managed.sent.reply_id)
    managed.house.claim()
    with pytest.raises(ReplyNotFailed):
        managed.house.retry(managed.asha, managed.sent.message.id)
    assert len(managed.house.database.tables.replies) == managed.used == 1


@pytest.mark.parametrize("prepare", [ManagedReply, failed])
def test_only_what_is_done_is_regenerated(prepare):
    managed = prepare()
    before = managed.house.database.tables
    with pytest.raises(ReplyNotDone):
        managed.house.regenerate(managed.asha, managed.sent.reply_id)
    assert managed.house.database.tables == before


def test_the_newest_reply_decides():
    managed = done()
    again = managed.house.regenerate(managed.asha, managed.sent.reply_id)
    for ask in (managed.house.regenerate, managed.house.retry):  # it is queued: neither
        with pytest.raises((ReplyNotDone, ReplyNotFailed)):
            ask(managed.asha, managed.sent.reply_id)
    managed.house.model.will(REFUSED)
    managed.house.work()
    with pytest.raises(ReplyNotDone):
        managed.house.regenerate(managed.asha, managed.sent.reply_id)
    assert managed.house.retry(managed.asha, managed.sent.reply_id).reply_id > again.reply_id


@pytest.mark.parametrize("state", [ReplyState.FAILED, ReplyState.DONE])
def test_of_two_that_ask_at_once_one_gets_another_reply(state: ReplyState):
    managed = failed() if state is ReplyState.FAILED else done()
    ask = managed.house.retry if state is ReplyState.FAILED else managed.house.regenerate

    def once(_: int) -> bool:
        try:
            ask(managed.asha, managed.sent.message.id)
        except (ReplyNotFailed, ReplyNotDone):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(once, range(8))) == 1
    assert len(managed.house.database.tables.replies) == 2
    assert managed.used == (1 if state is ReplyState.FAILED else 2)


def test_with_the_quota_used_up_there_is_no_other_reply():
    managed = done(basic_daily_prompts=1)
    with pytest.raises(QuotaExhausted):
        managed.house.regenerate(managed.asha, managed.sent.reply_id)
    assert len(managed.house.database.tables.replies) == 1


def test_but_what_failed_has_left_its_prompt_for_the_retry():
    managed = ManagedReply(basic_daily_prompts=1)
    managed.house.model.will(REFUSED)
    managed.house.work()
    managed.house.retry(managed.asha, managed.sent.reply_id)
    with pytest.raises(QuotaExhausted):
        managed.house.say(managed.asha, managed.room, "one more")


def test_another_reply_is_urgent_as_the_plan_is_now():
    managed = failed()
    managed.house.subscribe(managed.asha)
    again = managed.house.retry(managed.asha, managed.sent.reply_id)
    assert not managed.house.reply(managed.sent).queued.urgent
    assert managed.house.reply(again).queued.urgent


def test_a_retry_is_paid_for_by_the_day_on_which_it_was_asked_for():
    managed = failed()
    managed.house.clock.advance(timedelta(days=1))
    again = managed.house.retry(managed.asha, managed.sent.reply_id)
    assert managed.house.reply(again).queued.charged_on == managed.house.clock().date()
    assert managed.house.reply(again).deadline == managed.house.clock() + POLICY.deadline


def test_the_room_answers_again_after_what_was_sent_before():
    managed = failed()
    managed.house.say(managed.asha, managed.room, "and then")
    managed.house.retry(managed.asha, managed.sent.reply_id)
    managed.house.model.prompts.clear()
    assert managed.house.work() == [ReplyState.DONE] * 2
    assert [prompt.text for prompt in managed.house.model.prompts] == ["and then", "hi"]


@pytest.mark.parametrize(
    ("policy", "refusal"),
    [(ReplyPolicy(user_backlog=1), TooManyUnfinishedReplies), (ReplyPolicy(backlog=1), BacklogFull)],
)
def test_a_full_backlog_takes_no_other_reply(policy: ReplyPolicy, refusal: type[Exception]):
    managed = ManagedReply(policy=policy)
    managed.house.work()
    managed.house.say(managed.asha, managed.room, "and then")
    with pytest.raises(refusal):
        managed.house.regenerate(managed.asha, managed.sent.reply_id)
    assert (len(managed.house.database.tables.replies), managed.used) == (2, 2)


# --- Who may ---


def another_user(managed: ManagedReply) -> tuple[Principal, ChatroomId]:
    """Another user and a room of theirs."""
    ravi = managed.house.user(RAVI)
    return ravi, managed.house.room(ravi)


@pytest.mark.parametrize("prepare", [ManagedReply, failed, done])
def test_a_user_neither_changes_nor_learns_of_the_replies_of_another(prepare):
    managed = prepare()
    ravi, room = another_user(managed)
    nowhere = MessageId(UUID(int=1 << 90))
    before = managed.house.database.tables
    asks: list[Callable[[Principal, MessageId | ReplyId], object]]
    asks = [
        managed.house.cancel,
        managed.house.retry,
        managed.house.regenerate,
        managed.house.entry,
        managed.house.follow,
    ]
    for ask in asks:
        # A room's id is no entry's either.
        for entry_id in (managed.sent.message.id, managed.sent.reply_id, nowhere, MessageId(room)):
            with pytest.raises(MessageNotFound):
                ask(ravi, entry_id)
    assert managed.house.database.tables == before


def test_with_the_database_down_nothing_changes():
    managed = done()
    before = managed.house.database.tables
    managed.house.database_probe.on = False
    for ask in (managed.house.cancel, managed.house.retry, managed.house.regenerate):
        with pytest.raises(DependencyDown):
            ask(managed.asha, managed.sent.reply_id)
    assert managed.house.database.tables is before
