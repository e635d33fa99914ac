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


class Story:
    """One message that waits for its reply."""

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


def failed() -> Story:
    """The model has refused to answer."""
    story = Story()
    story.house.model.will(REFUSED)
    assert story.house.work() == [ReplyState.FAILED]
    return story


def done(*, basic_daily_prompts: int = 5) -> Story:
    """The message was answered."""
    story = Story(basic_daily_prompts=basic_daily_prompts)
    story.house.model.will(Answer("first", "scripted"))
    assert story.house.work() == [ReplyState.DONE]
    return story


# --- Stopping ---


@pytest.mark.parametrize("by", ["the reply", "the message"])
def test_what_has_not_begun_is_cancelled_at_once_and_costs_nothing(by: str):
    story = Story()
    state = story.house.cancel(story.asha, story.sent.reply_id if by == "the reply" else story.sent.message.id)
    assert state is story.state is ReplyState.CANCELLED
    assert story.house.reply(story.sent).finished_at == story.house.clock()
    assert story.used == 0
    assert story.house.claim() == []


def test_the_room_goes_on_behind_what_was_cancelled():
    story = Story()
    story.house.say(story.asha, story.room, "and then")
    story.cancel()
    assert story.house.claim_one().prompt == "and then"


def test_what_is_running_stops_keeps_what_there_is_of_it_and_costs_a_prompt():
    story = Story()
    claimed = story.house.claim_one()
    assert story.cancel() is story.state is ReplyState.RUNNING
    assert story.write_and_stop_after(claimed, "Once ", "upon") is ReplyState.CANCELLED
    row = story.house.reply(story.sent)
    assert (row.content, row.failure, row.finished_at) == ("Once upon", None, story.house.clock())
    assert story.used == 1


def test_what_is_running_and_has_said_nothing_yet_costs_nothing():
    story = Story()
    claimed = story.house.claim_one()
    story.cancel()
    assert story.write_and_stop_after(claimed) is ReplyState.CANCELLED
    assert story.house.reply(story.sent).content is None
    assert story.used == 0


def test_nobody_else_is_stopped():
    story = Story()
    story.house.say(story.asha, story.house.room(story.asha), "elsewhere")
    running = [claimed.claim.reply_id for claimed in story.house.claim()]
    assert list(story.house.replying.find_stops(running)) == []
    story.cancel()
    assert list(story.house.replying.find_stops(running)) == [story.sent.reply_id]
    assert list(story.house.replying.find_stops([])) == []


def test_to_stop_what_stops_already_changes_nothing():
    story = Story()
    claimed = story.house.claim_one()
    assert [story.cancel(), story.cancel()] == [ReplyState.RUNNING] * 2
    assert story.write_and_stop_after(claimed, "Once") is ReplyState.CANCELLED
    with pytest.raises(ReplyFinished):
        story.cancel()
    assert (story.house.reply(story.sent).content, story.used) == ("Once", 1)


def test_an_answer_that_is_there_before_the_worker_has_heard_of_it_stays():
    story = Story()
    claimed = story.house.claim_one()
    story.cancel()
    assert story.house.write(claimed) is ReplyState.DONE
    assert story.house.conversation(story.asha, story.room)[1] == ("bot", "echo: hi")
    assert story.used == 1


def test_a_failure_that_could_be_tried_again_is_not_when_it_was_to_be_stopped():
    story = Story()
    claimed = story.house.claim_one()
    story.cancel()
    story.house.model.will(BUSY)
    assert story.house.write(claimed) is ReplyState.CANCELLED
    assert story.used == 0


def test_a_failure_for_good_is_a_failure_all_the_same():
    story = Story()
    claimed = story.house.claim_one()
    story.cancel()
    story.house.model.will(REFUSED)
    assert story.house.write(claimed) is ReplyState.FAILED
    assert story.used == 0


def test_what_waits_for_its_next_attempt_is_cancelled_at_once_and_costs_nothing():
    story = Story()
    story.house.model.will(BUSY)
    assert story.house.work() == [ReplyState.QUEUED]
    assert story.cancel() is ReplyState.CANCELLED
    story.house.clock.advance(2 * SECONDS)
    assert story.house.claim() == []
    assert story.used == 0


def test_when_the_worker_that_was_to_stop_is_dead_the_sweeper_cancels_and_gives_back():
    story = Story()
    story.house.claim_one()
    story.cancel()
    assert story.house.sweep() == 0
    story.house.clock.advance(60 * SECONDS)
    assert story.house.claim() == []  # nobody starts it again
    assert story.house.sweep() == 1
    row = story.house.reply(story.sent)
    assert (row.state, row.content, row.failure) == (ReplyState.CANCELLED, None, None)
    assert story.used == 0


