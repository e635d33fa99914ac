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
from tests.builders import RAVI, OneReply

SECONDS = timedelta(seconds=1)
POLICY = ReplyPolicy(lease=60 * SECONDS, max_attempts=3, deadline=300 * SECONDS, first_backoff=2 * SECONDS)

BUSY = AnswerFailed(FailureReason.MODEL_BUSY)
REFUSED = AnswerFailed(FailureReason.REFUSED)


class ManagedReply(OneReply):
    def __init__(self, *, basic_daily_prompts: int = 5, policy: ReplyPolicy = POLICY) -> None:
        super().__init__(basic_daily_prompts=basic_daily_prompts, reply_policy=policy)

    def cancel(self) -> ReplyState:
        return self.house.cancel(self.asha, self.sent.reply_id)

    def write_and_stop_after(self, claimed: ClaimedReply, *chunks: str) -> ReplyState | None:
        """Write these chunks; then the worker learns that it is to stop."""
        stop = Stop()

        def look() -> None:
            assert list(self.house.replying.find_stops([claimed.claim.reply_id])) == [claimed.claim.reply_id]
            stop.request()

        self.house.model.will([*chunks, look, "never said"])
        return self.house.write(claimed, stop=stop)


def failed() -> ManagedReply:
    reply = ManagedReply()
    reply.house.model.will(REFUSED)
    assert reply.house.work() == [ReplyState.FAILED]
    return reply


def done(*, basic_daily_prompts: int = 5) -> ManagedReply:
    reply = ManagedReply(basic_daily_prompts=basic_daily_prompts)
    reply.house.model.will(Answer("first", "scripted"))
    assert reply.house.work() == [ReplyState.DONE]
    return reply


# --- Stopping ---


@pytest.mark.parametrize("by", ["the reply", "the message"])
def test_what_has_not_begun_is_cancelled_at_once_and_costs_nothing(by: str):
    reply = ManagedReply()
    state = reply.house.cancel(reply.asha, reply.sent.reply_id if by == "the reply" else reply.sent.message.id)
    assert state is reply.state is ReplyState.CANCELLED
    assert reply.row.finished_at == reply.house.clock()
    assert reply.used == 0
    assert reply.house.claim() == []


def test_the_room_goes_on_behind_what_was_cancelled():
    reply = ManagedReply()
    reply.house.say(reply.asha, reply.room, "and then")
    reply.cancel()
    assert reply.house.claim_one().prompt == "and then"


def test_what_is_running_stops_keeps_what_there_is_of_it_and_costs_a_prompt():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    assert reply.cancel() is reply.state is ReplyState.RUNNING
    assert reply.write_and_stop_after(claimed, "Once ", "upon") is ReplyState.CANCELLED
    row = reply.row
    assert (row.content, row.failure, row.finished_at) == ("Once upon", None, reply.house.clock())
    assert reply.used == 1


def test_what_is_running_and_has_said_nothing_yet_costs_a_prompt_for_the_model_was_asked():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    reply.cancel()
    assert reply.write_and_stop_after(claimed) is ReplyState.CANCELLED
    assert (reply.row.content, reply.row.refunded_at) == (None, None)
    assert reply.used == 1


def test_what_is_stopped_before_the_model_is_asked_costs_nothing():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    reply.cancel()
    stop = Stop()
    stop.request()
    assert reply.house.write(claimed, stop=stop) is ReplyState.CANCELLED
    assert reply.house.model.prompts == []
    assert reply.row.refunded_at == reply.house.clock()
    assert reply.used == 0


@pytest.mark.parametrize("way", ["cancel and send", "cancel and retry", "cancel and regenerate", "remove the chatroom"])
def test_the_prompts_of_a_day_bound_the_calls_of_the_model(way: str):
    reply = ManagedReply()
    if way == "cancel and regenerate":
        reply.house.work()
    with pytest.raises(QuotaExhausted):
        for _ in range(10):
            if way == "cancel and regenerate":
                reply.house.regenerate(reply.asha, reply.sent.message.id)
            claimed = reply.house.claim_one()
            if way == "remove the chatroom":
                reply.house.remove_room(reply.asha, claimed.chatroom_id)
                reply.house.write(claimed)
                reply.house.say(reply.asha, reply.house.room(reply.asha), "again")
                continue
            reply.house.cancel(reply.asha, claimed.claim.reply_id)
            reply.write_and_stop_after(claimed)
            if way == "cancel and send":
                reply.house.say(reply.asha, reply.room, "again")
            if way == "cancel and retry":
                reply.house.retry(reply.asha, reply.sent.message.id)
    assert len(reply.house.model.prompts) == reply.used == 5


