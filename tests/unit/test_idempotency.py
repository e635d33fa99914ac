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
from tests.builders import ASHA, RAVI, House, OneReply

DAY = timedelta(hours=24)


class SentWithKey(OneReply):
    def __init__(self, **options: int) -> None:
        super().__init__(key="k", **options)

    @property
    def accepted(self) -> tuple[int, int, int]:
        tables = self.house.database.tables
        return len(tables.messages), len(tables.replies), self.house.used(self.asha)


def test_what_is_sent_again_with_its_key_is_answered_as_the_first_time():
    first = SentWithKey()
    assert not first.sent.repeated
    for _ in range(3):
        again = first.house.say(first.asha, first.room, "hi", key="k")
        assert again.repeated
        assert (again.message, again.reply_id, again.quota) == (
            first.sent.message,
            first.sent.reply_id,
            first.sent.quota,
        )
    assert first.accepted == (1, 1, 1)
    assert first.house.worker_notifier.notified == 1


@pytest.mark.parametrize("outcome", [Answer("hello", "scripted"), AnswerFailed(FailureReason.REFUSED)])
def test_also_when_the_reply_has_ended(outcome: Answer | Exception):
    first = SentWithKey()
    first.house.model.will(outcome)
    first.house.work()
    used = first.house.used(first.asha)
    again = first.house.say(first.asha, first.room, "hi", key="k")
    assert (again.repeated, again.reply_id) == (True, first.sent.reply_id)
    assert first.accepted == (1, 1, used)


def test_also_when_there_is_another_reply_by_now():
    first = SentWithKey()
    first.house.work()
    first.house.regenerate(first.asha, first.sent.reply_id)
    assert first.house.say(first.asha, first.room, "hi", key="k").reply_id == first.sent.reply_id


def test_also_when_the_quota_is_used_up():
    first = SentWithKey(basic_daily_prompts=1)
    with pytest.raises(QuotaExhausted):
        first.house.say(first.asha, first.room, "hi", key="another")
    assert first.house.say(first.asha, first.room, "hi", key="k").repeated


def test_also_when_the_backlog_is_full():
    house = House(reply_policy=ReplyPolicy(user_backlog=1, backlog=1))
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "hi", key="k")
    assert house.say(asha, room, "hi", key="k").repeated


def test_the_key_stands_for_the_room_and_the_text():
    first = SentWithKey()
    another = first.house.room(first.asha)
    for room, text in ((first.room, "hi "), (first.room, "Hi"), (another, "hi")):
        with pytest.raises(IdempotencyKeyReused):
            first.house.say(first.asha, room, text, key="k")
    assert first.accepted == (1, 1, 1)


def test_another_key_and_no_key_are_another_message():
    first = SentWithKey()
    for key in ("K", "k2", None, None):
        assert not first.house.say(first.asha, first.room, "hi", key=key).repeated
    assert first.accepted == (5, 5, 5)


def test_the_keys_of_two_users_have_nothing_to_do_with_each_other():
    first = SentWithKey()
    ravi = first.house.user(RAVI)
    theirs = first.house.say(ravi, first.house.room(ravi), "hi", key="k")
    assert not theirs.repeated
    assert theirs.message.user_id == ravi.user_id
    assert first.house.used(ravi) == 1
    with pytest.raises(ChatroomNotFound):
        first.house.say(ravi, first.room, "hi", key="another")


def test_a_key_counts_for_24_hours():
    first = SentWithKey()
    first.house.clock.advance(DAY - timedelta(microseconds=1))
    assert first.house.say(first.asha, first.room, "hi", key="k").repeated
    first.house.clock.advance(timedelta(microseconds=1))
    anew = first.house.say(first.asha, first.room, "something else", key="k")
    assert not anew.repeated
    # And from then on for what it came with then.
    assert first.house.say(first.asha, first.room, "something else", key="k").message == anew.message


def test_old_keys_are_forgotten_and_no_others():
    first = SentWithKey()
    first.house.clock.advance(DAY / 2)
    first.house.say(first.asha, first.room, "later", key="later")
    first.house.clock.advance(DAY / 2)
    assert first.house.replying.purge_expired() == 1
    assert [key for _, key in first.house.database.tables.idempotency_keys] == ["later"]


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
    first = SentWithKey()
    with ThreadPoolExecutor(16) as threads:
        sent = list(threads.map(lambda _: first.house.say(first.asha, first.room, "again", key="new"), range(16)))
    assert sum(not one.repeated for one in sent) == 1
    assert len({(one.message.id, one.reply_id) for one in sent}) == 1
    assert first.accepted == (2, 2, 2)


def test_a_repetition_promises_what_is_kept():
    first = SentWithKey()
    again = first.house.say(first.asha, first.room, "hi", key="k")
    assert first.house.work() == [ReplyState.DONE]
    assert first.house.entry(first.asha, again.reply_id).turn.reply_content == "echo: hi"
