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


class KeyedMessage:
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
    keyed = KeyedMessage()
    assert not keyed.sent.repeated
    for _ in range(3):
        again = keyed.house.say(keyed.asha, keyed.room, "hi", key="k")
        assert again.repeated
        assert (again.message, again.reply_id, again.quota) == (
            keyed.sent.message,
            keyed.sent.reply_id,
            keyed.sent.quota,
        )
    assert keyed.accepted == (1, 1, 1)
    assert keyed.house.worker_notifier.notified == 1


@pytest.mark.parametrize("outcome", [Answer("hello", "scripted"), AnswerFailed(FailureReason.REFUSED)])
def test_also_when_the_reply_has_ended(outcome: Answer | Exception):
    keyed = KeyedMessage()
    keyed.house.model.will(outcome)
    keyed.house.work()
    used = keyed.house.used(keyed.asha)
    again = keyed.house.say(keyed.asha, keyed.room, "hi", key="k")
    assert (again.repeated, again.reply_id) == (True, keyed.sent.reply_id)
    assert keyed.accepted == (1, 1, used)


def test_also_when_there_is_another_reply_by_now():
    keyed = KeyedMessage()
    keyed.house.work()
    keyed.house.regenerate(keyed.asha, keyed.sent.reply_id)
    assert keyed.house.say(keyed.asha, keyed.room, "hi", key="k").reply_id == keyed.sent.reply_id


def test_also_when_the_quota_is_used_up():
    keyed = KeyedMessage(basic_daily_prompts=1)
    with pytest.raises(QuotaExhausted):
        keyed.house.say(keyed.asha, keyed.room, "hi", key="another")
    assert keyed.house.say(keyed.asha, keyed.room, "hi", key="k").repeated


def test_also_when_the_backlog_is_full():
    house = House(reply_policy=ReplyPolicy(user_backlog=1, backlog=1))
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "hi", key="k")
    assert house.say(asha, room, "hi", key="k").repeated


def test_the_key_stands_for_the_room_and_the_text():
    keyed = KeyedMessage()
    another = keyed.house.room(keyed.asha)
    for room, text in ((keyed.room, "hi "), (keyed.room, "Hi"), (another, "hi")):
        with pytest.raises(IdempotencyKeyReused):
            keyed.house.say(keyed.asha, room, text, key="k")
    assert keyed.accepted == (1, 1, 1)


def test_another_key_and_no_key_are_another_message():
    keyed = KeyedMessage()
    for key in ("K", "k2", None, None):
        assert not keyed.house.say(keyed.asha, keyed.room, "hi", key=key).repeated
    assert keyed.accepted == (5, 5, 5)


def test_the_keys_of_two_users_have_nothing_to_do_with_each_other():
    keyed = KeyedMessage()
    ravi = keyed.house.user(RAVI)
    theirs = keyed.house.say(ravi, keyed.house.room(ravi), "hi", key="k")
    assert not theirs.repeated
    assert theirs.message.user_id == ravi.user_id
    assert keyed.house.used(ravi) == 1
    with pytest.raises(ChatroomNotFound):
        keyed.house.say(ravi, keyed.room, "hi", key="another")


def test_a_key_counts_for_24_hours():
    keyed = KeyedMessage()
    keyed.house.clock.advance(DAY - timedelta(microseconds=1))
    assert keyed.house.say(keyed.asha, keyed.room, "hi", key="k").repeated
    keyed.house.clock.advance(timedelta(microseconds=1))
    anew = keyed.house.say(keyed.asha, keyed.room, "something else", key="k")
    assert not anew.repeated
    # And from then on for what it came with then.
    assert keyed.house.say(keyed.asha, keyed.room, "something else", key="k").message == anew.message


def test_old_keys_are_forgotten_and_no_others():
    keyed = KeyedMessage()
    keyed.house.clock.advance(DAY / 2)
    keyed.house.say(keyed.asha, keyed.room, "later", key="later")
    keyed.house.clock.advance(DAY / 2)
    assert keyed.house.replying.purge_expired() == 1
    assert [key for _, key in keyed.house.database.tables.idempotency_keys] == ["later"]


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
    keyed = KeyedMessage()
    with ThreadPoolExecutor(16) as threads:
        sent = list(threads.map(lambda _: keyed.house.say(keyed.asha, keyed.room, "again", key="new"), range(16)))
    assert sum(not one.repeated for one in sent) == 1
    assert len({(one.message.id, one.reply_id) for one in sent}) == 1
    assert keyed.accepted == (2, 2, 2)


def test_a_repetition_promises_what_is_kept():
    keyed = KeyedMessage()
    again = keyed.house.say(keyed.asha, keyed.room, "hi", key="k")
    assert keyed.house.work() == [ReplyState.DONE]
    assert keyed.house.entry(keyed.asha, again.reply_id).turn.reply_content == "echo: hi"