def test_no_other_reply_is_stopped():
    reply = ManagedReply()
    reply.house.say(reply.asha, reply.house.room(reply.asha), "elsewhere")
    running = [claimed.claim.reply_id for claimed in reply.house.claim()]
    assert list(reply.house.replying.find_stops(running)) == []
    reply.cancel()
    assert list(reply.house.replying.find_stops(running)) == [reply.sent.reply_id]
    assert list(reply.house.replying.find_stops([])) == []


def test_to_stop_what_stops_already_changes_nothing():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    assert [reply.cancel(), reply.cancel()] == [ReplyState.RUNNING] * 2
    assert reply.write_and_stop_after(claimed, "Once") is ReplyState.CANCELLED
    with pytest.raises(ReplyFinished):
        reply.cancel()
    assert (reply.row.content, reply.used) == ("Once", 1)


def test_an_answer_that_is_there_before_the_worker_has_heard_of_it_stays():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    reply.cancel()
    assert reply.house.write(claimed) is ReplyState.DONE
    assert reply.house.conversation(reply.asha, reply.room)[1] == ("bot", "echo: hi")
    assert reply.used == 1


def test_a_failure_that_could_be_tried_again_is_not_when_it_was_to_be_stopped():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    reply.cancel()
    reply.house.model.will(BUSY)
    assert reply.house.write(claimed) is ReplyState.CANCELLED
    assert reply.used == 0


def test_a_failure_for_good_is_a_failure_all_the_same():
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    reply.cancel()
    reply.house.model.will(REFUSED)
    assert reply.house.write(claimed) is ReplyState.FAILED
    assert reply.used == 0


def test_what_waits_for_its_next_attempt_is_cancelled_at_once_and_costs_nothing():
    reply = ManagedReply()
    reply.house.model.will(BUSY)
    assert reply.house.work() == [ReplyState.QUEUED]
    assert reply.cancel() is ReplyState.CANCELLED
    reply.house.clock.advance(2 * SECONDS)
    assert reply.house.claim() == []
    assert reply.used == 0


def test_when_the_worker_that_was_to_stop_is_dead_the_sweeper_cancels_and_gives_back():
    reply = ManagedReply()
    reply.house.claim_one()
    reply.cancel()
    assert reply.house.sweep() == 0
    reply.house.clock.advance(60 * SECONDS)
    assert reply.house.claim() == []  # it is not started again
    assert reply.house.sweep() == 1
    row = reply.row
    assert (row.state, row.content, row.failure) == (ReplyState.CANCELLED, None, None)
    assert reply.used == 0


@pytest.mark.parametrize("chunks", [[], ["too late"]])
def test_a_dead_worker_that_comes_back_to_stop_writes_nothing(chunks: list[str]):
    reply = ManagedReply()
    zombie = reply.house.claim_one()
    reply.cancel()
    reply.house.clock.advance(60 * SECONDS)
    reply.house.sweep()
    assert reply.write_and_stop_after(zombie, *chunks) is None
    assert (reply.row.content, reply.used) == (None, 0)


def test_what_is_handed_back_while_it_was_to_be_stopped_ends_and_holds_nothing_up():
    reply = ManagedReply()
    reply.house.say(reply.asha, reply.room, "and then")
    claimed = reply.house.claim_one()
    reply.cancel()
    reply.house.replying.release(claimed)
    assert reply.state is ReplyState.CANCELLED
    assert reply.used == 1  # the other message
    assert reply.house.claim_one().prompt == "and then"


@pytest.mark.parametrize("outcome", [Answer("hello", "scripted"), REFUSED])
def test_what_has_ended_cannot_be_cancelled(outcome: Answer | Exception):
    reply = ManagedReply()
    reply.house.model.will(outcome)
    reply.house.work()
    before = reply.house.database.tables
    for entry_id in (reply.sent.reply_id, reply.sent.message.id):
        with pytest.raises(ReplyFinished):
            reply.house.cancel(reply.asha, entry_id)
    assert reply.house.database.tables == before


# --- Asking again ---


def test_a_failed_reply_is_retried_for_the_prompt_that_it_gave_back():
    reply = failed()
    assert reply.used == 0
    again = reply.house.retry(reply.asha, reply.sent.reply_id)
    assert (again.message, again.quota.used, again.repeated) == (reply.sent.message, 1, False)
    assert again.reply_id != reply.sent.reply_id
    assert reply.house.worker_notifier.notified == 2
    assert reply.house.conversation(reply.asha, reply.room) == [("user", "hi"), ("queued", "")]
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.house.conversation(reply.asha, reply.room) == [("user", "hi"), ("bot", "echo: hi")]
    assert reply.used == 1


