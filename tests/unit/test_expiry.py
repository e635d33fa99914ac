"""Without a worker a reply fails at its deadline all the same, by the hands of those who read it or need its place."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from application.chat.follow_reply import Ended
from domain.errors import BacklogFull, TooManyUnfinishedReplies
from domain.replies import FailureReason, ReplyPolicy, ReplyState
from tests.builders import ASHA, RAVI, House, OneReply, events_of

SECOND = timedelta(seconds=1)
FAILED = ("failed", FailureReason.DEADLINE_EXCEEDED.value)


class NoWorker(OneReply):
    """One message that nobody answers, and whose time is up."""

    def __init__(self, *, key: str | None = None) -> None:
        super().__init__(key=key)
        self.house.clock.advance(self.house.policy.deadline)

    @property
    def chat(self):
        return self.house.use_cases.chat


def read_room(it: NoWorker) -> object:
    return it.house.conversation(it.asha, it.room)


def read_reply(it: NoWorker) -> object:
    return it.chat.read_entry(user_id=it.asha.user_id, entry_id=it.sent.reply_id)


def read_on(it: NoWorker) -> object:
    poll = it.chat.poll_messages(
        user_id=it.asha.user_id, chatroom_id=it.room, after=it.sent.message.id, limit=10, within=SECOND
    )
    return it.house.finish(poll)


def wait(it: NoWorker) -> object:
    return it.house.finish(it.chat.wait_for_reply(user_id=it.asha.user_id, reply_id=it.sent.reply_id, within=SECOND))


def follow(it: NoWorker) -> object:
    return list(events_of(it.chat.follow_reply(user_id=it.asha.user_id, entry_id=it.sent.reply_id)))


@pytest.mark.parametrize("look", [read_room, read_reply, read_on, wait, follow])
def test_who_reads_an_overdue_reply_ends_it(look: Callable[[NoWorker], object]):
    it = NoWorker()
    assert it.house.used(it.asha) == 1
    began = it.house.clock()
    look(it)
    row = it.house.reply(it.sent)
    assert (row.state.value, row.failure) == FAILED
    assert it.house.used(it.asha) == 0
    assert it.house.clock() == began, "nothing was waited for"
    look(it)
    assert it.house.used(it.asha) == 0
    assert it.house.sweep() == 0


def test_the_reader_sees_the_end_at_once():
    it = NoWorker()
    assert it.house.conversation(it.asha, it.room) == [("user", "hi"), FAILED]


@pytest.mark.parametrize("state", ["fresh", "running"])
def test_what_is_not_overdue_is_left_alone(state: str):
    it = OneReply()
    it.house.clock.advance(it.house.policy.deadline - SECOND)
    if state == "running":
        it.house.claim_one()
        it.house.clock.advance(2 * SECOND)
    it.house.conversation(it.asha, it.room)
    assert it.house.reply(it.sent).unfinished
    assert it.house.used(it.asha) == 1


def test_a_stream_that_is_open_ends_at_the_deadline():
    it = OneReply()
    began = it.house.clock()
    stream = it.house.use_cases.chat.follow_reply(user_id=it.asha.user_id, entry_id=it.sent.reply_id)
    *_, last = events_of(stream)
    assert isinstance(last, Ended)
    assert last.entry.turn.reply_state is ReplyState.FAILED
    assert it.house.clock() - began <= it.house.policy.deadline + 10 * SECOND


def test_an_older_answer_shows_while_another_attempt_is_ended():
    it = OneReply()
    it.house.work()
    again = it.house.regenerate(it.asha, it.sent.reply_id)
    it.house.clock.advance(it.house.policy.deadline)
    assert it.house.conversation(it.asha, it.room) == [("user", "hi"), ("bot", "echo: hi")]
    assert it.house.reply(again).state is ReplyState.FAILED
    assert it.house.used(it.asha) == 1


def test_while_it_cannot_be_ended_it_is_read_as_it_is():
    it = NoWorker()
    database = it.house.database_probe
    reader = it.chat.read_entry.reader
    entry = it.chat.read_entry.reader.entry(it.asha.user_id, it.sent.reply_id)
    database.on = False
    it.chat.read_entry.settle(entry.turn.replies)
    database.on = True
    assert reader.entry(it.asha.user_id, it.sent.reply_id).turn.reply_state is ReplyState.QUEUED


# --- Sending ---


def a_full_house(**policy: int) -> House:
    return House(basic_daily_prompts=3, reply_policy=ReplyPolicy(**policy))  # type: ignore[arg-type]


def test_a_full_backlog_empties_for_the_next_message():
    house = a_full_house(backlog=3)
    asha, ravi = house.user(ASHA), house.user(RAVI)
    for _ in range(3):
        house.say(asha, house.room(asha), "hi")
    with pytest.raises(BacklogFull):
        house.say(ravi, house.room(ravi), "hi")
    house.clock.advance(house.policy.deadline)
    house.say(ravi, house.room(ravi), "hi")
    assert (house.used(asha), house.used(ravi)) == (0, 1)


def test_ones_own_full_backlog_empties_for_the_next_message():
    house = a_full_house(user_backlog=1)
    asha, ravi = house.user(ASHA), house.user(RAVI)
    first, others = house.say(asha, house.room(asha), "hi"), house.say(ravi, house.room(ravi), "hi")
    with pytest.raises(TooManyUnfinishedReplies):
        house.say(asha, house.room(asha), "hi")
    house.clock.advance(house.policy.deadline)
    house.say(asha, house.room(asha), "and now?")
    assert house.reply(first).state is ReplyState.FAILED
    assert house.reply(others).unfinished, "it is not what was in the way"
    assert house.used(asha) == 1


def test_asking_again_finds_room_too():
    house = a_full_house(backlog=1)
    asha, ravi = house.user(ASHA), house.user(RAVI)
    answered = house.say(asha, house.room(asha), "hi")
    house.work()
    house.say(ravi, house.room(ravi), "hi")
    house.clock.advance(house.policy.deadline)
    assert house.reply(house.regenerate(asha, answered.reply_id)).unfinished
    assert house.used(ravi) == 0


def test_a_send_that_made_room_is_repeated_as_any_other():
    house = a_full_house(backlog=1)
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "hi")
    house.clock.advance(house.policy.deadline)
    sent, repeated = house.say(asha, room, "hello?", key="k"), house.say(asha, room, "hello?", key="k")
    assert (repeated.reply_id, repeated.repeated) == (sent.reply_id, True)
    assert house.used(asha) == 1


def test_who_repeats_a_send_and_waits_is_told_of_the_failure():
    it = NoWorker(key="k")
    repeated = it.house.say(it.asha, it.room, "hi", key="k")
    assert repeated.reply_id == it.sent.reply_id
    entry = it.house.finish(it.chat.wait_for_reply(user_id=it.asha.user_id, reply_id=repeated.reply_id, within=SECOND))
    assert entry.turn.failure is FailureReason.DEADLINE_EXCEEDED
    assert it.house.used(it.asha) == 0
    it.house.say(it.asha, it.room, "hi", key="k")
    assert it.house.used(it.asha) == 0
