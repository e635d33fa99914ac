"""Sending is safe to repeat: the same key is the same message, however often it comes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from domain.errors import (
    BacklogFull,
    ChatroomNotFound,
    DomainError,
    IdempotencyKeyReused,
    InvalidValue,
    QuotaExhausted,
    TooManyUnfinishedReplies,
)
from domain.replies import Answer, AnswerFailed, FailureReason, ReplyPolicy, ReplyState
from tests.builders import ASHA, RAVI, House

DAY = timedelta(hours=24)


class Story:
    """A message that was sent with a key."""

    def __init__(self, **options: int) -> None:
        """Send it."""
        self.house = House(**options)  # type: ignore[arg-type]
        self.asha = self.house.user(ASHA)
        self.room = self.house.room(self.asha)
        self.sent = self.house.say(self.asha, self.room, "hi", key="k")

    @property
    def accepted(self) -> tuple[int, int, int]:
        """Messages, replies and prompts charged."""
        tables = self.house.database.tables
        return len(tables.messages), len(tables.replies), self.house.used(self.asha)


def test_what_is_sent_again_with_its_key_is_answered_as_the_first_time():
    story = Story()
    assert not story.sent.repeated
    for _ in range(3):
        again = story.house.say(story.asha, story.room, "hi", key="k")
        assert again.repeated
        assert (again.message, again.reply_id, again.quota) == (
            story.sent.message,
            story.sent.reply_id,
            story.sent.quota,
        )
    assert story.accepted == (1, 1, 1)
    assert story.house.worker_notifier.notified == 1


@pytest.mark.parametrize("outcome", [Answer("hello", "scripted"), AnswerFailed(FailureReason.REFUSED)])
def test_also_when_the_reply_has_ended(outcome: Answer | Exception):
    story = Story()
    story.house.model.will(outcome)
    story.house.work()
    used = story.house.used(story.asha)
    again = story.house.say(story.asha, story.room, "hi", key="k")
    assert (again.repeated, again.reply_id) == (True, story.sent.reply_id)
    assert story.accepted == (1, 1, used)


def test_also_when_there_is_another_reply_by_now():
    story = Story()
    story.house.work()
    story.house.regenerate(story.asha, story.sent.reply_id)
    assert story.house.say(story.asha, story.room, "hi", key="k").reply_id == story.sent.reply_id


def test_also_when_the_quota_is_used_up():
    story = Story(basic_daily_prompts=1)
    with pytest.raises(QuotaExhausted):
        story.house.say(story.asha, story.room, "hi", key="another")
    assert story.house.say(story.asha, story.room, "hi", key="k").repeated


def test_also_when_the_backlog_is_full():
    house = House(reply_policy=ReplyPolicy(user_backlog=1, backlog=1))
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "hi", key="k")
    assert house.say(asha, room, "hi", key="k").repeated


def test_the_key_stands_for_the_room_and_the_text():
    story = Story()
    another = story.house.room(story.asha)
    for room, text in ((story.room, "hi "), (story.room, "Hi"), (another, "hi")):
        with pytest.raises(IdempotencyKeyReused):
            story.house.say(story.asha, room, text, key="k")
    assert story.accepted == (1, 1, 1)


def test_another_key_and_no_key_are_another_message():
    story = Story()
    for key in ("K", "k2", None, None):
        assert not story.house.say(story.asha, story.room, "hi", key=key).repeated
    assert story.accepted == (5, 5, 5)


def test_the_keys_of_two_users_have_nothing_to_do_with_each_other():
    story = Story()
    ravi = story.house.user(RAVI)
    theirs = story.house.say(ravi, story.house.room(ravi), "hi", key="k")
    assert not theirs.repeated
    assert theirs.message.user_id == ravi.user_id
    assert story.house.used(ravi) == 1
    with pytest.raises(ChatroomNotFound):
        story.house.say(ravi, story.room, "hi", key="another")


def test_a_key_counts_for_24_hours():
    story = Story()
    story.house.clock.advance(DAY - timedelta(microseconds=1))
    assert story.house.say(story.asha, story.room, "hi", key="k").repeated
    story.house.clock.advance(timedelta(microseconds=1))
    anew = story.house.say(story.asha, story.room, "something else", key="k")
    assert not anew.repeated
    # And from then on for what it came with then.
    assert story.house.say(story.asha, story.room, "something else", key="k").message == anew.message


def test_old_keys_are_forgotten_and_no_others():
    story = Story()
    story.house.clock.advance(DAY / 2)
    story.house.say(story.asha, story.room, "later", key="later")
    story.house.clock.advance(DAY / 2)
    assert story.house.replying.purge_expired() == 1
    assert [key for _, key in story.house.database.tables.idempotency_keys] == ["later"]


def test_a_refused_request_leaves_no_key():
    house = House(basic_daily_prompts=1, reply_policy=ReplyPolicy(user_backlog=2, backlog=3))
    asha, ravi = house.user(ASHA), house.user(RAVI)
    room, foreign = house.room(asha), house.room(ravi)

    def refused(refusal: type[DomainError], **request: object) -> None:
        with pytest.raises(refusal):
            house.say(**{"principal": asha, "room": room, "text": "hi", "key": "k", **request})  # type: ignore[arg-type]
        assert not house.database.tables.idempotency_keys

    refused(InvalidValue, text=" ")
    refused(ChatroomNotFound, room=foreign)
    house.say(asha, room, "the only one")
    refused(QuotaExhausted)
    house.subscribe(asha)
    house.say(asha, room, "and one more")
    refused(TooManyUnfinishedReplies)
    house.say(ravi, foreign, "me too")
    mira = house.user("+919876543212")
    refused(BacklogFull, principal=mira, room=house.room(mira))
    house.work()
    assert not house.say(asha, room, "something else", key="k").repeated


def test_of_many_at_once_one_is_accepted():
    story = Story()
    with ThreadPoolExecutor(16) as threads:
        sent = list(threads.map(lambda _: story.house.say(story.asha, story.room, "again", key="new"), range(16)))
    assert sum(not one.repeated for one in sent) == 1
    assert len({(one.message.id, one.reply_id) for one in sent}) == 1
    assert story.accepted == (2, 2, 2)


def test_a_repetition_promises_what_is_kept():
    story = Story()
    again = story.house.say(story.asha, story.room, "hi", key="k")
    assert story.house.work() == [ReplyState.DONE]
    assert story.house.entry(story.asha, again.reply_id).turn.reply_content == "echo: hi"