def test_a_retry_may_fail_and_be_retried():
    reply = failed()
    for _ in range(7):  # more often than there are prompts: none of them costs anything
        reply.house.model.will(REFUSED)
        reply.house.retry(reply.asha, reply.sent.message.id)
        assert reply.house.work() == [ReplyState.FAILED]
    assert reply.used == 0


@pytest.mark.parametrize("chunks", [[], ["Once"]])
def test_a_cancelled_reply_may_be_retried(chunks: list[str]):
    reply = ManagedReply()
    claimed = reply.house.claim_one()
    reply.cancel()
    reply.write_and_stop_after(claimed, *chunks)
    reply.house.retry(reply.asha, reply.sent.reply_id)
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.used == 2


def test_a_done_reply_is_regenerated_for_another_prompt_and_the_newest_shows():
    reply = done()
    reply.house.model.will(Answer("second", "scripted"))
    again = reply.house.regenerate(reply.asha, reply.sent.reply_id)
    assert (again.message, again.quota.used) == (reply.sent.message, 2)
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.house.conversation(reply.asha, reply.room) == [("user", "hi"), ("bot", "second")]
    assert reply.used == 2


def test_older_replies_stay_readable():
    reply = done()
    second = reply.house.regenerate(reply.asha, reply.sent.reply_id)
    reply.house.model.will(Answer("second", "scripted"))
    reply.house.work()
    third = reply.house.regenerate(reply.asha, reply.sent.message.id)
    replies = [reply.sent.reply_id, second.reply_id, third.reply_id]
    ids: list[MessageId | ReplyId] = [*replies, reply.sent.message.id]
    shown = {entry_id: reply.house.entry(reply.asha, entry_id) for entry_id in ids}
    assert all(entry.replies == replies for entry in shown.values())
    assert [shown[reply].turn.reply_content for reply in replies] == ["first", "second", None]
    assert [shown[reply].turn.reply_id for reply in replies] == replies
    assert shown[reply.sent.message.id].turn.reply_id == third.reply_id


def test_an_id_of_any_reply_stands_for_its_message():
    reply = done()
    reply.house.regenerate(reply.asha, reply.sent.reply_id)
    reply.house.work()
    reply.house.regenerate(reply.asha, reply.sent.reply_id)  # the oldest's, and the newest is done
    assert reply.house.cancel(reply.asha, reply.sent.reply_id) is ReplyState.CANCELLED  # the newest
    assert reply.row.state is ReplyState.DONE


@pytest.mark.parametrize("reply", [ManagedReply, done])
def test_only_what_failed_is_retried(reply):
    told = reply()
    with pytest.raises(ReplyNotFailed):
        told.house.retry(told.asha, told.sent.reply_id)
    told.house.claim()
    with pytest.raises(ReplyNotFailed):
        told.house.retry(told.asha, told.sent.message.id)
    assert len(told.house.database.tables.replies) == told.used == 1


@pytest.mark.parametrize("reply", [ManagedReply, failed])
def test_only_what_is_done_is_regenerated(reply):
    told = reply()
    before = told.house.database.tables
    with pytest.raises(ReplyNotDone):
        told.house.regenerate(told.asha, told.sent.reply_id)
    assert told.house.database.tables == before


def test_the_newest_reply_decides():
    reply = done()
    again = reply.house.regenerate(reply.asha, reply.sent.reply_id)
    for ask in (reply.house.regenerate, reply.house.retry):  # it is queued: neither
        with pytest.raises((ReplyNotDone, ReplyNotFailed)):
            ask(reply.asha, reply.sent.reply_id)
    reply.house.model.will(REFUSED)
    reply.house.work()
    assert reply.house.retry(reply.asha, reply.sent.reply_id).reply_id > again.reply_id


@pytest.mark.parametrize("end", ["failed", "cancelled"])
@pytest.mark.parametrize("ask", ["retry", "regenerate"])
def test_an_answer_that_another_attempt_did_not_replace_can_be_asked_for_again(end: str, ask: str):
    reply = done()
    reply.house.regenerate(reply.asha, reply.sent.reply_id)
    if end == "failed":
        reply.house.model.will(REFUSED)
        reply.house.work()
    else:
        reply.house.cancel(reply.asha, reply.sent.reply_id)
    assert reply.house.conversation(reply.asha, reply.room) == [("user", "hi"), ("bot", "first")]
    reply.house.model.will(Answer("second", "scripted"))
    getattr(reply.house, ask)(reply.asha, reply.sent.reply_id)
    assert reply.house.conversation(reply.asha, reply.room) == [("user", "hi"), ("bot", "first")]
    assert reply.house.work() == [ReplyState.DONE]
    assert reply.house.conversation(reply.asha, reply.room) == [("user", "hi"), ("bot", "second")]


