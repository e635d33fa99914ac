"""A user sends a message, and is promised a reply."""

from datetime import timedelta

import pytest

from domain.errors import DependencyDown, InvalidValue, QuotaExhausted
from domain.replies import ReplyPolicy, ReplyState
from tests.builders import ASHA, House


def test_an_accepted_message_has_a_reply_underway_and_notifies_a_worker():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    sent = house.say(asha, room, "hi")
    assert house.conversation(asha, room) == [("user", "hi"), ("queued", "")]
    assert (sent.message.content, sent.message.user_id, sent.message.chatroom_id) == ("hi", asha.user_id, room)
    assert house.reply(sent).queued.message_id == sent.message.id
    assert (sent.quota.used, sent.quota.remaining) == (1, 4)
    assert house.worker_notifier.notified == 1


def test_the_deadline_counts_from_the_acceptance():
    house = House(reply_policy=ReplyPolicy(deadline=timedelta(seconds=42)))
    asha = house.user(ASHA)
    sent = house.say(asha, house.room(asha), "hi")
    assert house.reply(sent).deadline == house.clock() + timedelta(seconds=42)


@pytest.mark.parametrize("text", ["", "  \n", "x" * 16_001])
def test_a_text_that_breaks_a_rule_costs_nothing(text: str):
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    with pytest.raises(InvalidValue) as refused:
        house.say(asha, room, text)
    assert refused.value.field == "message"
    assert house.conversation(asha, room) == []
    assert house.used(asha) == 0
    assert house.worker_notifier.notified == 0


@pytest.mark.parametrize("text", ["x" * 16_000, "  indented\n\tas it was  ", "नमस्ते 🙏🏽", "a\u202eb"])
def test_a_text_is_kept_as_it_was_sent(text: str):
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, text)
    house.work()
    assert house.conversation(asha, room) == [("user", text), ("bot", f"echo: {text}")]


def test_with_the_quota_used_up_nothing_is_kept():
    house = House(basic_daily_prompts=1)
    asha = house.user(ASHA)
    room = house.room(asha)
    house.say(asha, room, "the only one")
    with pytest.raises(QuotaExhausted):
        house.say(asha, room, "one more")
    assert house.conversation(asha, room) == [("user", "the only one"), ("queued", "")]
    assert house.worker_notifier.notified == 1
    assert house.work() == [ReplyState.DONE]


def test_with_the_database_down_nothing_is_accepted():
    house = House()
    asha = house.user(ASHA)
    room = house.room(asha)
    house.database_probe.on = False
    with pytest.raises(DependencyDown):
        house.say(asha, room, "hi")
    house.database_probe.on = True
    assert house.conversation(asha, room) == []
    assert house.used(asha) == 0