@pytest.mark.parametrize("chunks", [[], ["too late"]])
def test_a_dead_worker_that_comes_back_to_stop_writes_nothing(chunks: list[str]):
    story = Story()
    zombie = story.house.claim_one()
    story.cancel()
    story.house.clock.advance(60 * SECONDS)
    story.house.sweep()
    assert story.write_and_stop_after(zombie, *chunks) is None
    assert (story.house.reply(story.sent).content, story.used) == (None, 0)


def test_what_is_handed_back_while_it_was_to_be_stopped_ends_and_holds_nobody_up():
    story = Story()
    story.house.say(story.asha, story.room, "and then")
    claimed = story.house.claim_one()
    story.cancel()
    story.house.replying.release(claimed)
    assert story.state is ReplyState.CANCELLED
    assert story.used == 1  # the other message
    assert story.house.claim_one().prompt == "and then"


@pytest.mark.parametrize("outcome", [Answer("hello", "scripted"), REFUSED])
def test_what_has_ended_cannot_be_cancelled(outcome: Answer | Exception):
    story = Story()
    story.house.model.will(outcome)
    story.house.work()
    before = story.house.database.tables
    for entry_id in (story.sent.reply_id, story.sent.message.id):
        with pytest.raises(ReplyFinished):
            story.house.cancel(story.asha, entry_id)
    assert story.house.database.tables == before


# --- Asking again ---


def test_a_failed_reply_is_retried_for_the_prompt_that_it_gave_back():
    story = failed()
    assert story.used == 0
    again = story.house.retry(story.asha, story.sent.reply_id)
    assert (again.message, again.quota.used, again.repeated) == (story.sent.message, 1, False)
    assert again.reply_id != story.sent.reply_id
    assert story.house.worker_notifier.notified == 2
    assert story.house.conversation(story.asha, story.room) == [("user", "hi"), ("queued", "")]
    assert story.house.work() == [ReplyState.DONE]
    assert story.house.conversation(story.asha, story.room) == [("user", "hi"), ("bot", "echo: hi")]
    assert story.used == 1


def test_a_retry_may_fail_and_be_retried():
    story = failed()
    for _ in range(7):  # more often than there are prompts: none of them costs anything
        story.house.model.will(REFUSED)
        story.house.retry(story.asha, story.sent.message.id)
        assert story.house.work() == [ReplyState.FAILED]
    assert story.used == 0


@pytest.mark.parametrize(("chunks", "charged"), [([], 1), (["Once"], 2)])
def test_a_cancelled_reply_may_be_retried(chunks: list[str], charged: int):
    story = Story()
    claimed = story.house.claim_one()
    story.cancel()
    story.write_and_stop_after(claimed, *chunks)
    story.house.retry(story.asha, story.sent.reply_id)
    assert story.house.work() == [ReplyState.DONE]
    assert story.used == charged


def test_a_done_reply_is_regenerated_for_another_prompt_and_the_newest_shows():
    story = done()
    story.house.model.will(Answer("second", "scripted"))
    again = story.house.regenerate(story.asha, story.sent.reply_id)
    assert (again.message, again.quota.used) == (story.sent.message, 2)
    assert story.house.work() == [ReplyState.DONE]
    assert story.house.conversation(story.asha, story.room) == [("user", "hi"), ("bot", "second")]
    assert story.used == 2


def test_older_replies_stay_readable():
    story = done()
    second = story.house.regenerate(story.asha, story.sent.reply_id)
    story.house.model.will(Answer("second", "scripted"))
    story.house.work()
    third = story.house.regenerate(story.asha, story.sent.message.id)
    replies = [story.sent.reply_id, second.reply_id, third.reply_id]
    ids: list[MessageId | ReplyId] = [*replies, story.sent.message.id]
    shown = {entry_id: story.house.entry(story.asha, entry_id) for entry_id in ids}
    assert all(entry.replies == replies for entry in shown.values())
    assert [shown[reply].turn.reply_content for reply in replies] == ["first", "second", None]
    assert [shown[reply].turn.reply_id for reply in replies] == replies
    assert shown[story.sent.message.id].turn.reply_id == third.reply_id


def test_an_id_of_any_reply_stands_for_its_message():
    story = done()
    story.house.regenerate(story.asha, story.sent.reply_id)
    story.house.work()
    story.house.regenerate(story.asha, story.sent.reply_id)  # the oldest's, and the newest is done
    assert story.house.cancel(story.asha, story.sent.reply_id) is ReplyState.CANCELLED  # the newest
    assert story.house.reply(story.sent).state is ReplyState.DONE


@pytest.mark.parametrize("story", [Story, done])
def test_only_what_failed_is_retried(story):
    told = story()
    with pytest.raises(ReplyNotFailed):
        told.house.retry(told.asha, told.sent.reply_id)
    told.house.claim()
    with pytest.raises(ReplyNotFailed):
        told.house.retry(told.asha, told.sent.message.id)
    assert len(told.house.database.tables.replies) == told.used == 1


@pytest.mark.parametrize("story", [Story, failed])
def test_only_what_is_done_is_regenerated(story):
    told = story()
    before = told.house.database.tables
    with pytest.raises(ReplyNotDone):
        told.house.regenerate(told.asha, told.sent.reply_id)
    assert told.house.database.tables == before