@pytest.mark.parametrize("state", [ReplyState.FAILED, ReplyState.DONE])
def test_of_two_that_ask_at_once_one_gets_another_reply(state: ReplyState):
    reply = failed() if state is ReplyState.FAILED else done()
    ask = reply.house.retry if state is ReplyState.FAILED else reply.house.regenerate

    def once(_: int) -> bool:
        try:
            ask(reply.asha, reply.sent.message.id)
        except (ReplyNotFailed, ReplyNotDone):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(once, range(8))) == 1
    assert len(reply.house.database.tables.replies) == 2
    assert reply.used == (1 if state is ReplyState.FAILED else 2)


def test_with_the_quota_used_up_there_is_no_other_reply():
    reply = done(basic_daily_prompts=1)
    with pytest.raises(QuotaExhausted):
        reply.house.regenerate(reply.asha, reply.sent.reply_id)
    assert len(reply.house.database.tables.replies) == 1


def test_but_what_failed_has_left_its_prompt_for_the_retry():
    reply = ManagedReply(basic_daily_prompts=1)
    reply.house.model.will(REFUSED)
    reply.house.work()
    reply.house.retry(reply.asha, reply.sent.reply_id)
    with pytest.raises(QuotaExhausted):
        reply.house.say(reply.asha, reply.room, "one more")


def test_another_reply_is_urgent_as_the_plan_is_now():
    reply = failed()
    reply.house.subscribe(reply.asha)
    again = reply.house.retry(reply.asha, reply.sent.reply_id)
    assert not reply.row.queued.urgent
    assert reply.house.reply(again).queued.urgent


def test_a_retry_is_paid_for_by_the_day_on_which_it_was_asked_for():
    reply = failed()
    reply.house.clock.advance(timedelta(days=1))
    again = reply.house.retry(reply.asha, reply.sent.reply_id)
    assert reply.house.reply(again).queued.charged_on == reply.house.clock().date()
    assert reply.house.reply(again).deadline == reply.house.clock() + POLICY.deadline


def test_the_room_answers_again_after_what_was_sent_before():
    reply = failed()
    reply.house.say(reply.asha, reply.room, "and then")
    reply.house.retry(reply.asha, reply.sent.reply_id)
    reply.house.model.prompts.clear()
    assert reply.house.work() == [ReplyState.DONE] * 2
    assert [prompt.text for prompt in reply.house.model.prompts] == ["and then", "hi"]


@pytest.mark.parametrize(
    ("policy", "refusal"),
    [(ReplyPolicy(user_backlog=1), TooManyUnfinishedReplies), (ReplyPolicy(backlog=1), BacklogFull)],
)
def test_a_full_backlog_takes_no_other_reply(policy: ReplyPolicy, refusal: type[Exception]):
    reply = ManagedReply(policy=policy)
    reply.house.work()
    reply.house.say(reply.asha, reply.room, "and then")
    with pytest.raises(refusal):
        reply.house.regenerate(reply.asha, reply.sent.reply_id)
    assert (len(reply.house.database.tables.replies), reply.used) == (2, 2)


# --- Who may ---


def another_user(reply: ManagedReply) -> tuple[Principal, ChatroomId]:
    """Another user and a room of theirs."""
    ravi = reply.house.user(RAVI)
    return ravi, reply.house.room(ravi)


@pytest.mark.parametrize("make", [ManagedReply, failed, done])
def test_nobody_touches_the_replies_of_another_or_learns_of_them(make):
    told = make()
    ravi, room = another_user(told)
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
    reply = done()
    before = reply.house.database.tables
    reply.house.database_probe.on = False
    for ask in (reply.house.cancel, reply.house.retry, reply.house.regenerate):
        with pytest.raises(DependencyDown):
            ask(reply.asha, reply.sent.reply_id)
    assert reply.house.database.tables is before


def test_a_removed_chatroom_gives_back_what_never_began():
    reply = ManagedReply()
    reply.house.say(reply.asha, reply.room, "waits")
    elsewhere = reply.house.room(reply.asha)
    reply.house.say(reply.asha, elsewhere, "elsewhere")
    claimed = next(one for one in reply.house.claim() if one.chatroom_id == reply.room)
    assert reply.used == 3
    reply.house.remove_room(reply.asha, reply.room)
    assert reply.used == 2  # the model was asked for the first, and is for the one elsewhere
    assert reply.house.write(claimed) is None
    assert reply.used == 2
    reply.house.remove_room(reply.asha, elsewhere)
    assert reply.used == 2


def test_nor_does_one_that_waits_for_another_attempt_cost_anything():
    reply = ManagedReply()
    reply.house.model.will(BUSY)
    reply.house.work()
    reply.house.remove_room(reply.asha, reply.room)
    assert reply.used == 0