def test_the_newest_reply_decides():
    story = done()
    again = story.house.regenerate(story.asha, story.sent.reply_id)
    for ask in (story.house.regenerate, story.house.retry):  # it is queued: neither
        with pytest.raises((ReplyNotDone, ReplyNotFailed)):
            ask(story.asha, story.sent.reply_id)
    story.house.model.will(REFUSED)
    story.house.work()
    with pytest.raises(ReplyNotDone):
        story.house.regenerate(story.asha, story.sent.reply_id)
    assert story.house.retry(story.asha, story.sent.reply_id).reply_id > again.reply_id


@pytest.mark.parametrize("state", [ReplyState.FAILED, ReplyState.DONE])
def test_of_two_that_ask_at_once_one_gets_another_reply(state: ReplyState):
    story = failed() if state is ReplyState.FAILED else done()
    ask = story.house.retry if state is ReplyState.FAILED else story.house.regenerate

    def once(_: int) -> bool:
        try:
            ask(story.asha, story.sent.message.id)
        except (ReplyNotFailed, ReplyNotDone):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(once, range(8))) == 1
    assert len(story.house.database.tables.replies) == 2
    assert story.used == (1 if state is ReplyState.FAILED else 2)


def test_with_the_quota_used_up_there_is_no_other_reply():
    story = done(basic_daily_prompts=1)
    with pytest.raises(QuotaExhausted):
        story.house.regenerate(story.asha, story.sent.reply_id)
    assert len(story.house.database.tables.replies) == 1


def test_but_what_failed_has_left_its_prompt_for_the_retry():
    story = Story(basic_daily_prompts=1)
    story.house.model.will(REFUSED)
    story.house.work()
    story.house.retry(story.asha, story.sent.reply_id)
    with pytest.raises(QuotaExhausted):
        story.house.say(story.asha, story.room, "one more")


def test_another_reply_is_urgent_as_the_plan_is_now():
    story = failed()
    story.house.subscribe(story.asha)
    again = story.house.retry(story.asha, story.sent.reply_id)
    assert not story.house.reply(story.sent).queued.urgent
    assert story.house.reply(again).queued.urgent


def test_a_retry_is_paid_for_by_the_day_on_which_it_was_asked_for():
    story = failed()
    story.house.clock.advance(timedelta(days=1))
    again = story.house.retry(story.asha, story.sent.reply_id)
    assert story.house.reply(again).queued.charged_on == story.house.clock().date()
    assert story.house.reply(again).deadline == story.house.clock() + POLICY.deadline


def test_the_room_answers_again_after_what_was_sent_before():
    story = failed()
    story.house.say(story.asha, story.room, "and then")
    story.house.retry(story.asha, story.sent.reply_id)
    story.house.model.prompts.clear()
    assert story.house.work() == [ReplyState.DONE] * 2
    assert [prompt.text for prompt in story.house.model.prompts] == ["and then", "hi"]


@pytest.mark.parametrize(
    ("policy", "refusal"),
    [(ReplyPolicy(user_backlog=1), TooManyUnfinishedReplies), (ReplyPolicy(backlog=1), BacklogFull)],
)
def test_a_full_backlog_takes_no_other_reply(policy: ReplyPolicy, refusal: type[Exception]):
    story = Story(policy=policy)
    story.house.work()
    story.house.say(story.asha, story.room, "and then")
    with pytest.raises(refusal):
        story.house.regenerate(story.asha, story.sent.reply_id)
    assert (len(story.house.database.tables.replies), story.used) == (2, 2)


# --- Who may ---


def somebody_else(story: Story) -> tuple[Principal, ChatroomId]:
    """Another user and a room of theirs."""
    ravi = story.house.user(RAVI)
    return ravi, story.house.room(ravi)


@pytest.mark.parametrize("story", [Story, failed, done])
def test_nobody_touches_the_replies_of_another_or_learns_of_them(story):
    told = story()
    ravi, room = somebody_else(told)
    nowhere = MessageId(UUID(int=1 << 90))
    before = told.house.database.tables
    asks: list[Callable[[Principal, MessageId | ReplyId], object]]
    asks = [told.house.cancel, told.house.retry, told.house.regenerate, told.house.entry, told.house.follow]
    for ask in asks:
        # A room's id is no entry's either.
        for entry_id in (told.sent.message.id, told.sent.reply_id, nowhere, MessageId(room)):
            with pytest.raises(MessageNotFound):
                ask(ravi, entry_id)
    assert told.house.database.tables == before


def test_with_the_database_down_nothing_changes():
    story = done()
    before = story.house.database.tables
    story.house.database_probe.on = False
    for ask in (story.house.cancel, story.house.retry, story.house.regenerate):
        with pytest.raises(DependencyDown):
            ask(story.asha, story.sent.reply_id)
    assert story.house.database.tables is before
